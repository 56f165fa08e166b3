"""Promise 10: random steps with limits, rates, keys, costs, priorities and turns, worked by random workers.

After every event no limit holds more than it may, and no rate had more starts than its bucket. And nothing idles: when
a worker asked for more than it got, nothing was left that it could have started. People change what a key is made of
meanwhile: they edit, fork, retry, skip and mark steps as often as workers claim and report. Steps of one queue are sent
to an executor: they hold places from then on, whether they begin, are sent again, recalled or lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.engine.claiming.allocate import STARVING_SECONDS
from segue.engine.claiming.lane_memory import LOOK_SECONDS
from segue.engine.dispatch import Dispatch, SentStep, resend
from segue.engine.executing import Executor, begin_steps, recall_steps
from segue.engine.identity import WorkerIdentity
from segue.engine.limiting.limits import remove_limit, set_limit
from segue.engine.limiting.places import LimitKey
from segue.engine.reopening.edit import NewArguments, edit_step
from segue.engine.reopening.fork import fork_run
from segue.engine.reopening.manual import mark_step, skip_step
from segue.engine.reopening.retry import retry_from, retry_run
from segue.engine.verbs import Done
from segue.engine.views.look import StepInfo, list_steps
from segue.errors import RunStateError
from segue.model import Attempt, Hole, Job, Outcome, Ref, Verdict
from segue.plan.graph import FairShare, KeyPart, KeySource, LimitTerms, LimitUse, Node
from segue.plan.lanes import with_keys
from tests.contract.stage import LEASE_SECONDS, TASK, Stage, ended, failed, node, plan, succeeded, value

OUTSIDE = "@door:far"
QUEUES = ("default", "far")
TASKS = (TASK, "app.other")
CAPPED = ("api", "tool", f"task:{TASK}", "queue:far", f"task:door:{TASK}", f"queue:{OUTSIDE}")
AT_ONCE = 4  # sent in one exchange
RATED = ("mail", "queue:default")
EXAMPLES = 2 * settings.default.max_examples
EPSILON = 1e-4
Which = tuple[str, int]  # a step of a run

slots = st.integers(0, 1)  # of the arguments of a step: what a key is made of
uses = st.lists(
    st.tuples(
        st.sampled_from(["api", "tool", "mail"]), st.sampled_from([0, 0, 1, None]), st.sampled_from([1, 1, 2, 3])
    ),
    max_size=2, unique_by=lambda use: use[0],
)  # fmt: skip
arguments = st.tuples(st.sampled_from("xy"), st.sampled_from("xy"))
steps = st.lists(
    st.tuples(
        uses, arguments, st.none() | slots, st.sampled_from((*QUEUES, OUTSIDE)), st.sampled_from(TASKS),
        st.integers(3, 6), st.booleans(), st.integers(1, 2),
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


class Wish(msgspec.Struct):
    """What one step needs, as it was planned, by the arguments that it has now."""

    queue: str
    task: str
    cost: int
    needs: list[tuple[str, int | None, int]]  # limit, the argument that is its key, cost
    arguments: list[str]
    parent: int | None = None
    filled: int | None = None  # the argument that is the result of its parent

    def uses(self, result: str | None) -> dict[LimitKey, int]:
        """The places that it needs; `result` is that of its parent."""
        given = [result if slot == self.filled else text for slot, text in enumerate(self.arguments)]
        found = {(name, "" if slot is None else str(given[slot])): cost for name, slot, cost in self.needs}
        return found | {(name, ""): self.cost for name in (f"queue:{self.queue}", f"task:{self.task}")}

    def node(self, name: str, priority: int, has_turn: bool) -> Node:
        hole = () if self.filled is None else (Hole((0, self.filled), Ref(self.parent or 0)),)
        given = [None if slot == self.filled else text for slot, text in enumerate(self.arguments)]
        made = node(
            name, *(() if self.parent is None else (self.parent,)), queue=self.queue, task=self.task, retries=2,
            executor="door" if self.queue == OUTSIDE else None, priority=priority, cost=self.cost,
            args=msgspec.json.encode([given, {}]).decode(), holes=hole,
        )  # fmt: skip
        needs = tuple(
            LimitUse(limit, None, cost) if slot is None else LimitUse(limit, value(""), cost, source(slot))
            for limit, slot, cost in self.needs
        )
        turns = FairShare(value(""), source=source(0)) if has_turn else None
        return with_keys(msgspec.structs.replace(made, uses=needs, share=turns))


def source(slot: int) -> KeySource:
    return (KeyPart("", ((0, slot),)),)


class Play:
    """The database, and what should be true of it."""

    def __init__(self, stage: Stage, data: st.DataObject) -> None:
        stage.empty()
        self.stage, self.draw = stage, data.draw
        self.limits: dict[str, LimitTerms] = {}
        self.wishes: dict[Which, Wish] = {}
        self.results: dict[Which, str] = {}
        self.buckets: dict[LimitKey, tuple[float, datetime]] = {}  # tokens, and when they were counted
        self.over: dict[LimitKey, int] = {}  # what was taken when a limit became smaller than that
        self.workers = [
            stage.hire("one", queues=QUEUES, tasks=TASKS),
            stage.hire("two", queues=QUEUES[:1], tasks=TASKS),
            stage.hire("three", queues=QUEUES[::-1], tasks=TASKS[:1]),
        ]
        self.held: dict[str, list[Job]] = {worker.id: [] for worker in self.workers}
        self.process = stage.hire("a process of the executor", queues=(), tasks=())
        self.outside: list[SentStep] = []
        self.door = Executor("door", is_fenced=self.draw(st.booleans(), label="fenced"))
        for _ in range(self.draw(st.integers(0, 3), label="limits")):
            self.define()
        if "api" not in self.limits and self.draw(st.booleans(), label="a narrow one"):
            self.set(LimitTerms("api", 1))
        self.start()

    def event(self) -> None:
        events: list[Callable[[], None]] = [
            self.claim, self.claim, self.claim, self.report, self.report, self.report_and_claim, self.start, self.wait,
            self.define, self.lose, self.send, self.send, self.end_outside, self.end_outside, self.begin, self.recall,
            self.resend, self.edit, self.edit, self.fork, self.retry, self.retry_from, self.skip, self.mark,
        ]  # fmt: skip
        self.draw(st.sampled_from(events), label="event")()
        self.check()

    def worker(self) -> WorkerIdentity:
        return self.draw(st.sampled_from(self.workers), label="worker")

    # What happens -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        wishes: list[Wish] = []
        nodes = []
        for needs, texts, filled, queue, task, priority, has_turn, cost in self.draw(steps, label="steps"):
            wish = Wish(queue, f"door:{task}" if queue == OUTSIDE else task, cost, needs, list(texts))
            if wishes and filled is not None:  # its parent, and so perhaps its key, is the step before
                wish.parent, wish.filled = len(wishes) - 1, filled
            nodes.append(wish.node(f"s{len(nodes)}", priority, has_turn))
            wishes.append(wish)
        run_id = self.stage.start(plan(*nodes))
        self.wishes |= {(run_id, number): wish for number, wish in enumerate(wishes)}

    # What people say ------------------------------------------------------------------------------------------------

    def which(self) -> Which:
        return self.draw(st.sampled_from(sorted(self.wishes)), label="which")

    def say(self, verb: Callable[..., Done], run_id: str, **given: Any) -> bool:
        """Say it; False when it was refused, or changed nothing."""
        try:
            return self.stage.engine.act(verb, run_id, **given).changed
        except RunStateError:
            return False

    def edit(self) -> None:
        """Waiting steps more often than others: those are whose lane changes under a claim."""
        waiting = self.at("ready") or self.at("blocked") or sorted(self.wishes)
        which = self.draw(st.sampled_from(waiting) | st.sampled_from(sorted(self.wishes)), label="which")
        given = list(self.draw(arguments, label="arguments"))
        if self.say(edit_step, which[0], step=which[1], new=new_arguments(given), parameters=nothing_known):
            self.wishes[which].arguments, self.wishes[which].filled = given, None

    def fork(self) -> None:
        run_id, step = self.which()
        given = self.draw(st.none() | arguments.map(list), label="arguments")
        new = None if given is None else new_arguments(given)
        forked = self.stage.engine.new_id()
        self.stage.engine.act(fork_run, run_id, new_id=forked, step=step, new=new, parameters=nothing_known)
        for (of, number), wish in list(self.wishes.items()):
            if of == run_id:
                self.wishes[forked, number] = msgspec.structs.replace(wish)
        self.results |= {(forked, number): result for (of, number), result in self.results.items() if of == run_id}
        if given is not None:
            self.wishes[forked, step].arguments, self.wishes[forked, step].filled = given, None

    def retry(self) -> None:
        self.say(retry_run, self.which()[0])

    def retry_from(self) -> None:
        run_id, step = self.which()
        self.say(retry_from, run_id, step=step)

    def skip(self) -> None:
        run_id, step = self.which()
        self.say(skip_step, run_id, step=step)

    def mark(self) -> None:
        which, result = self.which(), self.draw(st.sampled_from("xy"), label="result")
        if self.say(mark_step, which[0], step=which[1], result=f'"{result}"'):
            self.results[which] = result

    # What the clock and workers do ----------------------------------------------------------------------------------

    def define(self) -> None:
        name = self.draw(st.sampled_from(CAPPED + RATED), label="limit")
        if name in CAPPED:
            terms = LimitTerms(name, self.draw(st.integers(1, 4), label="places"))
        else:
            burst = self.draw(st.sampled_from([None, 2.0, 3.5]), label="burst")
            terms = LimitTerms(name, None, float(self.draw(st.integers(1, 3), label="rate")), 2.0, burst)
        if name in self.limits:
            if name in CAPPED and self.draw(st.booleans(), label="remove"):
                self.stage.engine.act(remove_limit, name=name)
                del self.limits[name]
                self.settle()
            return  # how full a bucket of another size is, is nobody's promise
        self.set(terms)

    def set(self, terms: LimitTerms) -> None:
        name = terms.name
        self.stage.engine.act(set_limit, terms=terms)
        self.limits[name] = terms
        self.over |= {limit_key: count for limit_key, count in self.taken().items() if limit_key[0] == name}
        self.settle()

    def settle(self) -> None:
        """Time for all workers to hear of it."""
        self.stage.advance(1.1)
        self.beat()

    def wait(self) -> None:
        self.stage.advance(self.draw(st.sampled_from([0.05, 0.5, 2.0]), label="seconds"))
        self.beat()

    def beat(self) -> None:
        for worker in (*self.workers, self.process):
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
            result = self.draw(st.sampled_from("xy"), label="result")
            self.results[job.run_id, job.step] = result
            return succeeded(job, result)
        return failed(job) if end == "bad" else ended(job, Verdict.RELEASED)

    def lose(self) -> None:
        worker = self.worker()
        self.stage.advance(LEASE_SECONDS + 1)
        for other in (*self.workers, self.process):
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

    # What an executor does --------------------------------------------------------------------------------------------

    def send(self) -> None:
        self.exchange([])

    def end_outside(self) -> None:
        count = self.draw(st.integers(0, len(self.outside)), label="how many")
        chosen, self.outside = self.outside[:count], self.outside[count:]
        self.exchange(chosen)

    def exchange(self, ended: list[SentStep], outcome: Callable[[Job], Outcome] | None = None) -> None:
        """Exchanges, until nothing more comes; then nothing may be left that could have been sent."""
        self.stage.advance(LOOK_SECONDS)
        outcomes = [(outcome or self.outcome)(step.job) for step in ended]
        freed = sum(step.holds_places for step in ended)
        dispatch = Dispatch(self.door, "@door:", limit=AT_ONCE, timers=not outcomes)
        for _ in range(40):
            taken = self.stage.engine.exchange(outcomes, dispatch=dispatch, by="a process", freed=freed)
            for step in taken.sent:
                self.spend(step.job)
            self.outside += taken.sent
            self.check()
            if not taken.is_full:
                break
            outcomes, freed = [], 0
        if not outcomes or freed:
            able = [which for which in self.able(self.process) if self.wishes[which].queue == OUTSIDE]
            assert able == [], f"it could have sent {able}"

    def any_outside(self) -> SentStep | None:
        return self.draw(st.sampled_from(self.outside), label="sent") if self.outside else None

    def begin(self) -> None:
        step = self.any_outside()
        if step is not None:
            self.stage.engine.act(begin_steps, [attempt_of(step)], worker_id=self.process.id)

    def recall(self) -> None:
        step = self.any_outside()
        if step is not None and self.stage.engine.act(recall_steps, [attempt_of(step)]):
            self.outside.remove(step)

    def resend(self) -> None:
        step = self.any_outside()
        if step is not None:
            again = self.stage.engine.act(resend, [attempt_of(step)], wait_seconds=60.0).sent
            if again:
                self.outside.remove(step)
                self.outside += again

    def finish(self) -> None:
        """Everything comes to its end."""
        for _ in range(400):
            for worker in self.workers:
                jobs = self.held[worker.id]
                self.held[worker.id] = []
                self.results |= {(job.run_id, job.step): "x" for job in jobs}
                self.take(worker, [succeeded(job, "x") for job in jobs], 6)
                self.check()
            ended, self.outside = self.outside, []
            self.results |= {(step.job.run_id, step.job.step): "x" for step in ended}
            self.exchange(ended, lambda job: succeeded(job, "x"))
            if not any(self.held.values()) and not self.outside and not self.at("ready"):
                return
            self.stage.advance(3)
            self.beat()
        raise AssertionError("it never ended")

    # What must be true ----------------------------------------------------------------------------------------------

    def steps(self, status: str) -> Iterator[tuple[Which, StepInfo]]:
        with self.stage.engine.reading() as tx:
            for run_id in sorted({run_id for run_id, _ in self.wishes}):
                for step in list_steps(tx, run_id, status=status):
                    yield (run_id, step.step), step

    def at(self, status: str) -> list[Which]:
        return [which for which, _ in self.steps(status)]

    def live(self) -> list[Which]:
        """The steps that hold places."""
        return self.at("running") + self.at("sent")

    def uses(self, which: Which) -> dict[LimitKey, int]:
        wish = self.wishes[which]
        return wish.uses(None if wish.parent is None else self.results.get((which[0], wish.parent)))

    def taken(self) -> dict[LimitKey, int]:
        taken: dict[LimitKey, int] = {}
        for which in self.live():
            for limit_key, cost in self.uses(which).items():
                taken[limit_key] = taken.get(limit_key, 0) + cost
        return taken

    def check(self) -> None:
        """No limit has more than it may; one that has because it was made smaller gets no more."""
        running = [self.uses(which) for which in self.live()]
        taken = self.taken()
        for limit_key, count in taken.items():
            terms = self.limits.get(limit_key[0])
            if terms is None or terms.concurrency is None or count <= terms.concurrency:
                self.over.pop(limit_key, None)
                continue
            is_alone = sum(limit_key in uses for uses in running) == 1  # and larger than the whole limit
            assert is_alone or count <= self.over.get(limit_key, 0), f"{limit_key} has {count} of {terms.concurrency}"
        self.over = {limit_key: min(count, taken.get(limit_key, 0)) for limit_key, count in self.over.items()}

    def spend(self, job: Job) -> None:
        """A start takes its tokens: they must be there."""
        for (name, key), cost in self.uses((job.run_id, job.step)).items():
            terms = self.limits.get(name)
            if terms is None or terms.rate is None:
                continue
            tokens = self.tokens(terms, (name, key))
            assert tokens >= min(cost, burst(terms)) - EPSILON, f"{name}[{key}] had {tokens} tokens, {cost} were taken"
            self.buckets[name, key] = (tokens - cost, self.stage.clock.now())

    def tokens(self, terms: LimitTerms, limit_key: tuple[str, str]) -> float:
        had, at = self.buckets.get(limit_key, (burst(terms), self.stage.clock.now()))
        passed = (self.stage.clock.now() - at).total_seconds()
        return min(had + passed * (terms.rate or 0) / terms.period, burst(terms))

    def able(self, worker: WorkerIdentity) -> list[Which]:
        """The steps that a worker could start now, but for those whose places are kept for one that starves."""
        taken = self.taken()
        waiting = list(self.steps("ready"))
        kept = {
            limit_key
            for which, step in waiting
            if step.ready_at is not None and (self.stage.clock.now() - step.ready_at).total_seconds() > STARVING_SECONDS
            for limit_key, cost in self.uses(which).items()
            if cost > 1
        }
        return [which for which, _ in waiting if self.fits(which, worker, taken) and kept.isdisjoint(self.uses(which))]

    def fits(self, which: Which, worker: WorkerIdentity, taken: dict[tuple[str, str], int]) -> bool:
        wish = self.wishes[which]
        is_mine = wish.queue in worker.queues and wish.task in worker.tasks
        if not is_mine and (worker is not self.process or wish.queue != OUTSIDE):
            return False
        for limit_key, cost in self.uses(which).items():
            terms = self.limits.get(limit_key[0])
            if terms is None:
                continue
            if (
                terms.concurrency is not None
                and taken.get(limit_key, 0) + min(cost, terms.concurrency) > terms.concurrency
            ):
                return False
            if terms.rate is not None and self.tokens(terms, limit_key) < min(cost, burst(terms)) - EPSILON:
                return False
        return True


def burst(terms: LimitTerms) -> float:
    assert terms.rate is not None
    return terms.burst if terms.burst is not None else max(1.0, terms.rate / terms.period * 0.1)


def attempt_of(step: SentStep) -> Attempt:
    return step.job.run_id, step.job.step, step.job.attempt


def new_arguments(given: list[str]) -> NewArguments:
    return NewArguments([f'"{text}"' for text in given])


def nothing_known(task: str) -> None:
    """What a task takes is not known where people say these things: the key is found all the same."""
