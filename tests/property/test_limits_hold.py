"""Promise 10: random steps with limits, rates, keys, costs, priorities and turns, worked by random workers.

After every event no limit holds more than it may, and no rate had more starts than its bucket. And nothing idles: when
a worker asked for more than it got, nothing was left that it could have started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.engine.claiming.allot import STARVING_SECONDS
from segue.engine.claiming.places import Spot
from segue.engine.identity import WorkerIdentity
from segue.engine.limits import remove_limit, set_limit
from segue.engine.views.look import StepInfo, list_steps
from segue.model import Job, Outcome, Verdict
from segue.plan.graph import LimitTerms, LimitUse, Node, Turns
from tests.contract.acting import LEASE_SECONDS, TASK, Stage, ended, failed, node, plan, succeeded, value

QUEUES = ("default", "far")
TASKS = (TASK, "app.other")
CAPPED = ("api", "tool", f"task:{TASK}", "queue:far")
RATED = ("mail", "queue:default")
EXAMPLES = 2 * settings.default.max_examples
EPSILON = 1e-4
Which = tuple[str, int]  # a step of a run

uses = st.lists(
    st.tuples(st.sampled_from(["api", "tool", "mail"]), st.sampled_from([None, "x", "y"]), st.integers(1, 3)),
    max_size=2, unique_by=lambda use: use[0],
)  # fmt: skip
steps = st.lists(
    st.tuples(
        uses, st.sampled_from(QUEUES), st.sampled_from(TASKS), st.integers(3, 6),
        st.sampled_from([None, "a", "b", "c"]), st.integers(1, 2),
    ),
    min_size=1, max_size=8,
)  # fmt: skip


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_limits_hold_and_nothing_idles(stage: Stage, data: st.DataObject) -> None:
    play = Play(stage, data)
    for _ in range(data.draw(st.integers(4, 20), label="events")):
        play.event()
    play.finish()


class Wish:
    """What one step needs, as it was planned."""

    def __init__(self, node: Node) -> None:
        self.queue, self.task = node.queue, node.task
        self.uses: dict[Spot, int] = {(use.limit, _key(use)): use.cost for use in node.uses}
        for name in (f"queue:{node.queue}", f"task:{node.task}"):
            self.uses[name, ""] = node.cost


class Play:
    """The database, and what should be true of it."""

    def __init__(self, stage: Stage, data: st.DataObject) -> None:
        stage.empty()
        self.stage, self.draw = stage, data.draw
        self.limits: dict[str, LimitTerms] = {}
        self.wishes: dict[Which, Wish] = {}
        self.buckets: dict[Spot, tuple[float, datetime]] = {}  # tokens, and when they were counted
        self.over: dict[Spot, int] = {}  # what was taken when a limit became smaller than that
        self.workers = [
            stage.hire("one", queues=QUEUES, tasks=TASKS),
            stage.hire("two", queues=QUEUES[:1], tasks=TASKS),
            stage.hire("three", queues=QUEUES[::-1], tasks=TASKS[:1]),
        ]
        self.held: dict[str, list[Job]] = {worker.id: [] for worker in self.workers}
        for _ in range(self.draw(st.integers(0, 3), label="limits")):
            self.define()
        self.start()

    def event(self) -> None:
        events: list[Callable[[], None]] = [
            self.claim, self.claim, self.claim, self.report, self.report, self.report_and_claim, self.start, self.wait,
            self.define, self.lose,
        ]  # fmt: skip
        self.draw(st.sampled_from(events), label="event")()
        self.check()

    def worker(self) -> WorkerIdentity:
        return self.draw(st.sampled_from(self.workers), label="worker")

    # What happens -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        nodes = []
        for needs, queue, task, priority, turn, cost in self.draw(steps, label="steps"):
            made = [LimitUse(name, None if key is None else value(key), amount) for name, key, amount in needs]
            turns = None if turn is None else Turns(value(turn))
            nodes.append(
                node(
                    f"s{len(nodes)}", uses=tuple(made), queue=queue, task=task, priority=priority, turns=turns,
                    cost=cost, retries=2,
                )
            )  # fmt: skip
        run_id = self.stage.start(plan(*nodes))
        self.wishes |= {(run_id, number): Wish(made) for number, made in enumerate(nodes)}

    def define(self) -> None:
        name = self.draw(st.sampled_from(CAPPED + RATED), label="limit")
        if name in CAPPED:
            terms = LimitTerms(name, self.draw(st.integers(1, 4), label="places"))
        else:
            burst = self.draw(st.sampled_from([None, 2.0, 3.5]), label="burst")
            terms = LimitTerms(name, None, float(self.draw(st.integers(1, 3), label="rate")), 2.0, burst)
        if name in self.limits:
            if name in CAPPED and self.draw(st.booleans(), label="remove"):
                self.stage.engine.act(lambda tx, now: remove_limit(tx, now, name=name))
                del self.limits[name]
                self.settle()
            return  # how full a bucket of another size is, is nobody's promise
        self.stage.engine.act(lambda tx, now: set_limit(tx, now, terms=terms))
        self.limits[name] = terms
        self.over |= {spot: count for spot, count in self.taken().items() if spot[0] == name}
        self.settle()

    def settle(self) -> None:
        """Time for all workers to hear of it."""
        self.stage.advance(1.1)
        for worker in self.workers:
            self.stage.turn(by=worker, heartbeat="running")

    def wait(self) -> None:
        self.stage.advance(self.draw(st.sampled_from([0.05, 0.5, 2.0]), label="seconds"))
        for worker in self.workers:
            self.stage.turn(by=worker, heartbeat="running")

    def claim(self) -> None:
        worker, want = self.worker(), self.draw(st.integers(1, 6), label="want")
        self.take(worker, [], want)

    def report(self, want: int = 0) -> None:
        worker = self.worker()
        jobs = self.held[worker.id]
        chosen = jobs[: self.draw(st.integers(0, len(jobs)), label="how many")]
        self.held[worker.id] = jobs[len(chosen) :]
        self.take(worker, [self.outcome(job) for job in chosen], want)

    def report_and_claim(self) -> None:
        self.report(want=self.draw(st.integers(1, 4), label="want"))

    def outcome(self, job: Job) -> Outcome:
        end = self.draw(st.sampled_from(["good", "good", "bad", "released"]), label="end")
        if end == "good":
            return succeeded(job)
        return failed(job) if end == "bad" else ended(job, Verdict.RELEASED)

    def lose(self) -> None:
        worker = self.worker()
        self.stage.advance(LEASE_SECONDS + 1)
        for other in self.workers:
            if other is not worker:
                self.stage.turn(by=other, heartbeat="running")
        self.stage.engine.rescue()
        again = self.stage.hire(worker.name, queues=worker.queues, tasks=worker.tasks)
        self.workers[self.workers.index(worker)] = again
        del self.held[worker.id]
        self.held[again.id] = []

    def take(self, worker: WorkerIdentity, outcomes: list[Outcome], want: int) -> None:
        """A worker's turns, until it has what it wants or nothing more comes."""
        taken = 0
        for _ in range(20):
            result = self.stage.turn(*outcomes, by=worker, want=want - taken)
            outcomes = []
            self.held[worker.id] += result.jobs
            taken += len(result.jobs)
            for job in result.jobs:
                self.spend(job)
            if taken >= want or not result.again:
                break
        if taken < want:
            if not self.looked(worker):
                return
            able = self.able(worker)
            assert able == [], f"it could have started {able}"

    def looked(self, worker: WorkerIdentity) -> bool:
        """A worker that got something looks for lanes now and then only; asked once more, it must have looked."""
        result = self.stage.turn(by=worker, want=1)
        self.held[worker.id] += result.jobs
        for job in result.jobs:
            self.spend(job)
        return not result.jobs

    def finish(self) -> None:
        """Everything comes to its end."""
        for _ in range(400):
            for worker in self.workers:
                jobs = self.held[worker.id]
                self.held[worker.id] = []
                self.take(worker, [succeeded(job) for job in jobs], 6)
                self.check()
            if not any(self.held.values()) and not self.at("ready"):
                return
            self.stage.advance(3)
            for worker in self.workers:
                self.stage.turn(by=worker, heartbeat="running")
        raise AssertionError("it never ended")

    # What must be true ----------------------------------------------------------------------------------------------

    def steps(self, status: str) -> Iterator[tuple[Which, StepInfo]]:
        with self.stage.engine.reading() as tx:
            for run_id in sorted({run_id for run_id, _ in self.wishes}):
                for step in list_steps(self.stage.store, tx, run_id, status=status):
                    yield (run_id, step.step), step

    def at(self, status: str) -> list[Which]:
        return [which for which, _ in self.steps(status)]

    def taken(self) -> dict[Spot, int]:
        taken: dict[Spot, int] = {}
        for which in self.at("running"):
            for spot, cost in self.wishes[which].uses.items():
                taken[spot] = taken.get(spot, 0) + cost
        return taken

    def check(self) -> None:
        """No limit has more than it may; one that has because it was made smaller gets no more."""
        running = [self.wishes[which] for which in self.at("running")]
        taken = self.taken()
        for spot, count in taken.items():
            terms = self.limits.get(spot[0])
            if terms is None or terms.concurrency is None or count <= terms.concurrency:
                self.over.pop(spot, None)
                continue
            is_alone = sum(spot in wish.uses for wish in running) == 1  # and larger than the whole limit
            assert is_alone or count <= self.over.get(spot, 0), f"{spot} has {count} of {terms.concurrency}"
        self.over = {spot: min(count, taken.get(spot, 0)) for spot, count in self.over.items()}

    def spend(self, job: Job) -> None:
        """A start takes its tokens: they must be there."""
        for (name, key), cost in self.wishes[job.run_id, job.step].uses.items():
            terms = self.limits.get(name)
            if terms is None or terms.rate is None:
                continue
            tokens = self.tokens(terms, (name, key))
            assert tokens >= min(cost, burst(terms)) - EPSILON, f"{name}[{key}] had {tokens} tokens, {cost} were taken"
            self.buckets[name, key] = (tokens - cost, self.stage.clock.now())

    def tokens(self, terms: LimitTerms, spot: tuple[str, str]) -> float:
        had, at = self.buckets.get(spot, (burst(terms), self.stage.clock.now()))
        passed = (self.stage.clock.now() - at).total_seconds()
        return min(had + passed * (terms.rate or 0) / terms.period, burst(terms))

    def able(self, worker: WorkerIdentity) -> list[Which]:
        """The steps that a worker could start now, but for those whose places are kept for one that starves."""
        taken = self.taken()
        waiting = list(self.steps("ready"))
        kept = {
            spot
            for which, step in waiting
            if step.ready_at is not None and (self.stage.clock.now() - step.ready_at).total_seconds() > STARVING_SECONDS
            for spot, cost in self.wishes[which].uses.items()
            if cost > 1
        }
        return [
            which
            for which, _ in waiting
            if self.fits(self.wishes[which], worker, taken) and kept.isdisjoint(self.wishes[which].uses)
        ]

    def fits(self, wish: Wish, worker: WorkerIdentity, taken: dict[tuple[str, str], int]) -> bool:
        if wish.queue not in worker.queues or wish.task not in worker.tasks:
            return False
        for spot, cost in wish.uses.items():
            terms = self.limits.get(spot[0])
            if terms is None:
                continue
            if terms.concurrency is not None and taken.get(spot, 0) + min(cost, terms.concurrency) > terms.concurrency:
                return False
            if terms.rate is not None and self.tokens(terms, spot) < min(cost, burst(terms)) - EPSILON:
                return False
        return True


def burst(terms: LimitTerms) -> float:
    assert terms.rate is not None
    return terms.burst if terms.burst is not None else max(1.0, terms.rate / terms.period * 0.1)


def _key(use: LimitUse) -> str:
    return "" if use.key is None else str(msgspec.json.decode(use.key.json))  # type: ignore[union-attr]
