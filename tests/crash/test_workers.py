"""Real workers, with their pools of processes: killed, frozen, poisoned, replaced by newer ones."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from segue import Segue
from segue.model import RunStatus
from tests.crash import crash_tasks, newer_tasks
from tests.crash.ledger import Ledger
from tests.crash.worker_processes import PATIENCE_SECONDS, WorkerProcesses, eventually, freeze
from tests.crash.working import assert_ended_well


@pytest.fixture
def crew(segue: Segue, ledger: Ledger, tmp_path: Path) -> Iterator[WorkerProcesses]:
    with WorkerProcesses(segue.url, tmp_path) as found:
        yield found


@pytest.fixture
def gates(tmp_path: Path) -> list[Path]:
    return [tmp_path / f"gate-{number}" for number in range(3)]


def started(segue: Segue, gates: list[Path]) -> str:
    return segue.start(crash_tasks.gates, [str(gate) for gate in gates]).id


def zygote_of(pid: int) -> int:
    """The only child of a worker."""
    [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def test_the_steps_of_a_killed_worker_are_rescued(
    segue: Segue, crew: WorkerProcesses, ledger: Ledger, gates: list[Path]
) -> None:
    victim = crew.start(places=3)
    run = segue.get(started(segue, gates))
    eventually(lambda: len(ledger.lines("began")) == 3)
    gates[0].touch()
    eventually(lambda: len(run.steps(status="succeeded")) == 1)
    victim.kill()
    for gate in gates:
        gate.touch()
    crew.start(places=3)
    run.wait(PATIENCE_SECONDS)
    assert_ended_well(segue, run)
    assert run.result() == 3
    ledger.check(run)
    assert sorted(attempt.status for attempt in run.attempts()) == ["lost", "lost"]
    assert ledger.began(run.id) == {"wait_for": 5, "total": 1}


def test_a_frozen_worker_is_replaced_and_goes_on_as_another(
    segue: Segue, crew: WorkerProcesses, ledger: Ledger, gates: list[Path]
) -> None:
    frozen = crew.start(places=3)
    run = segue.get(started(segue, gates))
    eventually(lambda: len(ledger.lines("began")) == 3)
    freeze(segue, frozen.send)
    other = crew.start(places=3)
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

    later = segue.start(crash_tasks.rich)
    later.wait(PATIENCE_SECONDS)
    assert later.result() == crash_tasks.RICH_RESULT
    for each in (run, later):
        assert_ended_well(segue, each)
        ledger.check(each)
    assert frozen.end() == 0


def test_a_poisonous_task_is_parked_and_its_worker_works_on(
    segue: Segue, crew: WorkerProcesses, ledger: Ledger
) -> None:
    """Its child is killed at each try: one failure each, and no worker lost."""
    worker = crew.start()
    poison = segue.start(crash_tasks.kill_child)
    poison.wait(PATIENCE_SECONDS)
    error = poison.info().error
    assert error is not None
    assert error.type == "ProcessDiedError"
    assert ledger.began(poison.id) == {"kill_child": 2}
    run = segue.start(crash_tasks.rich)
    run.wait(PATIENCE_SECONDS)
    assert run.result() == crash_tasks.RICH_RESULT
    assert_ended_well(segue, poison, RunStatus.FAILED)
    assert [found.id for found in segue.workers()] == [worker.id]
    assert worker.end() == 0


def test_what_ran_when_the_zygote_was_killed_is_lost_and_runs_again(
    segue: Segue, crew: WorkerProcesses, ledger: Ledger, gates: list[Path]
) -> None:
    """Its tasks have no retries, and need none."""
    worker = crew.start(places=3)
    run = segue.get(started(segue, gates))
    eventually(lambda: len(ledger.lines("began")) == 3)
    os.kill(zygote_of(worker.pid), signal.SIGKILL)
    eventually(lambda: len(ledger.lines("began")) == 6)
    for gate in gates:
        gate.touch()
    run.wait(PATIENCE_SECONDS)
    assert run.result() == 3
    assert_ended_well(segue, run)
    ledger.check(run)
    lost = run.attempts()
    assert [(attempt.status, attempt.error and attempt.error.type) for attempt in lost] == [("lost", "worker_lost")] * 3
    assert worker.end() == 0


def test_a_task_that_kills_the_zygote_is_parked(segue: Segue, crew: WorkerProcesses, ledger: Ledger) -> None:
    worker = crew.start(places=1)
    run = segue.start(crash_tasks.kill_zygote)
    run.wait(PATIENCE_SECONDS)
    error = run.info().error
    assert error is not None
    assert error.type == "worker_lost"
    assert "parked" in error.message
    assert ledger.began(run.id) == {"kill_zygote": 2}
    assert_ended_well(segue, run, RunStatus.FAILED)
    assert worker.end() == 0


@pytest.mark.parametrize(
    "number, code", [(signal.SIGHUP, 0), (signal.SIGQUIT, 128 + signal.SIGQUIT)], ids=["SIGHUP", "SIGQUIT"]
)
def test_a_signal_that_would_end_it_has_it_hand_back_what_it_has(
    segue: Segue, crew: WorkerProcesses, ledger: Ledger, gates: list[Path], number: signal.Signals, code: int
) -> None:
    worker = crew.start(places=3)
    run = segue.get(started(segue, gates))
    eventually(lambda: len(ledger.lines("began")) == 3)
    worker.send(number)
    if number is signal.SIGHUP:  # what runs may finish
        eventually(lambda: "Stopping" in worker.log())
        worker.send(number)  # a terminal that closes sends several
        for gate in gates:
            gate.touch()
    assert worker.exit_code() == code
    assert {step.status for step in run.steps()} <= {"ready", "blocked", "succeeded"}
    for gate in gates:
        gate.touch()
    crew.start(places=3)
    run.wait(PATIENCE_SECONDS)
    assert run.result() == 3
    assert ledger.began(run.id)["wait_for"] == (3 if number is signal.SIGHUP else 6)
    assert [attempt.status for attempt in run.attempts() if attempt.status == "lost"] == []


def test_a_task_that_kills_its_workers_is_parked(
    segue: Segue, crew: WorkerProcesses, ledger: Ledger, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    run = segue.start(crash_tasks.kill_worker, str(pid_file))
    for _ in range(2):
        worker = crew.start_without_waiting()
        pid_file.write_text(str(worker.pid))
        assert worker.exit_code() == -signal.SIGKILL
    survivor = crew.start()
    run.wait(PATIENCE_SECONDS)
    error = run.info().error
    assert error is not None
    assert error.type == "worker_lost"
    assert ledger.began(run.id) == {"kill_worker": 2}
    assert_ended_well(segue, run, RunStatus.FAILED)
    assert survivor.end() == 0


def test_old_and_new_code_work_side_by_side(segue: Segue, crew: WorkerProcesses, ledger: Ledger) -> None:
    old = crew.start()
    run = segue.start(newer_tasks.newer)
    eventually(lambda: run.explain("double")[0].code == "unknown_task")
    [reason] = run.explain()
    assert "tests.crash.newer_tasks.double" in reason.text
    before = segue.start(crash_tasks.rich)
    crew.start(module="tests.crash.newer_tasks")
    for each in (run, before):
        each.wait(PATIENCE_SECONDS)
    assert (run.result(), before.result()) == (3, crash_tasks.RICH_RESULT)
    assert old.end() == 0
    after = segue.start(crash_tasks.rich)
    after.wait(PATIENCE_SECONDS)
    for each in (run, before, after):
        assert_ended_well(segue, each)
        ledger.check(each)
