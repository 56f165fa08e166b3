"""Reopening a large run that goes on: worked out without its lock, whatever the rest of the run does meanwhile.

Here every run counts as large. All that the verbs promise holds (their own tests, once more), also when the run goes
on, or another person comes, between the look at it and the lock.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.engine.engine import Engine
from segue.engine.pausing import pause_run
from segue.engine.reopening import alike, rewrite, run_graph
from segue.engine.reopening.ahead import BufferedWrites
from segue.engine.reopening.alike import MOST_SPANS, Resets, spans_of
from segue.engine.reopening.retry import retry_from
from segue.engine.verbs import Done
from segue.errors import RunStateError
from segue.model import Job, Outcome, Ref
from tests.contract import by_hand
from tests.contract.stage import Stage, expanded, failed, node, plan, succeeded
from tests.contract.test_reopening_large_and_busy import test_people_reopen_what_workers_are_busy_with  # noqa: F401
from tests.contract.test_retry import *  # noqa: F403 - its tests, once more, and its fixture
from tests.contract.test_retry_from import *  # noqa: F403
from tests.crash.faults import FaultyStore


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_graph, "LARGE_RUN", 0)
    monkeypatch.setattr(alike, "ALIKE", 2)


class Between:
    """Something comes between each look at a large run and its lock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looks = 0
        self.locked = 0
        self.acts: list[Callable[[], object]] = []
        work_out, read_graph = Engine._work_out, run_graph.read_graph

        def and_then(engine: Engine, work: Any, run_id: str) -> Any:
            found = work_out(engine, work, run_id)
            self.looks += 1
            if self.acts:
                self.acts.pop(0)()
            return found

        def counted(tx: Any, run_id: str) -> Any:
            self.locked += not isinstance(tx, BufferedWrites)
            return read_graph(tx, run_id)

        monkeypatch.setattr(Engine, "_work_out", and_then)
        monkeypatch.setattr(run_graph, "read_graph", counted)

    def say(self, verb: Callable[[], Done], *acts: Callable[[], object]) -> Done:
        self.looks, self.locked, self.acts = 0, 0, list(acts)
        done = verb()
        assert not self.acts
        return done


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Between:
    return Between(monkeypatch)


def busy_run(stage: Stage) -> tuple[str, dict[str, Job]]:
    """`again` succeeded and `below` it is ready; the others beside them run; all meet in joins of each kind."""
    rules = ["all_succeeded", "all_done", "any_succeeded", "any_failed", "none_failed"]
    run_id = stage.start(
        plan(
            node("again"), node("below", 0), node("x"), node("y"), node("z", may_fail=True),
            *(node(f"{rule}", 1, 2, 3, rule=rule) for rule in rules),
            node("last", 5, 6, 7, 8, 9, 4, rule="all_done"), node("hook", hook="finally"), result=Ref(0),
        )
    )  # fmt: skip
    jobs = {job.name: job for job in stage.claim()}
    stage.turn(succeeded(jobs.pop("again")))
    return run_id, jobs


ENDS: dict[str, Callable[[Stage, dict[str, Job]], list[Outcome]]] = {
    "nothing": lambda _, jobs: [],
    "success": lambda _, jobs: [succeeded(jobs.pop("x"))],
    "failure": lambda _, jobs: [failed(jobs.pop("x"), retryable=False)],
    "all": lambda _, jobs: [
        succeeded(jobs.pop("x")), failed(jobs.pop("y"), retryable=False), succeeded(jobs.pop("z"))
    ],
    "plan": lambda _, jobs: [expanded(jobs.pop("y"), plan(node("in"), node("inner", 0), result=Ref(1)))],
    "a retry": lambda _, jobs: [failed(jobs.pop("z"))],
    "outside": lambda _, jobs: [succeeded(jobs.pop("z"))],
}  # fmt: skip
VERBS: dict[str, Callable[[Stage, str], Done]] = {
    "retry": lambda stage, run_id: by_hand.retry(stage, run_id, "again"),
    "skip": lambda stage, run_id: by_hand.skip(stage, run_id, "below"),
    "mark": lambda stage, run_id: by_hand.mark(stage, run_id, "below", 1),
}


def state(stage: Stage, run_id: str) -> list[Any]:
    """How its steps stand, and what the database counts for those that wait."""
    with stage.engine.reading() as tx:
        steps = tx.all("graph_steps", run_id=run_id)
        return [*tx.all("run_state", run_id=run_id), *(row[:9] + row[12:16] for row in steps)] + [
            row[9:12] for row in steps if row[5] == "blocked"
        ]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("end", ENDS)
def test_what_ends_meanwhile_might_have_ended_behind_it(stage: Stage, between: Between, verb: str, end: str) -> None:
    run_id, jobs = busy_run(stage)
    VERBS[verb](stage, run_id)
    stage.turn(*ENDS[end](stage, jobs))
    wanted = state(stage, run_id)
    stage.renew()
    other, jobs = busy_run(stage)
    meanwhile = lambda: stage.turn(*ENDS[end](stage, jobs))  # noqa: E731
    assert between.say(partial(VERBS[verb], stage, other), meanwhile).changed
    assert not between.locked
    assert state(stage, other) == wanted
    stage.turn(*[succeeded(job) for job in jobs.values()])
    stage.work()
    assert stage.run(other).status.is_final


def test_what_runs_below_it_meanwhile_is_refused(stage: Stage, between: Between) -> None:
    run_id, _ = busy_run(stage)
    with pytest.raises(RunStateError, match="reset below, but an attempt has not ended yet"):
        between.say(partial(by_hand.retry, stage, run_id, "again"), stage.claim)
    assert (between.looks, between.locked) == (1, 0)


