"""How far a run is: read once, or followed until it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from segue.client.given import checked, guarded, number
from segue.engine.engine import Engine
from segue.engine.patience import Patience
from segue.engine.views import look
from segue.engine.views.look import StepInfo
from segue.engine.watching import WATCH_SECONDS, watch_run
from segue.errors import ConfigError
from segue.given import shown
from segue.jsonable import Jsonable
from segue.model import FINAL_STEP_STATUSES, RunStatus, StepStatus

MOST_RUNNING = 100
FOLLOW_SECONDS = 0.5
LONGEST_SECONDS = 86_400.0
DATABASE_AWAY_SECONDS = 30.0
"""How long a process that waits for a run tolerates a database that does not answer."""


class RunProgress(Jsonable, msgspec.Struct, frozen=True):
    """How far a run is. A step that adds steps makes `total` grow."""

    run_id: str
    status: RunStatus
    done: int  # steps that have ended, in whatever way
    total: int
    counts: dict[StepStatus, int]
    running: tuple[StepInfo, ...]  # the steps that are running now, with what they reported; at most 100

    shown_as: ClassVar[dict[str, Any]] = {"counts": dict[str, int]}

    @property
    def has_ended(self) -> bool:
        """Whether the run is final."""
        return self.status.is_final


@guarded
class Followed:
    """The part of `Run` that says how far it is."""

    id: str
    _engine: Engine

    def progress(self) -> RunProgress:
        """How far it is, read at one moment.

        Example::

            progress = run.progress()
            print(f"{progress.done} of {progress.total} steps")
        """
        with self._engine.reading() as tx:
            status = look.run_info(tx, self.id).status
            counts = look.count_steps(tx, self.id)
            running = tuple(look.list_steps(tx, self.id, status=StepStatus.RUNNING, limit=MOST_RUNNING))
        done = sum(count for step_status, count in counts.items() if step_status in FINAL_STEP_STATUSES)
        return RunProgress(self.id, status, done, sum(counts.values()), counts, running)

    def watch(self, seconds: float = WATCH_SECONDS) -> None:
        """Let workers write what its running attempts print, for so long from now: `run.step(...).output()` reads it.

        `output` does this by itself; use it to have the output of many steps at once.
        """
        span = checked("watch", "seconds", seconds, number)
        if not 0 < span <= LONGEST_SECONDS:
            raise ConfigError(f"seconds={shown(seconds)} is not a time. Give seconds, more than 0 and at most a day.")
        with self._engine.reading() as tx:
            look.run_info(tx, self.id)
        self._engine.act(watch_run, self.id, seconds=span)

    def follow(self, *, every: float | None = None) -> Iterator[RunProgress]:
        """How far it is now, and again after each change, until it has ended.

        It reads every half second, or at intervals of `every` seconds. Example::

            for progress in run.follow():
                print(progress.status, progress.done, progress.total)
        """
        return self._following(pause_of(every))

    def _following(self, pause: float) -> Iterator[RunProgress]:
        patience = Patience(DATABASE_AWAY_SECONDS)
        last: RunProgress | None = None
        while True:
            found = patience.ask(self.progress, otherwise=last)
            if found is not None and found != last:
                last = found
                yield found
            if last is not None and last.has_ended:
                return
            time.sleep(pause)


def pause_of(every: float | None) -> float:
    """The seconds between two looks. Raises ConfigError for a pause that makes no sense."""
    seconds = FOLLOW_SECONDS if every is None else checked("follow", "every", every, number)
    if not 0 < seconds <= LONGEST_SECONDS:
        raise ConfigError(f"every={shown(every)} is not an interval. Give seconds, more than 0 and at most a day.")
    return float(seconds)
