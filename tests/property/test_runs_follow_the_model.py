"""Promises 3 to 7 and 9: random plans under random events end as the plain model says, on both stores.

Three workers claim, report, repeat themselves, get lost, come back too late, and somebody pauses, resumes and cancels.
After every example the database breaks no invariant, and every run has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.engine.control import pause_run, resume_run
from segue.engine.identity import WorkerIdentity
from segue.engine.turn_request import TurnRequest
from segue.model import RUN, Job, Outcome, Verdict
from segue.plan import codec
from segue.plan.graph import Plan
from tests.contract.stage import LEASE_SECONDS, Stage, ended, expanded, failed, succeeded
from tests.property.model_of_runs import ModelRun
from tests.property.plans import calls, plans, races

WORKERS = 3
RACES = 2 * settings.default.max_examples
ENDS = ("good", "good", "null", "bad", "hopeless", "hopeless", "skip", "release", "stop", "grow", "grow")
MOST_EVENTS = 24
MOST_TURNS = 300  # far more than the rest of any example needs
EXAMPLES = 4 * settings.default.max_examples  # examples are small and quick


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_runs_follow_the_model(stage: Stage, data: st.DataObject) -> None:
    play = Play(stage, data)
    for _ in range(data.draw(st.integers(1, 2), label="runs")):
        play.start(data.draw(plans(), label="plan"))
    for _ in range(data.draw(st.integers(0, MOST_EVENTS), label="events")):
        play.event()
    play.finish()


@settings(max_examples=RACES)
@given(data=st.data())
def test_races_follow_the_model(stage: Stage, data: st.DataObject) -> None:
    """Steps that do not wait for all of their parents: fewer things happen, so that the rare ones come up."""
    play = Play(stage, data, ends=("good", "hopeless", "grow"))
    play.start(data.draw(races(), label="plan"))
    for _ in range(data.draw(st.integers(4, 12), label="reports")):
        worker = data.draw(st.sampled_from(play.workers[:2]), label="worker")
        play.claim(worker)
        play.report(worker)
        play.compare()
    play.finish()


class Play:
    """The database, the model of each run, and who holds what."""

    def __init__(self, stage: Stage, data: st.DataObject, ends: tuple[str, ...] = ENDS) -> None:
        stage.empty()
        self.ends = ends
        self.stage = stage
        self.draw = data.draw
        self.models: dict[str, ModelRun] = {}
        self.workers: list[WorkerIdentity] = [stage.hire(f"w{number}") for number in range(WORKERS)]
        self.held: dict[str, list[Job]] = {worker.id: [] for worker in self.workers}
        self.said: list[Outcome] = []
        self.grown = 0

    def start(self, plan: Plan) -> None:
        run_id = self.stage.start(plan)
        self.models[run_id] = ModelRun(plan)
        self.compare()

    def event(self) -> None:
        worker = self.draw(st.sampled_from(self.workers), label="worker")
        events: list[Callable[[WorkerIdentity], None]] = [
            self.claim, self.claim, self.report, self.report, self.report_and_claim, self.report_and_claim, self.repeat,
            self.lose, self.cancel, self.pause, self.pause_and_report, self.resume, self.resume,
        ]  # fmt: skip
        self.draw(st.sampled_from(events), label="event")(worker)
        self.compare()

    # What may happen ----------------------------------------------------------------------------------------------

    def claim(self, worker: WorkerIdentity) -> None:
        self.turn(worker, [], self.draw(st.integers(1, 3), label="want"))

    def report(self, worker: WorkerIdentity, want: int = 0) -> None:
        jobs = self.held[worker.id]
        if not jobs:
            return
        chosen = jobs[: self.draw(st.integers(1, len(jobs)), label="how many")]
        outcomes = [self.outcome(job) for job in chosen]
        if self.draw(st.booleans(), label="say the first twice"):
            outcomes.append(outcomes[0])
        self.held[worker.id] = jobs[len(chosen) :]
        self.turn(worker, outcomes, want)

    def report_and_claim(self, worker: WorkerIdentity) -> None:
        self.report(worker, want=2)

    def repeat(self, worker: WorkerIdentity) -> None:
        """Something that was said before is said again: it was recorded, or it is of an attempt that is over."""
        if self.said:
            self.turn(worker, [self.draw(st.sampled_from(self.said[-4:]), label="again")], 0)

    def lose(self, worker: WorkerIdentity) -> None:
        """The worker is not heard of for longer than its lease; what it says when it is back comes too late."""
        self.stage.advance(LEASE_SECONDS + 1)
        for other in self.workers:
            if other is not worker:
                result = self.stage.engine.turn(other, TurnRequest(heartbeat="running"))
                assert not result.lease_lost
        expected = sum(model.lose(worker.id) for model in self.models.values())
        assert self.stage.engine.rescue() == expected
        self.compare()
        assert self.stage.engine.rescue() == 0
        late = [self.outcome(job) for job in self.held.pop(worker.id)]
        result = self.stage.engine.turn(worker, TurnRequest(outcomes=late))
        assert result.refused == len(late)
        self.said += late
        assert self.stage.engine.turn(worker, TurnRequest(heartbeat="running")).lease_lost
        again = self.stage.hire(worker.name)
        self.workers[self.workers.index(worker)] = again
        self.held[again.id] = []

    def cancel(self, worker: WorkerIdentity) -> None:
        run_id = self.draw(st.sampled_from(sorted(self.models)), label="run")
        self.models[run_id].cancel()
        assert self.stage.cancel(run_id) == self.models[run_id].status
        self.hear(worker)

    def pause(self, worker: WorkerIdentity) -> None:
        run_id = self.draw(st.sampled_from(sorted(self.models)), label="run")
        self.hold(run_id, stop=self.draw(st.booleans(), label="stop what runs"))
        self.hear(worker)

    def pause_and_report(self, worker: WorkerIdentity) -> None:
        """What a success sets free is held, though the claim of the same turn comes right behind."""
        for job in self.held[worker.id][:1]:
            self.hold(job.run_id, stop=False)
            self.held[worker.id].remove(job)
            self.turn(worker, [succeeded(job, 1)], 3)

    def hold(self, run_id: str, *, stop: bool) -> None:
        done = self.stage.engine.act(pause_run, run_id, stop_running=stop)
        changed = self.models[run_id].pause(stop_running=stop)
        assert done == (self.models[run_id].shown_status(), changed)

    def resume(self, _: WorkerIdentity) -> None:
        run_id = self.draw(st.sampled_from(sorted(self.models)), label="run")
        self.go_on(run_id)

    def go_on(self, run_id: str) -> None:
        done = self.stage.engine.act(resume_run, run_id)
        changed = self.models[run_id].resume()
        assert done == (self.models[run_id].shown_status(), changed)

    def hear(self, worker: WorkerIdentity) -> None:
        """What the worker is asked to end."""
        cancels = self.stage.engine.turn(worker, TurnRequest(cancels=True)).cancels
        asked = {(run_id, n) for run_id, model in self.models.items() for n in model.asked_to_end(worker.id)}
        assert {(run_id, step) for run_id, step, _ in cancels} == asked

    # How it is done -----------------------------------------------------------------------------------------------

    def turn(self, worker: WorkerIdentity, outcomes: list[Outcome], want: int) -> None:
        final_before = {run_id for run_id, model in self.models.items() if model.is_final}
        by_run = {run_id: list(found) for run_id, found in groupby(sorted(outcomes, key=_run), key=_run)}
        result = self.stage.engine.turn(worker, TurnRequest(outcomes=outcomes, want=want))
        self.said += outcomes
        # Steps that a claim of this very turn took are running in the model after its outcomes were applied.
        for run_id, found in by_run.items():
            self.models[run_id].apply(found)
        for job in result.jobs:
            self.take(worker, job)
        for outcome in result.outcomes:
            model = self.models[outcome.run_id]
            model.claim(outcome.step, outcome.attempt, worker.id)
            assert not model.wants_to_run(outcome.step)
            assert outcome.verdict == Verdict.SKIPPED
        ended_now = {run_id for run_id, model in self.models.items() if model.is_final} - final_before
        assert set(result.ended) == ended_now
        if result.outcomes:
            self.turn(worker, result.outcomes, 0)

    def take(self, worker: WorkerIdentity, job: Job) -> None:
        model = self.models[job.run_id]
        model.claim(job.step, job.attempt, worker.id)
        assert model.wants_to_run(job.step)
        step = model.steps[job.step]
        assert job.failures == step.failures
        # A step is given what its parents returned, null for those that did not succeed.
        for parent, text in job.values.items():
            if parent != RUN:
                assert msgspec.json.decode(text) == model.result(parent)
        self.held[worker.id].append(job)

    def outcome(self, job: Job) -> Outcome:
        kind = self.draw(st.sampled_from(self.ends), label="ends")
        match kind:
            case "good" | "null":
                return succeeded(job, 1 if kind == "good" else None)
            case "bad" | "hopeless":
                return failed(job, retryable=kind == "bad", retry_after=0.0)
            case "skip":
                return ended(job, Verdict.SKIPPED)
            case "release":
                return ended(job, Verdict.RELEASED)
            case "stop":
                return ended(job, Verdict.CANCELLED)
            case _:
                self.grown += 1
                if self.grown > 4 * (1 + (kind == "call")):
                    return succeeded(job, 2)
                call, plan = calls(name=f"g{self.grown}"), plans(most=3, prefix=f"g{self.grown}.")
                return expanded(job, self.draw(call if kind == "call" else call | plan, label="returned plan"))

    def compare(self) -> None:
        for run_id, model in self.models.items():
            steps = self.stage.steps(run_id)
            assert {step.step: str(step.status) for step in steps} == model.statuses()
            run = self.stage.run(run_id)
            assert run.status.is_final == model.is_final
            assert not model.is_final or run.status == model.status
            if model.status == "succeeded":
                assert self.stage.result(run_id) == model.result_of(model.whole)
            assert (run.status == "paused") == (model.shown_status() == "paused")
            if not model.is_final:
                assert "stuck" not in self.stage.codes(run_id)
            for step in steps:
                if step.status == "running":
                    assert (step.attempt, step.worker_id) == (
                        model.steps[step.step].attempt,
                        model.steps[step.step].worker,
                    )
                assert (step.failures, step.losses) == (model.steps[step.step].failures, model.steps[step.step].losses)
        assert self.stage.is_sound()

    def finish(self) -> None:
        """Everything goes on, everybody reports, and the rest is worked: then every run has ended."""
        for run_id, model in self.models.items():
            if model.is_paused:
                self.go_on(run_id)
        for worker in self.workers:
            outcomes = [succeeded(job, 1) for job in self.held[worker.id]]
            self.held[worker.id] = []
            self.turn(worker, outcomes, 0)
        worker = self.workers[0]
        for _ in range(MOST_TURNS):
            self.turn(worker, [], 100)
            if not self.held[worker.id] and not self.still_claimable():
                break
            outcomes = [succeeded(job, 1) for job in self.held[worker.id]]
            self.held[worker.id] = []
            self.turn(worker, outcomes, 0)
        self.compare()
        assert [model.status for model in self.models.values() if not model.is_final] == []

    def still_claimable(self) -> bool:
        return any(status == "ready" for model in self.models.values() for status in model.statuses().values())


def _run(outcome: Outcome) -> str:
    return outcome.run_id


def test_a_plan_survives_being_written_down() -> None:
    @given(plan=plans())
    def check(plan: Plan) -> None:
        assert codec.decode(codec.encode(plan)) == plan

    check()
