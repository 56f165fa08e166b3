"""The window of an executor: the database keeps what the broker need not hold yet, and nothing waits in vain."""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from segue.engine.claiming.window import COUNT_SECONDS, UNCOUNTED
from segue.engine.dispatch import Dispatch, SentStep
from segue.engine.engine import Engine
from segue.engine.executing import Executor
from segue.engine.identity import WorkerIdentity
from segue.engine.ids import Ids
from segue.model import Outcome
from segue.plan.graph import Node
from segue.store import open_store
from tests.contract.limiting import define, limited
from tests.contract.stage import LEASE_SECONDS, Stage, node, plan, succeeded

FREE, FENCED = Executor("door", is_fenced=False), Executor("door")
WINDOW = 400
A_COUNT_LATER = COUNT_SECONDS + 0.01
SLOW, QUICK = "@door:slow", "@door:quick"


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


class Process:
    """A process of the executor, with a memory of its own. It keeps what it sent."""

    def __init__(self, stage: Stage, to: Executor = FREE, *, limit: int = 500, window: int = WINDOW) -> None:
        self._engine = Engine(stage.store, ids=Ids(), monotonic=stage.clock.monotonic)
        self._to, self._limit, self._window = to, limit, window
        self.broker: deque[SentStep] = deque()
        self.seconds: float | None = None

    def exchange(self, *ended: SentStep, timers: bool = False) -> list[SentStep]:
        """Say that these succeeded, and send until nothing more may be sent; returns what was sent."""
        outcomes: list[Outcome] = [succeeded(step.job) for step in ended]
        sent: list[SentStep] = []
        while True:
            dispatch = Dispatch(self._to, "@door:", limit=self._limit, timers=timers, window=self._window)
            taken = self._engine.exchange(outcomes, dispatch=dispatch, by="a process")
            sent += taken.sent
            if not taken.left and not taken.is_full:
                self.broker += sent
                self.seconds = taken.timer_seconds
                return sent
            outcomes = taken.left

    def end(self, count: int) -> list[SentStep]:
        """End the oldest messages, each in an exchange of its own; returns what was sent instead."""
        return [step for _ in range(count) for step in self.exchange(self.broker.popleft())]


def away(name: str, *parents: int, queue: str = SLOW, **fields: Any) -> Node:
    return node(name, *parents, executor="door", task="door:work", queue=queue, **fields)


def fan(count: int, **fields: Any) -> list[Node]:
    return [away(f"s{number}", **fields) for number in range(count)]


def queues(sent: list[SentStep]) -> Counter[str]:
    return Counter(step.queue for step in sent)


@pytest.mark.parametrize("to", [FREE, FENCED])
@pytest.mark.parametrize("limit", [3, 50, 500])
def test_a_window_is_sent_and_the_rest_waits(stage: Stage, to: Executor, limit: int) -> None:
    stage.start(plan(*fan(1000)))
    process = Process(stage, to, limit=limit)
    sent = process.exchange()
    assert WINDOW - max(limit, UNCOUNTED) <= len(sent) <= WINDOW
    assert process.exchange() == []


def test_what_ended_is_followed_by_as_much_until_nothing_is_left(stage: Stage) -> None:
    run_id = stage.start(plan(*fan(1000), away("join", *range(1000))))
    process = Process(stage)
    process.exchange()
    most = 0
    while process.broker:
        process.end(min(len(process.broker), 150))
        stage.advance(A_COUNT_LATER)
        process.exchange(timers=True)
        most = max(most, len(process.broker))
    assert most <= WINDOW
    assert stage.run(run_id).status == "succeeded"


def test_an_end_fills_the_window_up(stage: Stage) -> None:
    """Without a node: by a process that knows of steps that were kept back."""
    stage.start(plan(*fan(1000)))
    process = Process(stage)
    process.exchange()
    assert process.end(250) == []
    stage.advance(A_COUNT_LATER)
    assert len(process.end(1)) > 100


def test_other_processes_hear_of_what_is_kept_back(stage: Stage) -> None:
    process = Process(stage)
    stage.start(plan(away("a", queue=QUICK), *[away(f"s{number}", 0, queue=QUICK) for number in range(1000)]))
    [first] = process.exchange()
    stage.turn(by=stage.worker, heartbeat="running", sleeping=True)
    with closing(open_store(stage.store.url)) as other, closing(other.waker()) as waker:
        waker.woken()
        process.exchange(first)
        end = time.monotonic() + 20
        while not waker.woken():
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_node_looks_again_while_steps_are_kept_back(stage: Stage) -> None:
    stage.start(plan(*fan(450)))
    process = Process(stage)
    process.exchange(timers=True)
    assert process.seconds is not None
    assert process.seconds < 2 * COUNT_SECONDS
    process.end(250)
    stage.advance(A_COUNT_LATER)
    assert len(process.exchange(timers=True)) + len(process.broker) > 0
    process.end(len(process.broker))
    stage.advance(A_COUNT_LATER)
    process.exchange(timers=True)
    process.end(len(process.broker))
    assert process.seconds is None or process.seconds >= 2 * COUNT_SECONDS


