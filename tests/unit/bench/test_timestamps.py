"""The records that task bodies leave, and what is demanded of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.bench import timestamps
from segue.bench.timestamps import FOLDER_VARIABLE, Ledger, Mark, MeasureError, check_chain, check_fan, checked


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(timestamps, "_descriptors", {})
    return tmp_path


def test_marks_come_back_by_run_and_node(folder: Path) -> None:
    for run, node in [(1, 2), (2, 0), (1, 0), (1, 1)]:
        assert timestamps.mark(run, node) == node
    ledger = Ledger(folder)
    found = ledger.wait(1, 3, timeout_seconds=0)
    assert [mark.node for mark in found] == [0, 1, 2]
    assert all(mark.begun <= mark.ended for mark in found)
    assert [mark.node for mark in ledger.wait(2, 1, timeout_seconds=0)] == [0]


def test_tasks_that_did_not_run_are_counted(folder: Path) -> None:
    timestamps.mark(1, 0)
    with pytest.raises(MeasureError, match="1 of 2 tasks had run"):
        Ledger(folder).wait(1, 2, timeout_seconds=0)


def test_a_task_that_ran_again_later_is_noticed(folder: Path) -> None:
    ledger = Ledger(folder)
    timestamps.mark(1, 0)
    ledger.wait(1, 1, timeout_seconds=0)
    timestamps.mark(1, 0)
    timestamps.mark(2, 0)
    with pytest.raises(MeasureError, match="ran once more"):
        ledger.wait(2, 1, timeout_seconds=0)


def test_a_repetition_in_the_place_of_another_node_is_noticed() -> None:
    with pytest.raises(MeasureError, match="1 did not run and 1 executions were repetitions"):
        checked([Mark(0, 1, 2), Mark(0, 3, 4)], 2)


def test_order_is_checked() -> None:
    first, second, third = Mark(0, 1, 2), Mark(1, 3, 4), Mark(2, 5, 6)
    check_chain([first, second, third])
    check_fan([first, second, Mark(2, 3, 4), Mark(3, 5, 6)])
    with pytest.raises(MeasureError, match="node 1 began before node 0"):
        check_chain([Mark(0, 1, 4), second])
    with pytest.raises(MeasureError, match="node 2 began before node 1"):
        check_fan([first, Mark(1, 3, 6), third])
