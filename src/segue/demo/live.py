"""What the terminal shows while the demo runs: the number of steps by status, the rate, and what runs now.

`Pulse` turns counts into rates and needs no terminal; `screen` draws them; `LiveView` updates the drawing in a
terminal, and `PlainView` prints lines elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from segue.model import FINAL_STEP_STATUSES, StepStatus

COLOURS = {
    StepStatus.SUCCEEDED: "green",
    StepStatus.RUNNING: "yellow",
    StepStatus.SENT: "yellow",
    StepStatus.READY: "cyan",
    StepStatus.BLOCKED: "bright_black",
    StepStatus.SKIPPED: "blue",
    StepStatus.CANCELLED: "magenta",
    StepStatus.FAILED: "red",
}
PLAIN_EVERY_SECONDS = 1.0
RATE_WINDOW_SECONDS = 2.5


@dataclass(frozen=True, slots=True)
class Running:
    """A step that a worker is running."""

    name: str
    attempt: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Frame:
    """Everything that is shown at one moment."""

    counts: Mapping[StepStatus, int]
    running: Sequence[Running]
    elapsed_seconds: float
    per_second: float
    worker: str

    @property
    def total(self) -> int:
        """All steps known so far."""
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        """Steps in a final status."""
        return sum(count for status, count in self.counts.items() if status in FINAL_STEP_STATUSES)

    @property
    def eta_seconds(self) -> float | None:
        """The time for the rest at the present rate; None while the rate is zero."""
        return (self.total - self.done) / self.per_second if self.per_second > 0 else None


class Pulse:
    """The rate at which steps become final, over the last few seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def beat(self, at_seconds: float, done: int) -> float:
        """Record that `done` steps are final, and return the steps per second."""
        self._seen.append((at_seconds, done))
        while len(self._seen) > 2 and at_seconds - self._seen[0][0] > RATE_WINDOW_SECONDS:
            self._seen.popleft()
        first_at, first = self._seen[0]
        return (done - first) / (at_seconds - first_at) if at_seconds > first_at else 0.0


class View(Protocol):
    """Where the demo shows its progress."""

    def show(self, frame: Frame) -> None:
        """Show this moment."""

    def say(self, message: Text) -> None:
        """Show an event permanently."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None: ...


class LiveView:
    """A picture at the bottom of the terminal that is redrawn, below a log of events."""

    def __init__(self, console: Console, concurrency: int) -> None:
        self._console = console
        self._concurrency = concurrency
        self._live = Live(console=console, refresh_per_second=12, transient=False)

    def show(self, frame: Frame) -> None:
        """Redraw the picture."""
        self._live.update(screen(frame, width=self._console.width, rows=self._concurrency))

    def say(self, message: Text) -> None:
        """Print an event above the picture."""
        self._console.print(message)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._live.stop()


class PlainView:
    """Prints one line a second, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown_at = -PLAIN_EVERY_SECONDS

    def show(self, frame: Frame) -> None:
        """Print a line if the last one is old enough, or if this is the last one."""
        is_last = frame.total > 0 and frame.done == frame.total
        if not is_last and frame.elapsed_seconds - self._shown_at < PLAIN_EVERY_SECONDS:
            return
        self._shown_at = frame.elapsed_seconds
        counts = ", ".join(f"{count} {status}" for status, count in _ordered(frame.counts))
        self._console.print(
            f"{frame.elapsed_seconds:6.1f} s  {frame.done}/{frame.total} steps  {frame.per_second:.0f}/s  {counts}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def say(self, message: Text) -> None:
        """Print an event."""
        self._console.print(message, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        return None


def view_for(console: Console, *, concurrency: int) -> View:
    """The view that suits the output of `console`."""
    return LiveView(console, concurrency) if console.is_terminal else PlainView(console)


def screen(frame: Frame, *, width: int, rows: int) -> RenderableType:
    """The picture of one moment; `rows` lines are reserved for running steps, so that it does not jump."""
    figures = Text()
    figures.append(f"{frame.done:,}", style="bold")
    figures.append(f" of {frame.total:,} steps", style="dim")
    for label, value in (
        ("", f"{frame.per_second:.0f}/s"),
        ("elapsed ", f"{frame.elapsed_seconds:.1f} s"),
        ("left ", _left(frame)),
        ("", frame.worker),
    ):
        figures.append("   ")
        figures.append(label, style="dim")
        figures.append(value)
    return Padding(
        Group(bar(frame.counts, max(min(width - 4, 100), 10)), _key(frame), figures, _now(frame, rows)), (1, 2)
    )


def bar(counts: Mapping[StepStatus, int], width: int) -> Text:
    """One line of `width` cells, divided among the statuses; a status with steps gets at least one cell."""
    present = _ordered(counts)
    total = sum(count for _, count in present)
    text = Text(no_wrap=True)
    if not total:
        return text.append("━" * width, style="bright_black")
    cells = {status: max(1, count * width // total) for status, count in present}
    largest = max(cells, key=lambda status: cells[status])
    cells[largest] += width - sum(cells.values())
    for status, _ in present:
        text.append("━" * cells[status], style=COLOURS[status])
    return text


def duration(seconds: float) -> str:
    """Seconds as people write them: 4.2 s, 1 min 12 s."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def _ordered(counts: Mapping[StepStatus, int]) -> list[tuple[StepStatus, int]]:
    return [(status, counts[status]) for status in COLOURS if counts.get(status)]


def _key(frame: Frame) -> Text:
    text = Text()
    for status, count in _ordered(frame.counts):
        text.append("● ", style=COLOURS[status])
        text.append(f"{status} ", style="dim")
        text.append(f"{count:,}   ")
    return text


def _left(frame: Frame) -> str:
    if frame.total and frame.done == frame.total:
        return "nothing"
    return "…" if frame.eta_seconds is None else f"~{duration(frame.eta_seconds)}"


def _now(frame: Frame, rows: int) -> Table:
    table = Table.grid(padding=(0, 2))
    for number in range(rows):
        if number < len(frame.running):
            step = frame.running[number]
            again = f"attempt {step.attempt}" if step.attempt > 1 else ""
            table.add_row(Text("▸", style="yellow"), Text(step.name), Text(f"{step.seconds:.1f} s", style="dim"), again)
        else:
            table.add_row("", "", "", "")
    return table
