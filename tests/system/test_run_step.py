"""`segue run-step`: one step from a spool, in a real process without a database."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segue.attempt import spool
from segue.attempt.spool import Spooled
from segue.model import Job, Outcome, Verdict

MODULE = "tests.system.spooled_tasks"


def spooled(folder: Path, task: str, args: str = "[[],{}]", *, modules: tuple[str, ...] = (MODULE,)) -> Path:
    spool.write_job(folder, Spooled(Job("run", 3, 2, "step", f"spooled.{task}", args, None, {}, None), modules))
    return folder


def run_step(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "segue", "run-step", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def outcome_of(folder: Path) -> Outcome:
    found = spool.read_outcome(folder)
    assert found is not None
    assert (found.run_id, found.step, found.attempt) == ("run", 3, 2)
    return found


def test_a_step_runs_once_and_leaves_its_outcome(tmp_path: Path) -> None:
    spooled(tmp_path, "double", "[[4],{}]")
    first = run_step(tmp_path)
    output, log = first.communicate()
    assert (output, first.returncode) == ("doubling 4\n", 0)
    [line] = log.splitlines()
    assert " INFO    segue.attempts: spooled.double succeeded in 0." in line
    assert line.endswith("(step, attempt 2 of run run)")
    assert (outcome_of(tmp_path).verdict, outcome_of(tmp_path).result) == (Verdict.SUCCEEDED, "8")
    second = run_step(tmp_path)
    assert "is not run twice" in second.communicate()[1]
    assert second.returncode == spool.NOT_MINE


def test_a_failure_is_an_outcome_as_well(tmp_path: Path) -> None:
    process = run_step(spooled(tmp_path, "broken"))
    log = process.communicate()[1]
    outcome = outcome_of(tmp_path)
    assert " WARNING segue.attempts: spooled.broken failed after" in log
    assert "Traceback (most recent call last):" in log
    assert outcome.error is not None
    assert (process.returncode, outcome.verdict, outcome.error.type) == (0, Verdict.FAILED, "ValueError")


def test_without_a_database_nothing_can_be_recorded(tmp_path: Path) -> None:
    run_step(spooled(tmp_path, "recording")).communicate()
    error = outcome_of(tmp_path).error
    assert error is not None
    assert "checkpoint('part') was called in the step step, whose process has no connection" in error.message


def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    process = run_step(spooled(tmp_path, "double", "[[4],{}]", modules=("no.such.module",)))
    process.communicate()
    outcome = outcome_of(tmp_path)
    assert outcome.error is not None
    assert (process.returncode, outcome.verdict) == (0, Verdict.FAILED)
    assert "no.such.module" in outcome.error.message or "'no'" in outcome.error.message


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.proof)])
def test_a_signal_from_outside_loses_the_attempt(tmp_path: Path, number: signal.Signals) -> None:
    process = run_step(spooled(tmp_path, "wait", f'[["{tmp_path}/began"],{{}}]'))
    while not (tmp_path / "began").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate()
    outcome = outcome_of(tmp_path)
    assert outcome.error is not None
    assert (process.returncode, outcome.verdict, outcome.error.type) == (0, Verdict.LOST, "worker_lost")


def test_a_folder_without_a_job(tmp_path: Path) -> None:
    process = run_step(tmp_path / "nothing")
    assert "cannot be read" in process.communicate()[1]
    assert process.returncode == 2


def test_what_a_task_prints_is_in_the_log_at_once_and_once(tmp_path: Path) -> None:
    process = run_step(spooled(tmp_path / "job", "tell", f'[["{tmp_path}/go"],{{}}]'))
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["first\n", "\\x00é\n"]  # while the task waits
    assert process.poll() is None
    (tmp_path / "go").touch()
    assert process.communicate()[0] == "last, without an end of line"
    assert outcome_of(tmp_path / "job").output == "first\n\\x00é\nlast, without an end of line"


def test_much_output_is_cut_and_its_end_is_there(tmp_path: Path) -> None:
    process = run_step(spooled(tmp_path / "job", "pour", "[[200000],{}]"))
    text = process.communicate()[0]
    assert text.endswith("line 199998\nline 199999\n")
    assert text.count("line 199999\n") == 1
    assert len(text) < 2_000_000
