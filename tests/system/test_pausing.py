"""Pauses with real workers: nothing starts while it lasts, everything happens once, what was ended starts again."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segue import Segue
from segue.client import Run
from segue.model import StepStatus
from tests.system import pausing_tasks
from tests.system.pausing_tasks import PATIENCE_SECONDS, notes
from tests.system.test_cli_processes import Spawn, spawning

SIZE = 3


@pytest.fixture
def spawn(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spawn]:
    with spawning(database_url) as start:
        yield lambda *words: start(*words, "-A", pausing_tasks.__name__)


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < end, "it did not become so"
        time.sleep(0.01)


def begun(segue: Segue, spawn: Spawn, folder: Path, pool: str) -> tuple[Run, subprocess.Popen[bytes]]:
    """A run whose first step runs on a worker."""
    run = segue.start(pausing_tasks.working, str(folder), SIZE)
    worker = spawn("worker", "-c", "2", "--pool", pool)
    until(lambda: "begun 0" in notes(folder))
    return run, worker


def give_leave(folder: Path, *numbers: int) -> None:
    for number in numbers:
        (folder / f"go-{number}").touch()


def runs_nothing(run: Run) -> bool:
    return StepStatus.RUNNING not in run.counts()


def worker_has_looked(segue: Segue) -> None:
    """Another run goes through: the worker has claimed all that it may since."""
    for _ in range(2):
        segue.start(pausing_tasks.nothing).wait(PATIENCE_SECONDS)


def test_nothing_starts_everything_happens_once_and_what_is_ended_starts_again(
    segue: Segue, spawn: Spawn, tmp_path: Path
) -> None:
    run, _ = begun(segue, spawn, tmp_path, "process")
    assert run.pause() == "paused"
    give_leave(tmp_path, 0)
    until(lambda: runs_nothing(run))  # what ran goes on to its end
    worker_has_looked(segue)
    assert notes(tmp_path) == ["begun 0", "did 0"]
    assert [step.status.value for step in run.steps()] == ["succeeded", "ready", "blocked", "blocked"]
    assert run.explain()[0].code == "paused"
    run.resume()
    until(lambda: "begun 1" in notes(tmp_path))
    assert run.pause(stop_running=True) == "paused"
    until(lambda: runs_nothing(run))
    assert notes(tmp_path)[2:] == ["begun 1", "ended 1"]
    [second] = run.steps(name="work[1]")
    assert (second.status, second.gate, second.attempt, second.failures, second.losses) == ("ready", "paused", 1, 0, 0)
    assert [attempt.status for attempt in run.attempts()] == ["released"]
    give_leave(tmp_path, 1, 2)
    worker_has_looked(segue)
    assert notes(tmp_path)[2:] == ["begun 1", "ended 1"]
    run.resume()
    assert run.wait(PATIENCE_SECONDS).result() == [0, 1, 2]
    assert notes(tmp_path)[4:] == ["begun 1", "did 1", "begun 2", "did 2"]
    [second] = run.steps(name="work[1]")
    assert (second.attempt, second.failures) == (2, 0)


def test_a_cancel_ends_what_runs_in_a_paused_run_and_the_finalizer_runs(
    segue: Segue, spawn: Spawn, tmp_path: Path
) -> None:
    run, _ = begun(segue, spawn, tmp_path, "thread")
    run.pause()
    assert run.cancel() == "running"
    assert run.wait(PATIENCE_SECONDS).status == "cancelled"
    assert notes(tmp_path) == ["begun 0", "ended 0"]
    statuses = {step.name: step.status.value for step in run.steps()}
    assert (statuses["work[0]"], statuses["work[2]"], statuses["clean"]) == ("cancelled", "cancelled", "succeeded")
    assert segue.engine.broken_invariants() == []