@pytest.mark.parametrize("to", [FREE, FENCED])
def test_a_full_queue_holds_up_no_other(stage: Stage, to: Executor) -> None:
    """Whatever its name, and also directly before and behind the full one."""
    stage.start(plan(*fan(1000)))
    process = Process(stage, to)
    process.exchange()
    others = ["@door:a", "@door:slo", "@door:slow ", "@door:slow.more", "@door:zzz", "@door:Ärger"]
    for other in others:
        stage.start(plan(away("a", queue=other), away("b", 0, queue=other), away("c", 1, queue=other)))
    sent: list[SentStep] = []
    for _ in "abc":
        sent = process.exchange(*sent)
        assert queues(sent) == Counter(others)


def test_several_full_queues_hold_up_no_other(stage: Stage) -> None:
    for queue in ("@door:b", "@door:d", "@door:f"):
        stage.start(plan(*fan(700, queue=queue)))
    process = Process(stage)
    process.exchange()
    assert {queue: 0 < count <= WINDOW for queue, count in queues(list(process.broker)).items()} == {
        "@door:b": True, "@door:d": True, "@door:f": True,
    }  # fmt: skip
    for queue in ("@door:a", "@door:c", "@door:e", "@door:g"):
        stage.start(plan(away("s", queue=queue)))
        assert queues(process.exchange()) == {queue: 1}


def test_more_urgent_steps_overtake_what_waits(stage: Stage) -> None:
    stage.start(plan(*fan(1000)))
    process = Process(stage)
    process.exchange()
    stage.start(plan(away("urgent", priority=9)))
    process.end(len(process.broker) // 2)
    stage.advance(A_COUNT_LATER)
    assert process.exchange()[0].job.name == "urgent"


def test_steps_for_workers_go_on_beside_a_full_queue(stage: Stage) -> None:
    stage.start(plan(*fan(1000)))
    process = Process(stage)
    process.exchange()
    stage.start(plan(away("a", queue=QUICK), node("b", 0)))
    [quick] = process.exchange()
    process.exchange(quick)
    assert [job.name for job in stage.claim()] == ["b"]


def test_a_cluster_with_many_places_has_a_larger_window(stage: Stage) -> None:
    for number in range(10):
        identity = WorkerIdentity(stage.engine.new_id(), f"node {number}", (), (), lease_seconds=LEASE_SECONDS)
        stage.engine.register(identity, pool="door", concurrency=10, version="")
    stage.start(plan(*fan(3000)))
    process = Process(stage)
    process.exchange()
    assert 10 * 10 * 20 - 500 <= len(process.broker) <= 10 * 10 * 20


def test_a_very_large_window_ends_somewhere(stage: Stage) -> None:
    size = 20_500
    stage.start(plan(*fan(size + 1000)))
    process = Process(stage, window=size)
    process.exchange()
    assert size - 500 <= len(process.broker) <= size


def test_steps_with_limits_and_without_share_the_window(stage: Stage) -> None:
    define(stage, "api", concurrency=5)
    stage.start(plan(*[limited(f"l{n}", "api", executor="door", task="door:work", queue=SLOW) for n in range(20)]))
    stage.start(plan(*fan(1000)))
    process = Process(stage)
    for _ in range(20):
        process.exchange()
    counts = Counter(step.holds_places for step in process.broker)
    assert counts[True] == 5
    assert 0 < counts[False] <= WINDOW + 500


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("to", [FREE, FENCED])
def test_several_processes_bring_everything_to_its_end(stage: Stage, to: Executor, seed: int) -> None:
    """In any order, with runs that start meanwhile; and the broker never has much more than a window."""
    dice = random.Random(seed)
    processes = [Process(stage, to) for _ in range(3)]
    broker: list[SentStep] = []
    runs = []
    for turn in range(10_000):
        if turn < 12:
            queue = dice.choice([SLOW, QUICK])
            width = dice.choice([1, 30, 600])
            first, join = away("first", queue=queue), away("join", *range(1, width + 1), queue=queue)
            runs.append(stage.start(plan(first, *[away(f"m{n}", 0, queue=queue) for n in range(width)], join)))
        dice.shuffle(broker)
        ended = [broker.pop() for _ in range(min(len(broker), dice.choice([1, 1, 40, 200])))]
        broker += dice.choice(processes).exchange(*ended, timers=dice.random() < 0.3)
        assert max(queues(broker).values(), default=0) <= WINDOW + len(processes) * 200
        stage.advance(dice.choice([0.0, 0.01, A_COUNT_LATER]))
        if turn >= 12 and not broker:
            stage.advance(A_COUNT_LATER)
            broker += processes[0].exchange(timers=True)
            if not broker:
                break
    assert {stage.run(run_id).status for run_id in runs} == {"succeeded"}
