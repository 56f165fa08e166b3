"""The newest runs, as `segue dev` shows them while it works: a live picture on a terminal, otherwise a line per change.

It reads the database in a separate thread, and only the newest runs, so that a large database does not slow it down.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from segue.cli.beside import Beside
from segue.cli.options import Setup
from segue.cli.printing import say_now
from segue.cli.reasons import drawn, is_alarm, main_reasons, reason_text, resting
from segue.cli.rendering import DIM, bar, spent, step_line
from segue.cli.wording import STYLES, counts_text
from segue.client import Run, Segue
from segue.client.masked_views import without_secrets
from segue.client.views import Reason, RunInfo, StepInfo
from segue.client.wording import GLYPHS, counted
from segue.errors import SegueError
from segue.model import RunStatus, StepStatus, short_id
from segue.observing.harmless_log import get_logger
from segue.printable import first_line
from segue.times import ago, duration

LOOK_SECONDS = 0.5
RUNS_LOOKED_AT = 50
ACTIVE_SHOWN = 6
ENDED_SHOWN = 4
STEPS_SHOWN = 6
HELD_SHOWN = 4
TO_START = "segue start -A <module> <workflow>"

logger = get_logger("segue.dev")


@dataclass(frozen=True, slots=True)
class Moment:
    """The newest runs at one moment, with the counts and running steps of those that have not ended."""

    now: datetime
    runs: Sequence[RunInfo]
    counts: Mapping[str, Mapping[StepStatus, int]] = field(default_factory=dict)
    running: Sequence[tuple[RunInfo, StepInfo]] = ()
    held: Mapping[str, Reason] = field(default_factory=dict)  # of runs in which nothing runs, why

    @classmethod
    def at(cls, setup: Setup, segue: Segue, *, in_detail: bool) -> Moment:
        """Read them now. With `in_detail` also read the steps of the runs that are shown."""
        runs = [without_secrets(run) for run in segue.runs(limit=RUNS_LOOKED_AT)]
        active = _active_first(runs)[:ACTIVE_SHOWN] if in_detail else []
        counts = {run.id: Run(segue.engine, run.id).counts() for run in active}
        running = [
            (run, without_secrets(step))
            for run in active
            if counts[run.id].get(StepStatus.RUNNING)
            for step in Run(segue.engine, run.id).steps(status=StepStatus.RUNNING, limit=STEPS_SHOWN)
        ]
        held = main_reasons(setup, segue, resting(active, counts))
        return cls(segue.engine.store.now(), runs, counts, running[:STEPS_SHOWN], held)


class Board(Protocol):
    """Shows the newest runs while its `with` block lasts."""

    in_detail: bool

    def show(self, moment: Moment) -> None:
        """Show them."""

    def note(self, text: str) -> None:
        """Show a text from a signal handler."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc_info: object) -> None: ...


