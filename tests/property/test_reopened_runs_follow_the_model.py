"""Random plans, random ends, and people who retry, skip, mark and fork in between: all as the plain model says.

Every step ends where the model has it, with as many attempts as it says: what was not to run again did not. After
every event the database breaks no invariant, and in the end every run has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.engine import engine, propagate
from segue.engine.claiming.cursor import ClaimCursor
from segue.engine.identity import WorkerIdentity
from segue.engine.reopening import ahead, alike, run_graph
from segue.errors import RunStateError
from segue.model import Ref
from segue.plan.graph import Plan
from tests.contract import by_hand
from tests.contract.stage import Stage, node
from tests.property.model_of_reopening import RefusedError, ReopenableRun
from tests.property.plans import plans, races
from tests.property.test_runs_follow_the_model import ENDS, MOST_EVENTS, Play

EXAMPLES = 2 * settings.default.max_examples
RACES = settings.default.max_examples
MOST_RUNS = 4


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_reopened_runs_follow_the_model(stage: Stage, data: st.DataObject) -> None:
    play = ReopeningPlay(stage, data)
    play.start(data.draw(plans(), label="plan"))
    for _ in range(data.draw(st.integers(0, MOST_EVENTS), label="events")):
        play.event()
    play.finish()
    play.verbs_on_ended_runs()


@settings(max_examples=RACES)
@given(data=st.data())
def test_reopened_races_follow_the_model(stage: Stage, data: st.DataObject) -> None:
    """Steps that do not wait for all of their parents, or go on over what failed: they begin before it does again."""
    play = ReopeningPlay(stage, data, ends=("good", "hopeless", "hopeless", "grow"))
    play.start(data.draw(races() | followers(), label="plan"))
    for _ in range(data.draw(st.integers(4, 12), label="events")):
        worker = data.draw(st.sampled_from(play.workers[:2]), label="worker")
        play.claim(worker)
        play.report(worker)
        play.compare()
        data.draw(st.sampled_from([play.idle, play.retry, play.retry_from, play.skip, play.mark]), label="verb")(worker)
        play.compare()
    play.finish()
    play.verbs_on_ended_runs()


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_reopened_calls_follow_the_model(stage: Stage, data: st.DataObject) -> None:
    """Tasks that return nothing but a call, again and again: they do not nest, and each of them may begin anew."""
    play = ReopeningPlay(stage, data, ends=("call", "call", "call", "good", "hopeless", "skip"))
    play.start(data.draw(callers(), label="plan"))
    worker = play.workers[0]
    for _ in range(data.draw(st.integers(3, 8), label="events")):
        play.claim(worker)
        play.report(worker)
        play.compare()
        verbs = [
            play.idle,
            play.retry_from,
            play.retry_from,
            play.retry_from,
            play.retry,
            play.skip,
            play.mark,
            play.fork,
        ]
        data.draw(st.sampled_from(verbs), label="verb")(worker)
        play.compare()
    play.finish()
    play.verbs_on_ended_runs()


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_large_runs_follow_the_model(stage: Stage, data: st.DataObject) -> None:
    """What is done to them is done in parts, and worked out before they are locked; here each run counts as large."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(propagate, "PART", 1)
        patched.setattr(propagate, "AT_ONCE", 1)
        patched.setattr(ahead, "AT_ONCE", 2)
        patched.setattr(run_graph, "LARGE_RUN", 0)
        patched.setattr(alike, "ALIKE", data.draw(st.integers(1, 3), label="so many become the same at once"))
        patched.setattr(alike, "MOST_SPANS", data.draw(st.sampled_from([0, 1, 8]), label="spans"))
        patched.setattr(engine, "TURN_SECONDS", 600.0)
        patched.setattr(engine, "CARRY_SECONDS", 600.0)
        play = ReopeningPlay(stage, data)
        play.start(data.draw(plans(least=2) | callers(), label="plan"))
        for _ in range(data.draw(st.integers(0, MOST_EVENTS // 2), label="events")):
            play.event()
        play.finish()
        play.verbs_on_ended_runs()


@st.composite
def callers(draw: st.DrawFn) -> Plan:
    """A step that calls others, alone or with some about it, and perhaps a hook."""
    nodes = [node("before"), node("caller", 0)] if draw(st.booleans()) else [node("caller")]
    caller = len(nodes) - 1
    if draw(st.booleans()):
        rule = draw(st.sampled_from(["all_succeeded", "all_done", "any_failed"]))
        nodes.append(node("after", caller, rule=rule))
    if draw(st.booleans()):
        nodes.append(node("hook", hook=draw(st.sampled_from(["on_success", "on_failure", "finally"]))))
    return Plan("caller", tuple(nodes), Ref(caller), fail_fast=draw(st.sampled_from([False, False, True])))


@st.composite
def followers(draw: st.DrawFn) -> Plan:
    """Roots, steps that follow whatever becomes of them, and one that waits for those."""
    nodes = [node(f"root{number}") for number in range(draw(st.integers(1, 2)))]
    roots = range(len(nodes))
    nodes += [node(f"follower{number}", *roots, rule="all_done") for number in range(draw(st.integers(1, 2)))]
    return Plan("followed", (*nodes, node("after", len(roots))))


class ReopeningPlay(Play):
    """A play in which people reopen runs."""

    models: dict[str, Any]

    def __init__(self, stage: Stage, data: st.DataObject, ends: tuple[str, ...] = ENDS) -> None:
        super().__init__(stage, data, ends)
        # Claims look everywhere each time, so that what they find depends on nothing but the example.
        stage.engine._memory.cursor = ClaimCursor(count().__next__)

    def start(self, plan: Plan) -> None:
        run_id = self.stage.start(plan)
        self.models[run_id] = ReopenableRun(plan)
        self.compare()

    def event(self) -> None:
        worker = self.draw(st.sampled_from(self.workers), label="worker")
        events: list[Callable[[WorkerIdentity], None]] = [
            self.claim, self.claim, self.report, self.report, self.report_and_claim, self.repeat, self.lose,
            self.cancel, self.retry, self.retry_from, self.skip, self.mark, self.fork, self.pause, self.resume,
        ]  # fmt: skip
        self.draw(st.sampled_from(events), label="event")(worker)
        self.compare()

    def verbs_on_ended_runs(self) -> None:
        """Reopen what has ended, and let it end again."""
        worker = self.workers[0]
        for _ in range(self.draw(st.integers(1, 3), label="rounds")):
            for _ in range(self.draw(st.integers(1, 2), label="verbs")):
                verbs = [self.retry, self.retry_from, self.skip, self.mark, self.fork]
                self.draw(st.sampled_from(verbs), label="verb")(worker)
                self.compare()
            if self.draw(st.booleans(), label="some of it fails again"):
                self.claim(worker)
                self.report(worker)
                self.compare()
            self.finish()

    # What people do -----------------------------------------------------------------------------------------------

    def idle(self, _: WorkerIdentity) -> None:
        pass

    def retry(self, _: WorkerIdentity) -> None:
        run_id = self.some_run()
        self.say(run_id, ReopenableRun.retry, lambda: by_hand.retry(self.stage, run_id))

    def retry_from(self, _: WorkerIdentity) -> None:
        run_id = self.some_run()
        step = self.some_step(run_id)
        if step is not None:
            self.say(run_id, lambda m: m.retry_from(step), lambda: by_hand.retry(self.stage, run_id, step))

    def skip(self, _: WorkerIdentity) -> None:
        run_id = self.some_run()
        step = self.some_step(run_id)
        if step is not None:
            self.say(run_id, lambda m: m.skip(step), lambda: by_hand.skip(self.stage, run_id, step))

    def mark(self, _: WorkerIdentity) -> None:
        run_id = self.some_run()
        step = self.some_step(run_id)
        if step is not None:
            result = self.draw(st.sampled_from([7, None]), label="result")
            if self.models[run_id].statuses()[step] != "succeeded":  # another result is refused, an equal one taken
                self.say(run_id, lambda m: m.mark(step, result), lambda: by_hand.mark(self.stage, run_id, step, result))

    def fork(self, _: WorkerIdentity) -> None:
        run_id = self.some_run()
        step = self.some_step(run_id)
        if step is None or len(self.models) >= MOST_RUNS:
            return
        before = self.stage.steps(run_id)
        new_id = by_hand.fork(self.stage, run_id, step)
        assert self.stage.steps(run_id) == before
        self.models[new_id] = self.models[run_id].fork(step)

    def say(self, run_id: str, to_model: Callable[[Any], object], to_engine: Callable[[], object]) -> None:
        tried = deepcopy(self.models[run_id])
        try:
            to_model(tried)
        except RefusedError:
            before = self.stage.steps(run_id)
            try:
                came = to_engine()
            except RunStateError:
                assert self.stage.steps(run_id) == before
                return
            raise AssertionError(f"it was not refused: {came}") from None
        self.models[run_id] = tried
        to_engine()

    def some_run(self) -> str:
        run_id: str = self.draw(st.sampled_from(sorted(self.models)), label="run")
        return run_id

    def some_step(self, run_id: str) -> int | None:
        numbers = sorted(self.models[run_id].statuses())
        return self.draw(st.sampled_from(numbers), label="step") if numbers else None

    def compare(self) -> None:
        super().compare()
        for run_id, model in self.models.items():
            attempts = {step.step: step.attempt for step in self.stage.steps(run_id)}
            assert attempts == {number: model.steps[number].attempt for number in model.statuses()}
