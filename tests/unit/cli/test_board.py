"""What `segue dev` shows of runs: those that wait, too, and what for."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest
from rich.console import Console

from segue import Segue, wait_for, workflow
from segue.cli.board import ACTIVE_SHOWN, Moment, board
from segue.cli.options import Setup
from segue.client import Debounce
from segue.model import short_id
from tests.unit.cli.shop_tasks import census, delayed


@workflow
def asking() -> object:
    return wait_for("approved")


@pytest.fixture
def segue(make_sqlite_url: Callable[[], str]) -> Iterator[Segue]:
    with Segue(make_sqlite_url()) as segue:
        yield segue


def picture(segue: Segue, width: int = 80) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    with console.capture() as captured:
        console.print(board(Moment.at(Setup(), segue, in_detail=True)))
    return captured.get().splitlines()


def line_of(lines: list[str], word: str) -> str:
    return next(line for line in lines if word in line)


def test_what_holds_a_run_back_is_told(segue: Segue) -> None:
    segue.start(asking)
    segue.start(delayed)
    lines = picture(segue)
    assert "approved: has waited for 'approved' since" in line_of(lines, "    ◷ ")
    assert "much_later: will be ready then, but no worker is running" in line_of(lines, "    ! ")


def test_a_paused_run_stands_behind_those_that_move(segue: Segue) -> None:
    waiting = segue.start(delayed)
    paused = segue.start(delayed)
    paused.pause()
    lines = picture(segue)
    assert [line.split()[0] for line in lines if "━" in line or "╌" in line] == ["○", "‖"]
    assert short_id(waiting.id) in lines[1]
    assert "the run was paused at" in line_of(lines, "    ‖ ")


def test_a_debounce_has_no_steps_yet(segue: Segue) -> None:
    segue.start(census, "monday", debounce=Debounce(key="north", window=60))
    lines = picture(segue)
    assert "waits for more starts" in line_of(lines, "census")
    assert "0/0" not in "".join(lines)


def test_runs_that_are_not_shown_are_counted_by_status(segue: Segue) -> None:
    for _ in range(ACTIVE_SHOWN):
        segue.start(delayed)
    segue.start(delayed).pause()
    assert "… 1 more active run: 1 paused" in line_of(picture(segue), "more active")
