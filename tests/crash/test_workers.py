"""Real workers, with their pools of processes: killed, frozen, poisoned, replaced by newer ones."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from segue import Segue
from segue.model import RunStatus
from tests.crash import deeds, newer_deeds
from tests.crash.acting import assert_ended_well
from tests.crash.crew import PATIENCE_SECONDS, Crew, eventually
from tests.crash.ledger import Ledger


@pytest.fixture
def crew(segue: Segue, ledger: Ledger, tmp_path: Path) -> Iterator[Crew]:
    with Crew(segue.url, tmp_path) as found:
        yield found


@pytest.fixture
def gates(tmp_path: Path) -> list[Path]:
    return [tmp_path / f"gate-{number}" for number in range(3)]


def started(segue: Segue, gates: list[Path]) -> str:
    return segue.start(deeds.gates, [str(gate) for gate in gates]).id


def test_the_steps_of_a_killed_worker_are_rescued(segue: Segue, crew: Crew, ledger: Ledger, gates: list[Path]) -> None:
    victim = crew.hire(places=3)
    run = segue.get(started(segue, gates))
    eventually(lambda: len(ledger.lines("began")) == 3)
    gates[0].touch()
    eventually(lambda: len(run.steps(status="succeeded")) == 1)
    victim.kill()
    for gate in gates:
        gate.touch()
    crew.hire(places=3)
    run.wait(PATIENCE_SECONDS)
    assert_ended_well(segue, run)
    assert run.result() == 3
    ledger.check(run)
    assert sorted(attempt.status for attempt in run.attempts()) == ["lost", "lost"]
    assert ledger.began(run.id) == {"wait_for": 5, "total": 1}


def test_a_frozen_worker_is_replaced_and_goes_on_as_another(
    segue: Segue, crew: Crew, ledger: Ledger, gates: list[Path]
) -> None:
    frozen = crew.hire(places=3)
    run = segue.get(started(segue, gates))
    eventually(lambda: len(ledger.lines("began")) == 3)
    frozen.send(signal.SIGSTOP)
    other = crew.hire(places=3)
    eventually(lambda: len(ledger.lines("began")) == 6)
    for gate in gates:
        gate.touch()
    run.wait(PATIENCE_SECONDS)
    assert other.end() == 0
    recorded = {(step.step, step.attempt) for step in run.steps()}
    frozen.send(signal.SIGCONT)
    eventually(lambda: "refused" in frozen.log())
    assert {(step.step, step.attempt) for step in run.steps()} == recorded
    eventually(lambda: [found.id for found in segue.workers() if found.id != frozen.id])

    later = segue.start(deeds.rich)
    later.wait(PATIENCE_SECONDS)
    assert later.result() == deeds.RICH_RESULT
    for each in (run, later):
        assert_ended_well(segue, each)
        ledger.check(each)
    assert frozen.end() == 0


def test_a_poisonous_task_is_parked_and_its_worker_works_on(segue: Segue, crew: Crew, ledger: Ledger) -> None:
    """Its child is killed at each try: one failure each, and no worker lost."""
    worker = crew.hire()
    poison = segue.start(deeds.kill_child)
    poison.wait(PATIENCE_SECONDS)
    error = poison.info().error
    assert error is not None
    assert error.type == "ProcessDiedError"
    assert ledger.began(poison.id) == {"kill_child": 2}
    run = segue.start(deeds.rich)
    run.wait(PATIENCE_SECONDS)
    assert run.result() == deeds.RICH_RESULT
    assert_ended_well(segue, poison, RunStatus.FAILED)
    assert [found.id for found in segue.workers()] == [worker.id]
    assert worker.end() == 0


def test_a_task_that_kills_its_workers_is_parked(segue: Segue, crew: Crew, ledger: Ledger, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    run = segue.start(deeds.kill_worker, str(pid_file))
    for _ in range(2):
        worker = crew.begin_to_hire()
        pid_file.write_text(str(worker.pid))
        assert worker.exit_code() == -signal.SIGKILL
    survivor = crew.hire()
    run.wait(PATIENCE_SECONDS)
    error = run.info().error
    assert error is not None
    assert error.type == "worker_lost"
    assert ledger.began(run.id) == {"kill_worker": 2}
    assert_ended_well(segue, run, RunStatus.FAILED)
    assert survivor.end() == 0


def test_old_and_new_code_work_side_by_side(segue: Segue, crew: Crew, ledger: Ledger) -> None:
    old = crew.hire()
    run = segue.start(newer_deeds.newer)
    eventually(lambda: run.explain("double")[0].code == "unknown_task")
    [reason] = run.explain()
    assert "tests.crash.newer_deeds.double" in reason.text
    before = segue.start(deeds.rich)
    crew.hire(module="tests.crash.newer_deeds")
    for each in (run, before):
        each.wait(PATIENCE_SECONDS)
    assert (run.result(), before.result()) == (3, deeds.RICH_RESULT)
    assert old.end() == 0
    after = segue.start(deeds.rich)
    after.wait(PATIENCE_SECONDS)
    for each in (run, before, after):
        assert_ended_well(segue, each)
        ledger.check(each)
