"""Random lives of pushed steps: dispatchers die, calls and answers are lost, jobs come late, vanish and end in any way,
processes begin twice and report late, people cancel and pause, the platform does not answer.

Always: a job exists outside only behind a row, an attempt is run by one process at most, a step that has ended stays as
it is, and no invariant is broken. When all is well again, the run ends, and nothing of it is left outside.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.attempt.spool import NOT_MINE
from segue.dispatcher.dispatcher import CHORES_SECONDS, Dispatcher
from segue.dispatcher.protocol import Cause, Phase, Submission
from segue.engine.control import cancel_run
from segue.engine.pausing import pause_run, resume_run
from segue.engine.pushed_reports import beat_push, begin_push, report_push
from segue.engine.pushing import EXIT_SECONDS
from segue.errors import RunStateError
from segue.model import ErrorInfo, Outcome, Policy, Verdict
from segue.plan.graph import Node, Plan
from segue.testing import Answer, FarJob, ScriptedPlatform
from segue.testing.scripted_platform import QUICK
from tests.contract.stage import Stage

EXAMPLES = max(settings.default.max_examples // 4, 1)
CALLS = ("submit", "submitted", "find", "look", "collect", "cancel")
POLICY = Policy(retries=1, retry_delay=1.0, retry_jitter=0.0, lost_retries=2)
CAUSES = (Cause.EXIT, Cause.SIGNAL, Cause.OUT_OF_MEMORY, Cause.LOST, Cause.CANCELLED)


def node(name: str, *parents: int) -> Node:
    return Node(name, "work", queue="@far", executor="far", parents=parents, policy=POLICY)


FLOW = Plan("flow", (node("a"), node("b"), node("c", 0, 1)))


class Platform(ScriptedPlatform):
    """One at which calls that seemed to be lost may have their effect at any later time."""

    def __init__(self, side_by_side: int) -> None:
        super().__init__("far", pace=msgspec.structs.replace(QUICK, side_by_side=side_by_side))
        self.calls: list[FarJob] = []
        self._lock = threading.Lock()

    def submit(self, submission: Submission) -> str:
        with self._lock:
            return self._submitted(submission)

    def _submitted(self, submission: Submission) -> str:
        self.calls.append(FarJob(f"late{len(self.calls)}", submission.push, submission.job, submission.spec))
        return super().submit(submission)


class DiedError(BaseException):
    """The dispatcher dies, in the middle of what it does."""


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_pushed_steps_end_well(stage: Stage, data: st.DataObject) -> None:
    play = Play(stage, data)
    for _ in range(data.draw(st.integers(5, 40), label="events")):
        play.event()
        play.check()
    play.heal()


class Play:
    """One run, its platform, and what may happen to both."""

    def __init__(self, stage: Stage, data: st.DataObject) -> None:
        stage.renew()
        self.stage, self.data = stage, data
        self.far = Platform(data.draw(st.sampled_from([1, 3]), label="side by side"))
        self.far.on_call = self.called
        self.reports = data.draw(st.booleans(), label="its processes report by themselves")
        self.dispatchers = [self.new_dispatcher(), self.new_dispatcher()]
        self.dies_at: tuple[str, int] | None = None
        self.ran: set[str] = set()  # jobs whose process runs the attempt
        self.attempts: dict[tuple[str, int, int], str] = {}  # and which one that was
        self.ended: dict[int, tuple[str, object]] = {}
        self.run_id = stage.start(FLOW)
        self.events: list[Callable[[], object]] = [
            self.round, self.round, self.round, self.dies, self.answers, self.goes_on, self.goes_on, self.ends,
            self.vanishes, self.comes_late, self.comes_late, self.waits, self.waits, self.toggles, self.person,
        ]  # fmt: skip

    def new_dispatcher(self) -> Dispatcher:
        return Dispatcher(self.stage.engine, self.far, monotonic=self.stage.clock.monotonic)

    def event(self) -> None:
        self.data.draw(st.sampled_from(self.events), label="event")()

    def called(self, what: str) -> None:
        if self.dies_at is not None and self.dies_at[0] == what:
            self.dies_at = (what, self.dies_at[1] - 1)
            if self.dies_at[1] < 0:
                self.dies_at = None
                raise DiedError

    # What may happen --------------------------------------------------------------------------------------------------

    def round(self) -> None:
        which = self.data.draw(st.integers(0, 1), label="dispatcher")
        try:
            self.dispatchers[which].run_once()
        except DiedError:
            self.dispatchers[which] = self.new_dispatcher()

    def dies(self) -> None:
        self.dies_at = self.data.draw(st.tuples(st.sampled_from(CALLS), st.integers(0, 2)), label="dies at")
        self.round()

    def answers(self) -> None:
        answers = [Answer.IS_BUSY, Answer.LOSES_THE_REPLY, Answer.LOSES_THE_CALL, Answer.IS_SLOW]
        self.far.answers.append(self.data.draw(st.sampled_from(answers), label="answer"))

    def waits(self) -> None:
        self.stage.advance(self.data.draw(st.sampled_from([1, 6, 25, 95]), label="seconds"))

    def toggles(self) -> None:
        self.far.is_away = not self.far.is_away

    def person(self) -> None:
        act = self.data.draw(st.sampled_from([pause_run, resume_run, resume_run, cancel_run]), label="person")
        with suppress(RunStateError):
            self.stage.engine.act(act, self.run_id)

    def a_job(self) -> FarJob | None:
        alive = self.far.alive()
        return self.data.draw(st.sampled_from(alive), label="job") if alive else None

    def goes_on(self) -> None:
        """Its process begins; or it says that it lives; or its task returns, or raises."""
        job = self.a_job()
        if job is None:
            return
        if job.id not in self.ran:
            self.begins(job)
        elif self.reports and self.data.draw(st.booleans(), label="beats"):
            self.stage.engine.act(beat_push, job.push.id, holder=job.id, beat_seconds=30.0)
        else:
            self.returns(job, fails=self.data.draw(st.booleans(), label="fails"))

    def ends(self) -> None:
        job = self.a_job()
        if job is not None:
            cause = self.data.draw(st.sampled_from(CAUSES), label="cause")
            self.far.end(job, cause, exit_code=9)
            is_cut_off = cause is Cause.LOST and self.data.draw(st.booleans(), label="its machine is only silent")
            self.far.set(job, is_cut_off=is_cut_off)

    def vanishes(self) -> None:
        job = self.a_job()
        if job is not None:
            del self.far.jobs[job.id]

    def comes_late(self) -> None:
        """A call has its effect, although it seemed to be lost, or once more."""
        self.far.arrive()
        if self.far.calls and len(self.far.alive()) < 6:
            late = self.data.draw(st.sampled_from(self.far.calls[-4:]), label="late")
            late = late._replace(id=f"{late.id}.{len(self.far.jobs)}")
            self.far.jobs.setdefault(late.id, late)

    def begins(self, job: FarJob) -> None:
        if self.reports:
            is_mine = self.stage.engine.act(begin_push, job.push.id, holder=job.id) is not None
        else:
            is_mine = self.attempts.get(job.push.attempt, job.id) == job.id  # as the folder says
        if not is_mine:
            self.far.end(job, Cause.EXIT, exit_code=NOT_MINE)
            return
        assert self.attempts.setdefault(job.push.attempt, job.id) == job.id, "two processes run one attempt"
        self.ran.add(job.id)
        self.far.begin(job)

    def returns(self, job: FarJob, *, fails: bool) -> None:
        outcome = Outcome(*job.push.attempt, Verdict.SUCCEEDED, f'"{job.id}"')
        if fails:
            outcome = Outcome(*job.push.attempt, Verdict.FAILED, error=ErrorInfo("ValueError", job.id))
        if self.reports:
            self.stage.engine.act(report_push, job.push.id, outcome, holder=job.id, by=job.id)
        else:
            self.far.leave(job, outcome)
        self.far.end(job, Cause.EXIT, exit_code=0)

    # What is always so ------------------------------------------------------------------------------------------------

    def check(self) -> None:
        assert self.stage.engine.broken_invariants() == []
        with self.stage.engine.reading() as tx:
            for job in self.far.jobs.values():
                assert tx.all("push_of_id", id=job.push.id, executor="far"), "a job without a row"
        for step in self.stage.steps(self.run_id):
            if step.status.is_final:
                said = (step.status.value, step.attempt)
                assert self.ended.setdefault(step.step, said) == said, "a step that has ended has changed"

    def heal(self) -> None:
        """All is well from now on: the run ends, and what is left outside is ended."""
        self.far.is_away, self.dies_at = False, None
        self.far.answers.clear()
        self.far.arrive()
        with suppress(RunStateError):
            self.stage.engine.act(resume_run, self.run_id)
        for _ in range(150):
            if self.stage.run(self.run_id).status.is_final:
                break
            self.dispatchers[0].run_once()
            for job in self.far.alive():
                if job.id in self.ran:
                    self.returns(job, fails=False)
                else:
                    self.begins(job)
            self.check()
            self.stage.advance(6)
        assert self.stage.run(self.run_id).status.is_final, "the run does not end"
        self.stage.advance(EXIT_SECONDS)
        for _ in range(3):
            self.dispatchers[0].run_once()
            self.stage.advance(CHORES_SECONDS + 1)
        left = {job.id for job in self.far.alive() if job.phase is not Phase.ENDED}
        assert left <= {job_id for job_id, _ in self.far.cancelled}, "something is left outside"
        self.check()
