"""Folders through which an attempt gets its job and leaves its outcome."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.attempt import spool
from segue.attempt.spool import Spooled
from segue.model import Job, Outcome, Verdict

JOB = Job("run", 3, 2, "name", "task", "[[null],{}]", "[]", {1: '"x"', 12: "[1]"}, 5.0, 1)


def test_a_job_comes_back_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    for _ in range(2):
        spool.write_job(folder, Spooled(JOB, ("shop.tasks",)))
    assert spool.read_job(folder) == Spooled(JOB, ("shop.tasks",))
    assert (folder / spool.JOB).stat().st_mode & 0o077 == 0
    assert [path.name for path in folder.iterdir()] == [spool.JOB]


def test_only_the_first_begins(tmp_path: Path) -> None:
    assert spool.begun_by(tmp_path) is None
    assert [spool.begin(tmp_path, "first"), spool.begin(tmp_path, "second")] == [True, False]
    assert spool.begun_by(tmp_path) == "first"


def test_an_outcome_is_there_or_not(tmp_path: Path) -> None:
    assert spool.read_outcome(tmp_path) is None
    assert spool.read_outcome(tmp_path / "gone") is None
    outcome = Outcome("run", 3, 2, Verdict.SUCCEEDED, "1", output="said")
    spool.write_outcome(tmp_path, outcome)
    assert spool.read_outcome(tmp_path) == outcome


def test_a_damaged_outcome_is_told(tmp_path: Path) -> None:
    (tmp_path / spool.OUTCOME).write_text("[")
    with pytest.raises(ValueError, match="truncated"):
        spool.read_outcome(tmp_path)


def test_the_end_of_the_output(tmp_path: Path) -> None:
    path = tmp_path / spool.OUTPUT
    assert spool.tail_of(path) == ""
    path.write_bytes(b"x" * spool.TAIL_BYTES + b"\xff the end")
    assert spool.tail_of(path).endswith(" the end")
    assert len(spool.tail_of(path)) <= spool.TAIL_BYTES


def test_what_is_left_is_removed_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    ours, other = tmp_path / "ours", tmp_path / "other"
    for folder in (ours, other):
        spool.write_job(folder, Spooled(JOB))
        spool.begin(folder, "me")
    (other / "core.17").touch()
    for folder in (ours, other):
        spool.remove(folder)
        spool.remove(folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["other", "core.17"]
