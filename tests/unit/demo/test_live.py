"""What the terminal shows, without a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from segue.demo.live import Frame, LiveView, PlainView, Pulse, Running, bar, duration, screen, view_for
from segue.model import StepStatus

COUNTS = {StepStatus.SUCCEEDED: 60, StepStatus.RUNNING: 2, StepStatus.READY: 37, StepStatus.FAILED: 1}


def frame(seconds: float = 2.0, **changes: object) -> Frame:
    given: dict[str, object] = {
        "counts": COUNTS,
        "running": [Running("parse[7]", 2, 0.4)],
        "elapsed_seconds": seconds,
        "per_second": 13.0,
        "worker": "worker 4711",
    }
    return Frame(**(given | changes))  # type: ignore[arg-type]


def console(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=100, force_terminal=terminal, color_system=None)


def printed(out: Console) -> str:
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_what_is_left_follows_from_the_rate() -> None:
    assert (frame().done, frame().total) == (61, 100)
    assert frame().eta_seconds == pytest.approx(3.0)
    assert frame(per_second=0.0).eta_seconds is None


def test_the_rate_is_of_the_last_seconds_only() -> None:
    pulse = Pulse()
    assert pulse.beat(0.0, 0) == 0.0
    assert pulse.beat(1.0, 100) == pytest.approx(100.0)
    assert pulse.beat(11.0, 100) == pytest.approx(0.0)


@pytest.mark.parametrize("width", [10, 33, 100])
def test_the_bar_is_as_wide_as_asked_and_shows_every_status(width: int) -> None:
    text = bar({**COUNTS, StepStatus.BLOCKED: 100_000}, width)
    assert len(text.plain) == width
    assert {"green", "yellow", "cyan", "red", "bright_black"} == {str(span.style) for span in text.spans}


def test_a_bar_without_steps_is_empty() -> None:
    assert len(bar({}, 20).plain) == 20


def test_the_picture_names_figures_and_running_steps_and_does_not_jump() -> None:
    out = console()
    out.print(screen(frame(), width=100, rows=3))
    busy = printed(out)
    for expected in ("61 of 100 steps", "13/s", "elapsed 2.0 s", "left ~3.0 s", "worker 4711", "parse[7]", "attempt 2"):
        assert expected in busy
    idle = console()
    idle.print(screen(frame(running=[]), width=100, rows=3))
    assert len(printed(idle).splitlines()) == len(busy.splitlines())


def test_lines_are_printed_once_a_second_and_at_the_end() -> None:
    out = console()
    with PlainView(out) as view:
        for tenth in range(25):
            view.show(frame(tenth / 10))
        view.say(Text("something happened"))
        view.show(frame(2.41, counts={StepStatus.SUCCEEDED: 100}))
    lines = printed(out).splitlines()
    assert len(lines) == 5
    assert lines[0].strip() == "0.0 s  61/100 steps  13/s  60 succeeded, 2 running, 37 ready, 1 failed"
    assert lines[-1].strip() == "2.4 s  100/100 steps  13/s  100 succeeded"


def test_the_view_fits_where_it_prints_to() -> None:
    assert isinstance(view_for(console(terminal=True), concurrency=2), LiveView)
    assert isinstance(view_for(console(), concurrency=2), PlainView)


@pytest.mark.parametrize("seconds, text", [(0.04, "0.0 s"), (59.9, "59.9 s"), (72.0, "1 min 12 s")])
def test_durations_are_said_as_a_person_would(seconds: float, text: str) -> None:
    assert duration(seconds) == text
