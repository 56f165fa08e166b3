"""A controller that says every verb to random runs, each as often as the others, from several threads."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from segue import Segue
from segue.client import Run
from segue.errors import SegueError, StoreError, StoreUnavailableError
from segue.model import StepStatus

PAUSE_SECONDS = 0.08  # between two verbs of a thread
RESUME_SECONDS = (0.1, 4.0)  # until a run that was paused is resumed, so that runs go on
REMEMBERED = 200  # runs that verbs are said to: the newest


class Controllers:
    """Threads that steer. `touched` are the runs whose end no longer tells anything about the workflow."""

    def __init__(self, segue: Segue, seed: int, threads: int = 2) -> None:
        self._segue = segue
        self._runs: deque[str] = deque(maxlen=REMEMBERED)
        self._end = threading.Event()
        self._paused: list[tuple[float, str]] = []
        self._lock = threading.Lock()
        self.touched: set[str] = set()
        self.forks: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._threads = [threading.Thread(target=self._steer, args=[random.Random(seed + n)]) for n in range(threads)]

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def hear_of(self, run_id: str) -> None:
        """A run that verbs may be said to."""
        self._runs.append(run_id)

    def _steer(self, chance: random.Random) -> None:
        while not self._end.wait(PAUSE_SECONDS):
            if not self._runs:
                continue
            self._resume_due()
            name = chance.choice(sorted(_VERBS))
            run = self._one_of_them(chance)
            if run is None:
                continue
            self.touched.add(run.id)
            try:
                effect = _VERBS[name](self, run, chance)
            except StoreUnavailableError:
                self.counts[f"{name}: database away"] += 1
            except SegueError:
                self.counts[f"{name}: refused"] += 1
            except Exception as error:  # noqa: BLE001 - whatever else a verb raises is what is looked for
                self.wrong.append(f"{name} of {run.id} raised {error!r}")
            else:
                self.counts[f"{name}: {'done' if effect else 'nothing to do'}"] += 1

    def pause(self, run: Run, chance: random.Random, *, stop_running: bool) -> bool:
        """Pause it, and see to it that it goes on some time."""
        run.pause(stop_running=stop_running)
        self._paused.append((time.monotonic() + chance.uniform(*RESUME_SECONDS), run.id))
        return True

    def _resume_due(self) -> None:
        with self._lock:
            due = [entry for entry in self._paused if entry[0] <= time.monotonic()]
            self._paused = [entry for entry in self._paused if entry not in due]
        for due_at, run_id in due:
            try:
                self._segue.get(run_id).resume()
            except StoreError:
                self._paused.append((due_at, run_id))

    def _one_of_them(self, chance: random.Random) -> Run | None:
        """One of the runs; None while the database is away, or if it is gone."""
        try:
            return self._segue.get(chance.choice(list(self._runs)))
        except SegueError:
            return None

    def look(self, run: Run) -> bool:
        """What an operator reads must never break."""
        run.explain()
        run.steps(limit=50)
        run.attempts()
        run.info()
        return True

    def fork(self, run: Run, chance: random.Random) -> bool:
        step = _step(run, chance, *StepStatus)
        if step is None:
            return False
        made = run.fork(step)
        self.forks.add(made.id)
        return True

    def bulk(self, chance: random.Random) -> bool:
        """Pause runs by a filter, and resume them."""
        chosen = self._segue.select(tag=f"shelf-{chance.randrange(20)}", status=["pending", "running"])
        ids = list(chosen.ids())
        self.touched.update(ids)
        done = self._segue.select(ids=ids).pause(reason="the storm")
        self._segue.select(ids=ids).resume()
        return done.changed > 0


def _step(run: Run, chance: random.Random, *statuses: str) -> int | None:
    steps = [step.step for step in run.steps(limit=100) if step.status in statuses and step.task is not None]
    return chance.choice(steps) if steps else None


def _status(change: Callable[[], Any]) -> bool:
    change()
    return True


def _on_a_step(what: Callable[[Any], Any]) -> Callable[[Controllers, Run, random.Random], bool]:
    def say(_: Controllers, run: Run, chance: random.Random) -> bool:
        wanted = (StepStatus.BLOCKED, StepStatus.READY, StepStatus.FAILED, StepStatus.CANCELLED)
        step = _step(run, chance, *wanted)
        if step is None:
            return False
        what(run.step(step))
        return True

    return say


def _wait_a_moment_and_resume(_: Controllers, run: Run, chance: random.Random) -> bool:
    run.pause(stop_running=chance.random() < 0.5)
    time.sleep(chance.random() * 0.3)
    run.resume()
    return True


_VERBS: dict[str, Callable[[Controllers, Run, random.Random], bool]] = {
    "pause": lambda c, run, chance: c.pause(run, chance, stop_running=False),
    "stop": lambda c, run, chance: c.pause(run, chance, stop_running=True),
    "resume": lambda c, run, _: _status(run.resume),
    "pause and resume": _wait_a_moment_and_resume,
    "cancel": lambda c, run, _: _status(run.cancel),
    "retry": lambda c, run, _: _status(run.retry),
    "retry from": lambda c, run, chance: _on_a_step(lambda step: step.retry())(c, run, chance),
    "skip": _on_a_step(lambda step: step.skip()),
    "mark": _on_a_step(lambda step: step.mark({"rows": 1, "total": 2})),
    "edit": _on_a_step(lambda step: step.edit(1)),
    "edit by name": _on_a_step(lambda step: step.edit(seed=1)),
    "fork": lambda c, run, chance: c.fork(run, chance),
    "send": lambda c, run, chance: _status(lambda: run.send("answer", chance.randrange(9))),
    "bulk": lambda c, run, chance: c.bulk(chance),
    "look": lambda c, run, _: c.look(run),
}
