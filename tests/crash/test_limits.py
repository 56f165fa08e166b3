"""Promise 10: limits hold across processes under load, and when those that have places are killed or hang."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from segue import Segue
from segue.engine.engine import Engine
from segue.model import Outcome, Verdict
from tests.contract.limiting import define, fair, limited, names
from tests.contract.stage import Stage, node, plan
from tests.crash import limited_tasks
from tests.crash.faults import Died, FaultyStore, die
from tests.crash.worker_processes import PATIENCE_SECONDS, WorkerProcesses, eventually
from tests.crash.working import finish_after_a_death, forget_ended_runs, work
from tests.thorough import IS_THOROUGH

SIZE = 160
KILLED = 2
STRIDE = 1 if IS_THOROUGH else 15


@pytest.fixture
def times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "times"
    path.touch()
    monkeypatch.setenv(limited_tasks.TIMES, str(path))
    return path


@pytest.fixture
def crew(segue: Segue, times: Path, tmp_path: Path) -> Iterator[WorkerProcesses]:
    with WorkerProcesses(segue.url, tmp_path) as found:
        yield found


def most_at_once(times: Path, deaths: list[float]) -> tuple[int, Counter[str]]:
    """How many places were taken at the worst moment, in all and for each customer.

    What began and never ended was killed: it ended with the first death after its beginning.
    """
    began: dict[str, tuple[float, str, int]] = {}
    spans: list[tuple[float, float, str, int]] = []
    for line in times.read_text().splitlines():
        word, at, _, which, *rest = line.split(" ")
        customer, cost = rest[0], int(rest[1])
        if word == "began":
            began[which] = (float(at), customer, cost)
        else:
            since, *_ = began.pop(which)
            spans.append((since, float(at), customer, cost))
    for since, customer, cost in began.values():
        spans.append((since, min([death for death in deaths if death >= since], default=since), customer, cost))
    changes = sorted(
        [(end, 0, customer, -cost) for _, end, customer, cost in spans]
        + [(since, 1, customer, cost) for since, _, customer, cost in spans]
    )
    taken, most, by_customer, most_of = 0, 0, Counter[str](), Counter[str]()
    for _, _, customer, cost in changes:
        taken += cost
        by_customer[customer] += 1 if cost > 0 else -1
        most = max(most, taken)
        most_of[customer] = max(most_of[customer], by_customer[customer])
    return most, most_of


def test_limits_hold_under_load_while_workers_are_killed(segue: Segue, crew: WorkerProcesses, times: Path) -> None:
    workers = [crew.start(module="tests.crash.limited_tasks", places=3) for _ in range(3)]
    run = segue.start(limited_tasks.busy, SIZE)
    deaths = []
    for number in range(KILLED):
        eventually(lambda number=number: times.read_text().count("\n") > 40 * (number + 1))
        workers[number].kill()
        deaths.append(time.monotonic())
        crew.start_without_waiting(module="tests.crash.limited_tasks", places=3)
    run.wait(2 * PATIENCE_SECONDS)
    assert run.result() == SIZE + SIZE // 4
    most, by_customer = most_at_once(times, deaths)
    assert most == limited_tasks.PLACES  # no more, and no less
    assert max(count for customer, count in by_customer.items() if customer) == limited_tasks.EACH
    assert segue.engine.broken_invariants() == []


def test_a_limit_that_is_opened_lets_workers_that_run_go_on(segue: Segue, crew: WorkerProcesses, times: Path) -> None:
    segue.limits.set("narrow", concurrency=0)
    crew.start(module="tests.crash.limited_tasks", lease_seconds=30.0)  # or a busy machine takes it for lost
    run = segue.start(limited_tasks.busy, 4)
    assert {reason.code for reason in run.explain("visit[0]")} == {"limited"}
    assert times.read_text() == ""
    segue.limits.set("narrow", concurrency=2)
    run.wait(PATIENCE_SECONDS)
    most, _ = most_at_once(times, [])
    assert most == 2


@pytest.mark.usefixtures("quick_retries", "times")
def test_whoever_dies_wherever_leaves_no_place_behind(segue: Segue) -> None:
    """A worker dies at points of turns that claim lanes, take tokens and admit runs; another one goes on."""
    counting = FaultyStore(segue.engine.store)
    runs = [segue.start(limited_tasks.one_by_one, "r") for _ in range(2)]
    work(Engine(counting))
    assert [run.result() for run in runs] == [["a", "b", ["a", "b"]]] * 2
    numbers = range(5, len(counting.points), STRIDE)
    deaths = 0
    for number in numbers:
        runs = [segue.start(limited_tasks.one_by_one, "r") for _ in range(2)]
        try:
            work(Engine(FaultyStore(segue.engine.store, die, number)))
        except Died:
            deaths += 1
            finish_after_a_death(segue)
        assert [run.result() for run in runs] == [["a", "b", ["a", "b"]]] * 2
        assert {(limit.used, limit.waiting) for limit in segue.limits.list()} == {(0, 0)}
        assert segue.engine.broken_invariants() == []
        forget_ended_runs(segue)
    assert deaths > len(numbers) * 0.7  # how many looks a worker takes depends on how fast it is


def test_a_turn_waits_for_nobody_who_has_a_limit_in_hand(postgres_url: str) -> None:
    """Whoever was stopped in the middle of a claim keeps its lanes to himself, and nothing else."""
    stage = Stage(postgres_url)
    define(stage, "api", concurrency=5)
    stage.start(plan(limited("a0", "api"), node("plain"), fair("b0", "b")))
    worker = stage.hire("other")
    with stage.store.transaction() as tx:
        assert tx.all("lock_limits", names=["api"], keys=[""]) == [("api", "")]
        tx.all(
            "count_shares", queues=["default"], keys=["b"], amounts=[1.0], floors=[0.0], now=stage.clock.now()
        )  # fmt: skip
        result = stage.turn(by=worker, want=5)
        assert sorted(names(result.jobs)) == ["b0", "plain"]
        jobs = stage.turn(by=worker, want=5)
        assert (jobs.jobs, jobs.look_seconds is not None and jobs.look_seconds < 0.1) == ([], True)
        ended = [Outcome(job.run_id, job.step, job.attempt, Verdict.SUCCEEDED, "1") for job in result.jobs]
        assert stage.turn(*ended, by=worker).refused == 0
    assert names(stage.turn(by=worker, want=5).jobs) == ["a0"]
    with stage.engine.reading() as tx:
        assert [(row[1], row[3]) for row in tx.all("list_shares", limit=9, prefix=None)] == [("b", 1.0)]
    stage.close()