class LogBoard:
    """A log line whenever a run begins or ends, and when something holds it back that only a person can remove."""

    in_detail = True

    def __init__(self) -> None:
        self._seen: dict[str, RunStatus] | None = None
        self._said: set[tuple[str, str]] = set()  # of the runs that have not ended, which reasons were logged

    def show(self, moment: Moment) -> None:
        """Log the changes since the last call."""
        self._log_held(moment)
        before, self._seen = self._seen, {run.id: run.status for run in moment.runs}
        if before is None:
            return
        for run in reversed(moment.runs):
            if before.get(run.id) is run.status:
                continue
            if run.finished_at is not None:
                took = duration((run.finished_at - run.created_at).total_seconds())
                why = (
                    f": {run.error.step} failed with {run.error.type}: {first_line(run.error.message)}"
                    if run.error
                    else ""
                )
                logger.info("%s %s %s after %s%s", run.workflow, run.id, run.status, took, why)
            elif run.status is not RunStatus.PENDING:
                logger.info("%s %s is %s", run.workflow, run.id, run.status)

    def _log_held(self, moment: Moment) -> None:
        held = {(id_, reason.code) for id_, reason in moment.held.items() if is_alarm(reason)}
        for id_, code in sorted(held - self._said):
            logger.warning("run %s waits: %s (%s)", id_, moment.held[id_], code)
        live = {run.id for run in moment.runs if not run.status.is_final}
        self._said = {said for said in self._said | held if said[0] in live}

    def note(self, text: str) -> None:
        """Write it now."""
        say_now(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Nothing to clean up."""


class LiveBoard:
    """A live picture at the bottom of the terminal; log lines go above it."""

    in_detail = True

    def __init__(self, console: Console, *, to_start: str = TO_START) -> None:
        self.console = console
        self._to_start = to_start
        self._note = ""
        self._live = Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )

    def show(self, moment: Moment) -> None:
        """Draw the picture again."""
        self._live.update(board(moment, self._note, to_start=self._to_start), refresh=True)

    def note(self, text: str) -> None:
        """Show a text in the next picture; if there is no picture yet, print it now."""
        self._note = text
        if not self._live.is_started:
            say_now(text)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        with suppress(OSError):  # the terminal was closed, which stops this process warm
            self._live.stop()
            if self._note:
                self.console.print(Text(self._note), soft_wrap=True)


class ConsoleHandler(logging.Handler):
    """Prints log records through a console, so that they do not damage a live picture below."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print it."""
        style = "red" if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else DIM
        self._console.print(Text(self.format(record), style), soft_wrap=True)


class Watch(Beside):
    """Reads and shows the newest runs again and again while its `with` block lasts."""

    def __init__(self, setup: Setup, segue: Segue, board: Board) -> None:
        super().__init__("segue-board")
        self._setup = setup
        self._segue = segue
        self._board = board

    def _run(self) -> None:
        while True:
            is_last = self._ended.is_set()
            try:
                self._board.show(Moment.at(self._setup, self._segue, in_detail=self._board.in_detail))
            except SegueError as error:
                logger.debug("could not read the runs: %s", error)
            if is_last:
                return
            self._ended.wait(LOOK_SECONDS)


def board(moment: Moment, note: str = "", *, to_start: str = TO_START) -> RenderableType:
    """The picture: active runs, running steps, what holds others back, and the runs that ended last."""
    active = _active_first(moment.runs)
    ended = [run for run in moment.runs if run.status.is_final]
    ended.sort(key=lambda run: run.finished_at or run.created_at, reverse=True)
    parts: list[RenderableType] = [Text()]
    if active:
        parts.append(_active(active[:ACTIVE_SHOWN], moment))
        if len(active) > ACTIVE_SHOWN:
            hidden = Counter(run.status.value for run in active[ACTIVE_SHOWN:])
            more = Text(f"  … {counted(hidden.total(), 'more active run')}: ", DIM)
            parts.append(more.append_text(counts_text(hidden)))
    if moment.running:
        parts.append(_steps(moment))
    if moment.held:
        parts.append(_held(moment))
    if ended:
        parts.append(_ended(ended[:ENDED_SHOWN], moment.now))
    if not moment.runs:
        parts.append(Text(f"  no runs yet; start one: {to_start}", DIM))
    parts.append(Text(note or "  Ctrl-C to stop", "yellow" if note else DIM))
    return Group(*parts)


def _active_first(runs: Sequence[RunInfo]) -> list[RunInfo]:
    """The runs that have not ended: running ones first, then those that wait to begin, then paused ones."""
    order = (RunStatus.RUNNING, RunStatus.PENDING, RunStatus.PAUSED)
    return sorted((run for run in runs if not run.status.is_final), key=lambda run: order.index(run.status))


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, overflow="ellipsis", max_width=32)
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column()  # the column that shrinks in a narrow terminal
    return grid


def _one_line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _active(runs: Sequence[RunInfo], moment: Moment) -> Table:
    grid = _grid()
    for run in runs:
        counts = moment.counts.get(run.id, {})
        total = sum(counts.values())
        done = sum(count for status, count in counts.items() if status.is_final)
        since = duration((moment.now - (run.started_at or run.created_at)).total_seconds())
        line = Text("waits for more starts", "cyan")  # a debounce has no steps yet
        if total:
            line = bar(done, total).append(f" {done:,}/{total:,}  ").append_text(_open(counts))
        grid.add_row(_name(run), Text(short_id(run.id), DIM), Text(since, DIM), _one_line(line))
    return grid


def _open(counts: Mapping[StepStatus, int]) -> Text:
    wanted = (StepStatus.FAILED, StepStatus.RUNNING, StepStatus.READY)
    return counts_text({status.value: counts[status] for status in wanted if status in counts})


def _steps(moment: Moment) -> Table:
    """Running steps."""
    grid = _grid()
    for run, step in moment.running:
        name = Text.assemble(("    ▸ ", STYLES["running"]), step.name)
        tries = Text(f"try {step.tries} " if step.tries > 1 else "", "yellow")
        seconds = Text(duration(spent(step, moment.now) or 0.0), DIM)
        grid.add_row(
            name, Text(short_id(run.id), DIM), seconds, _one_line(tries.append_text(step_line(step, moment.now)))
        )
    return grid


def _held(moment: Moment) -> Table:
    """Of each run in which nothing runs, why. The reason is the useful part, so it may take several lines."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    shown = [run for run in moment.runs if run.id in moment.held][:HELD_SHOWN]
    for run in shown:
        reason = moment.held[run.id]
        look = drawn(reason.code)
        grid.add_row(Text.assemble((f"    {look.glyph} ", look.style), (short_id(run.id), DIM)), reason_text(reason))
    return grid


def _ended(runs: Sequence[RunInfo], now: datetime) -> Table:
    grid = _grid()
    for run in runs:
        finished = run.finished_at or now
        took = duration((finished - run.created_at).total_seconds())
        why = (
            Text(f"{run.error.step}: {run.error.type}: {first_line(run.error.message)}", "red") if run.error else Text()
        )
        what = Text(f"{counted(run.steps, 'step')}, {ago(finished, now)}  ", DIM).append_text(why)
        grid.add_row(_name(run), Text(short_id(run.id), DIM), Text(took, DIM), _one_line(what))
    return grid


def _name(run: RunInfo) -> Text:
    status = run.status.value
    return Text.assemble((f"  {GLYPHS[status]} ", STYLES[status]), run.workflow.rpartition(".")[2])