def test_a_run_that_always_changes_is_read_under_its_lock(stage: Stage, between: Between) -> None:
    """Other people edit a step each time."""
    run_id, _ = busy_run(stage)
    edits = [partial(by_hand.edit, stage, run_id, "last", at) for at in range(4)]
    assert between.say(partial(by_hand.retry, stage, run_id, "again"), *edits).changed
    assert (between.looks, between.locked) == (4, 1)
    assert stage.statuses(run_id)["again"] == "ready"


@pytest.mark.parametrize("verb", VERBS)
def test_a_cancel_meanwhile_stands(stage: Stage, between: Between, verb: str) -> None:
    run_id, jobs = busy_run(stage)
    with pytest.raises(RunStateError, match="is being ended as cancelled"):
        between.say(partial(VERBS[verb], stage, run_id), partial(stage.cancel, run_id))
    stage.turn(*[succeeded(job) for job in jobs.values()])
    stage.work()
    assert stage.run(run_id).status == "cancelled"


@pytest.mark.parametrize("verb", VERBS)
def test_a_pause_meanwhile_holds_what_begins_anew(stage: Stage, between: Between, verb: str) -> None:
    run_id, _ = busy_run(stage)
    assert between.say(partial(VERBS[verb], stage, run_id), partial(by_hand.say, stage, pause_run, run_id)).changed
    assert stage.claim() == []
    assert stage.run(run_id).status == "paused"


def test_two_people_at_once(stage: Stage, between: Between) -> None:
    run_id, _ = busy_run(stage)
    twice = partial(by_hand.retry, stage, run_id, "again")
    assert between.say(twice, twice).changed
    assert stage.statuses(run_id)["again"] == "ready"
    stage.turn(*[succeeded(job) for job in stage.claim_named("again")])
    assert [job.name for job in stage.claim()] == ["below"]


def test_a_step_that_is_thrown_away_meanwhile(stage: Stage, between: Between) -> None:
    run_id = stage.start(plan(node("grown"), node("beside")))
    grown, _ = stage.claim_named("grown", "beside")
    stage.turn(expanded(grown, plan(node("in"), node("inner", 0))))
    with pytest.raises(LookupError):
        between.say(partial(by_hand.retry, stage, run_id, "inner"), partial(by_hand.retry, stage, run_id, "grown"))


def test_a_hook_is_skipped_before_the_outcome(stage: Stage, between: Between) -> None:
    run_id, _ = busy_run(stage)
    assert between.say(partial(by_hand.skip, stage, run_id, "hook")).changed
    assert (between.looks, between.locked) == (1, 1)
    assert stage.statuses(run_id)["hook"] == "skipped"


@pytest.mark.parametrize("spans, statement", [(8, "reset_ready_span"), (0, "reset_ready_alike")])
def test_what_is_claimed_while_it_is_written_is_refused(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, spans: int, statement: str
) -> None:
    """Ready steps are not locked before: a claim that comes before the statement that resets them takes one away."""
    run_id = stage.start(plan(node("again"), *(node(f"m{at}", 0) for at in range(5))))
    stage.turn(*[succeeded(job) for job in stage.claim()])
    if stage.store.dialect == "sqlite":
        assert by_hand.retry(stage, run_id, "again").changed  # it has the write lock, so nothing is claimed meanwhile
        return
    monkeypatch.setattr(alike, "MOST_SPANS", spans)
    jobs: list[Job] = []

    def claim_one(_: Any) -> None:
        jobs.extend(stage.claim(want=1))

    faulty = FaultyStore(stage.store, claim_one, statement)
    with pytest.raises(RunStateError, match="but an attempt has not ended yet"):
        Engine(faulty).act(retry_from, run_id, step="again")
    [job] = jobs
    assert faulty.has_struck
    assert sorted(stage.statuses(run_id).values()) == [*["ready"] * 4, "running", "succeeded"]
    stage.turn(succeeded(job))
    assert by_hand.retry(stage, run_id, "again").changed
    assert stage.statuses(run_id) == {"again": "ready"} | {f"m{at}": "blocked" for at in range(5)}


def test_what_waits_as_before_is_not_written(stage: Stage) -> None:
    """Only of `again` and of those right below it something changes."""
    run_id = stage.start(plan(node("again"), *(node(f"s{at}", at) for at in range(5))))
    stage.turn(*[succeeded(job) for job in stage.claim()])
    written: list[int] = []

    class Counting(Resets):
        def write(self, tx: Any, run_id: str) -> bool:
            written.extend([*self._others, *(step for each in self._alike for step in each.steps)])
            return super().write(tx, run_id)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rewrite, "Resets", Counting)
        assert by_hand.retry(stage, run_id, "again").changed
    assert sorted(written) == [0, 1]
    assert list(stage.statuses(run_id).values()) == ["ready", *["blocked"] * 5]
    stage.work()
    assert stage.run(run_id).status == "succeeded"


@given(steps=st.lists(st.integers(0, 40), unique=True))
def test_spans_have_each_step_once(steps: list[int]) -> None:
    steps.sort()
    spans = spans_of(steps)
    if spans is None:
        assert sum(after - before > 1 for before, after in pairwise(steps)) >= MOST_SPANS
    else:
        assert [step for first, last in spans for step in range(first, last + 1)] == steps
        assert all(after[0] - before[1] > 1 for before, after in pairwise(spans))
