"""The worker's loop against an engine and a pool that follow a script: nothing is lost when the database goes away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import pytest

from segue.clock import ManualClock
from segue.engine.ids import Ids
from segue.engine.turn_request import TurnRequest, TurnResult
from segue.errors import (
    PlanError,
    Problem,
    SchemaError,
    StoreBusyError,
    StoreConflictError,
    StoreError,
    StoreUnavailableError,
    WorkerError,
)
from segue.loop.pace import Pace
from segue.model import ErrorInfo, Job, Outcome, Progress, Verdict
from segue.worker import worker as worker_module
from segue.worker.worker import Worker, WorkerOptions


def job(step: int = 0, attempt: int = 1) -> Job:
    return Job("run", step, attempt, f"s{step}", "t", "[[],{}]", None, {}, None)


def done(of: Job, verdict: str = Verdict.SUCCEEDED) -> Outcome:
    return Outcome(of.run_id, of.step, of.attempt, verdict)


class ScriptedEngine:
    """Answers turns from a list: a result, an error to raise, or a function of the request."""

    namespace = ""
    stored = staticmethod(str)

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.requests: list[TurnRequest] = []
        self.workers: list[str] = []
        self.registered: list[str] = []
        self.unregistered: list[str] = []
        self.reconciled: list[set[tuple[str, int, int]]] = []
        self.otherwise: Any = lambda _: TurnResult()  # when the script is at its end
        self.rescues = 0
        self.forgotten = 0
        self.broken: list[tuple[str, int]] = []
        self.final = False
        self.store = self
        self.clock = ManualClock()

    def now(self) -> Any:
        return self.clock.now()

    def new_id(self) -> str:
        return Ids().new(self.now())

    def forget_clock(self) -> None:
        self.forgotten += 1

    def holders(self, run_id: str) -> str:
        return "session 7"

    def break_run(self, run_id: str, step: int, error: ErrorInfo) -> bool:
        self.broken.append((run_id, step))
        return True

    def waker(self) -> Any:
        return Waker()

    def patience(self, _: float) -> Any:
        return nullcontext()

    def register(self, worker: Any, **_: Any) -> None:
        self.registered.append(worker.id)

    def unregister(self, worker: Any) -> None:
        self.unregistered.append(worker.id)

    def release_unknown(self, worker_id: str, known: set[tuple[str, int, int]]) -> tuple[int, bool]:
        self.reconciled.append(known)
        return 0, True

    def rescue(self) -> int:
        self.rescues += 1
        return 0

    def is_final(self, run_id: str) -> bool:
        return self.final

    def turn(self, worker: Any, request: TurnRequest) -> TurnResult:
        self.requests.append(request)
        self.workers.append(worker.id)
        answer = self.script.pop(0) if self.script else self.otherwise
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def said(self) -> list[list[Outcome]]:
        return [list(request.outcomes) for request in self.requests if request.outcomes]


class Waker:
    fd = None
    poll_seconds = 0.02

    def woken(self) -> bool:
        return False

    def drain(self) -> None: ...

    def close(self) -> None: ...


class ScriptedPool:
    """Hands out what the test put there; every wait moves the clock instead of waiting."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.news: list[list[Any]] = []
        self.running: list[Job] = []
        self.calls: list[Any] = []
        self.capacity = 4
        self.before_collect: Callable[[], None] = lambda: None
        self.waits = 0

    def start(self) -> None:
        self.calls.append("start")

    @property
    def in_flight(self) -> list[tuple[str, int, int]]:
        return [(item.run_id, item.step, item.attempt) for item in self.running]

    def submit(self, jobs: Sequence[Job]) -> None:
        self.running += jobs

    def collect(self, timeout_seconds: float, extra_fds: Sequence[int] = ()) -> list[Any]:
        self.waits += 1
        if self.waits >= 500:
            pytest.fail("the worker turns in circles")  # no exception that a worker would bear
        self.before_collect()
        news = self.news.pop(0) if self.news else []
        if not news:
            self.clock.advance(seconds=max(timeout_seconds, 0.001))
        for item in news:
            if isinstance(item, Outcome):
                self.running = [one for one in self.running if (one.step, one.attempt) != (item.step, item.attempt)]
        return news

    def wake(self) -> None: ...

    def cancel(self, run_id: str, step: int) -> None:
        self.calls.append(("cancel", step))

    def output_of(self, run_id: str, step: int) -> str | None:
        return None

    def recall(self) -> None:
        self.calls.append("recall")

    def stop(self, grace_seconds: float) -> list[Outcome]:
        self.calls.append("stop")
        left = [done(item, Verdict.RELEASED) for item in self.running]
        self.running = []
        return left

    def kill(self) -> None:
        self.calls.append("kill")


class Play:
    """A worker, its engine and its pool."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.engine = ScriptedEngine()
        self.pool = ScriptedPool(self.engine.clock)
        monkeypatch.setattr(worker_module.time, "monotonic", self.engine.clock.monotonic)
        monkeypatch.setattr(worker_module.time, "sleep", lambda seconds: self.engine.clock.advance(seconds=seconds))
        self.worker = Worker(self.engine, self.pool, tasks=["t"], options=WorkerOptions(**options))
        assert isinstance(self.worker._pace, Pace)

    def run(self, *script: Any, news: Sequence[Sequence[Any]] = (), stop_after: int = 12) -> None:
        """Work through the script, then so many waits more, then stop warm."""
        self.engine.script = list(script)
        self.pool.news = [list(items) for items in news]

        def count() -> None:
            over = self.pool.waits > stop_after and not self.pool.news and not self.engine.script
            if over and not self.worker._caretaker.is_asked:
                self.worker.stop()

        self.pool.before_collect = count
        self.worker.run()


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    return Play(monkeypatch)


def gone() -> StoreUnavailableError:
    return StoreUnavailableError("the database is away")


def test_outcomes_are_kept_until_the_database_has_them(play: Play) -> None:
    outcome = done(job())
    play.run(TurnResult(jobs=[job()]), gone(), gone(), gone(), TurnResult(), news=[[outcome]])
    assert play.engine.said == [[outcome]] * 4
    assert play.engine.said.count([outcome]) == 4


def test_what_comes_while_the_database_is_away_is_said_with_the_rest(play: Play) -> None:
    first, second = done(job(0)), done(job(1))
    play.run(TurnResult(jobs=[job(0), job(1)]), gone(), TurnResult(), news=[[first], [second]])
    assert play.engine.said[-1] == [first, second]


def test_what_an_attempt_recorded_itself_is_not_said_again(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it released is looked for at once, though the worker had fallen asleep."""
    looked_at: list[float] = []
    heard_at: list[float] = []
    collect, turn = play.pool.collect, play.engine.turn

    def hear(timeout_seconds: float, extra_fds: Sequence[int] = ()) -> list[Any]:
        news = collect(timeout_seconds, extra_fds)
        heard_at.extend(play.engine.clock.monotonic() for item in news)
        return news

    def look(worker: Any, request: TurnRequest) -> TurnResult:
        looked_at.append(play.engine.clock.monotonic())
        return turn(worker, request)

    monkeypatch.setattr(play.pool, "collect", hear)
    monkeypatch.setattr(play.engine, "turn", look)
    play.run(TurnResult(jobs=[job()]), news=[*[[]] * 12, [done(job(), Verdict.RECORDED)]], stop_after=14)
    assert play.engine.said == []
    assert play.pool.in_flight == []
    assert heard_at
    assert heard_at[0] in looked_at
    assert heard_at[0] - max(at for at in looked_at if at < heard_at[0]) > 0.01


def test_what_was_recorded_while_it_stops_is_not_said_either(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play.pool, "stop", lambda grace_seconds: [done(job(), Verdict.RECORDED)])
    play.run(TurnResult(jobs=[job()]))
    assert play.engine.said == []


def test_a_conflict_is_tried_again(play: Play) -> None:
    outcome = done(job())
    play.run(TurnResult(jobs=[job()]), StoreConflictError("deadlock"), TurnResult(), news=[[outcome]])
    assert play.engine.said == [[outcome], [outcome]]


def test_after_a_broken_turn_it_gives_back_what_it_never_heard_of(play: Play) -> None:
    """The claim may have been committed, and its answer lost."""
    outcome = done(job(0))
    play.run(TurnResult(jobs=[job(0), job(1)]), gone(), TurnResult(), news=[[outcome]])
    assert play.engine.reconciled == [{("run", 0, 1), ("run", 1, 1)}]


def test_a_quiet_turn_reconciles_nothing(play: Play) -> None:
    play.run(TurnResult(jobs=[job()]), news=[[done(job())]])
    assert play.engine.reconciled == []


def test_outcomes_of_steps_that_need_not_run_are_said_in_the_next_turn(play: Play) -> None:
    skipped = done(job(), Verdict.SKIPPED)
    play.run(TurnResult(outcomes=[skipped]))
    assert play.engine.said == [[skipped]]


def test_a_worker_in_burst_mode_says_them_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play(monkeypatch, burst=True)
    skipped = done(job(), Verdict.SKIPPED)
    play.run(TurnResult(outcomes=[skipped]), stop_after=400)
    assert play.engine.said == [[skipped]]
    assert "recall" not in play.pool.calls  # it ended by itself


def test_a_worker_that_was_declared_lost_begins_anew(play: Play) -> None:
    running = job(1)
    result = TurnResult(jobs=[job(0), running])
    play.run(
        result, TurnResult(lease_lost=True), TurnResult(), news=[[done(job(0))], [done(running, Verdict.CANCELLED)]]
    )
    assert len(set(play.engine.registered)) == 2
    assert ("cancel", 1) in play.pool.calls
    assert play.engine.workers[0] != play.engine.workers[-1]
    # What it had before is still said; what it ended itself is handed back, for nobody cancelled that run.
    said = [outcome for outcomes in play.engine.said for outcome in outcomes]
    assert done(job(0)) in said
    assert done(running, Verdict.RELEASED) in said
    assert done(running, Verdict.CANCELLED) not in said


def test_what_a_person_cancelled_stays_cancelled(play: Play) -> None:
    cancelled = done(job(), Verdict.CANCELLED)
    play.run(TurnResult(jobs=[job()]), TurnResult(cancels=[("run", 0, 1)]), news=[[], [cancelled]])
    assert ("cancel", 0) in play.pool.calls
    assert play.engine.said == [[cancelled]]


def refusing(bad: Outcome, error: Exception) -> Callable[[TurnRequest], Any]:
    """An engine to which this outcome, as it is or rewritten, is unbearable in a turn with others or alone."""

    def answer(request: TurnRequest) -> Any:
        return error if bad in request.outcomes else TurnResult()

    return answer


ODD_ERRORS = [
    PlanError("x", [Problem("n", "w", "r")]),
    StoreError("refused"),
    ValueError("not of Segue's"),
    RecursionError("too deep"),
    MemoryError(),
]


@pytest.mark.parametrize("error", ODD_ERRORS, ids=lambda error: type(error).__name__)
def test_an_outcome_that_cannot_be_written_is_found_and_failed(play: Play, error: Exception) -> None:
    good, bad = [done(job(number)) for number in range(4)], done(job(4), Verdict.EXPANDED)
    play.engine.otherwise = refusing(bad, error)
    play.run(TurnResult(jobs=[job(number) for number in range(5)]), news=[[*good, bad]])
    said = [outcome for outcomes in play.engine.said for outcome in outcomes]
    recorded = [o for request in play.engine.requests if bad not in request.outcomes for o in request.outcomes]
    assert [outcome for outcome in recorded if outcome in good] == good
    [instead] = [outcome for outcome in said if outcome.verdict == Verdict.FAILED]
    assert (instead.step, instead.retryable) == (4, False)
    assert isinstance(instead.error, ErrorInfo)
    assert "could not be recorded" in instead.error.message
    assert play.engine.broken == []


@pytest.mark.parametrize("error", ODD_ERRORS, ids=lambda error: type(error).__name__)
def test_a_run_that_takes_no_outcome_at_all_is_ended_and_the_others_go_on(play: Play, error: Exception) -> None:
    good, bad = done(job(0)), done(job(1))

    def refuse(request: TurnRequest) -> Any:
        return error if any(outcome.step == 1 for outcome in request.outcomes) else TurnResult()

    play.engine.otherwise = refuse
    play.run(TurnResult(jobs=[job(0), job(1)]), news=[[good, bad]])
    assert play.engine.broken == [("run", 1)]
    assert [good] in play.engine.said
    assert not play.worker._aside


def test_a_claim_that_cannot_be_done_is_no_reason_to_end_nor_to_forget_what_runs(play: Play) -> None:
    outcome = done(job())

    def refuse(request: TurnRequest) -> Any:
        return ValueError("a row") if request.want else TurnResult()

    play.engine.otherwise = refuse
    play.run(TurnResult(jobs=[job()]), news=[[]] * 3 + [[outcome]], stop_after=40)
    assert play.engine.said[-1] == [outcome]
    assert any(request.apart for request in play.engine.requests)


def test_what_was_claimed_is_committed_before_it_is_looked_at_when_it_was_in_the_way(play: Play) -> None:
    def refuse(request: TurnRequest) -> Any:
        return TurnResult(jobs=[job()]) if request.apart else ValueError("a row")

    play.run(refuse, refuse, news=[[done(job())]])
    assert play.engine.said == [[done(job())]]


@pytest.mark.parametrize("is_left", [True, False])
@pytest.mark.parametrize("error", [StoreBusyError("locked"), StoreConflictError("ended")])
def test_outcomes_that_wait_for_a_lock_hold_up_no_claim_and_stay_what_they_are(
    play: Play, error: StoreError, is_left: bool
) -> None:
    held, free = done(job(0)), done(job(1))
    jobs = [job(0), job(1), job(2)]
    claimed_with_held_kept = []

    def locked(request: TurnRequest) -> Any:
        if held in request.outcomes and len(play.engine.requests) < 40:
            return TurnResult(left=[held]) if request.alone and is_left else error
        claimed_with_held_kept.append(request.want)
        return TurnResult()

    play.engine.otherwise = locked
    play.run(TurnResult(jobs=jobs), news=[[held], [free], [], [done(job(2))]], stop_after=400)
    said = [outcome for outcomes in play.engine.said for outcome in outcomes]
    assert {outcome.verdict for outcome in said} == {Verdict.SUCCEEDED}
    assert {outcome.step for outcome in said} == {0, 1, 2}
    assert any(claimed_with_held_kept)
    assert play.engine.said[-1] == [held]


def test_an_outcome_whose_turn_breaks_while_isolated_is_kept(play: Play) -> None:
    one, two = done(job(0)), done(job(1))
    script = [TurnResult(jobs=[job(0), job(1)]), PlanError("x", []), TurnResult(), gone(), TurnResult(), TurnResult()]
    play.run(*script, news=[[one, two]])
    assert play.engine.said == [[one, two]] * 3


def test_progress_that_cannot_be_written_is_dropped(play: Play) -> None:
    good, bad = Progress("run", 0, 1, 1.0), Progress("run", 1, 1, 2.0)

    def refuse(request: TurnRequest) -> Any:
        return ValueError("no number") if bad in request.progress else TurnResult()

    play.engine.otherwise = refuse
    play.run(TurnResult(jobs=[job(0), job(1)]), news=[[good, bad]], stop_after=100)
    assert [good] in [list(request.progress) for request in play.engine.requests]
    assert not play.worker._progress


def test_a_job_that_the_pool_cannot_take_has_failed_and_the_others_run(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = play.pool.submit

    def refuse(jobs: Sequence[Job]) -> None:
        for item in jobs:
            if item.step == 1:
                raise OSError("no space left")
            submit([item])

    monkeypatch.setattr(play.pool, "submit", refuse)
    play.run(TurnResult(jobs=[job(0), job(1), job(2)]), news=[[], [done(job(0)), done(job(2))]])
    said = {outcome.step: outcome.verdict for outcomes in play.engine.said for outcome in outcomes}
    assert said == {0: Verdict.SUCCEEDED, 1: Verdict.FAILED, 2: Verdict.SUCCEEDED}


def test_a_pool_that_only_raises_ends_the_worker_and_one_that_raises_once_does_not(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect = play.pool.collect
    raised: list[bool] = []

    def once(timeout_seconds: float, extra_fds: Sequence[int] = ()) -> list[Any]:
        if not raised:
            raised.append(True)
            raise ValueError("a frame")
        return collect(timeout_seconds, extra_fds)

    monkeypatch.setattr(play.pool, "collect", once)
    play.run(TurnResult(jobs=[job()]), news=[[done(job())]])
    assert play.engine.said == [[done(job())]]
    raised.clear()

    def always(timeout_seconds: float, extra_fds: Sequence[int] = ()) -> list[Any]:
        raise ValueError("a frame")

    monkeypatch.setattr(play.pool, "collect", always)
    again = Worker(play.engine, play.pool, tasks=["t"], options=WorkerOptions())
    with pytest.raises(WorkerError, match="can no longer report"):
        again.run()


def test_a_pool_that_takes_nothing_for_minutes_ends_the_worker(play: Play) -> None:
    play.pool.capacity = 0
    with pytest.raises(WorkerError, match="taken nothing"):
        play.run(stop_after=450)


@pytest.mark.parametrize("error", [PlanError("x", []), StoreBusyError("a statement was cancelled"), OSError("odd")])
def test_an_idle_worker_never_gives_up(play: Play, error: Exception) -> None:
    play.run(*[error] * 6, TurnResult(jobs=[job()]), stop_after=20)
    assert play.pool.calls.count("start") == 1
    assert not play.engine.script


def test_news_from_others_is_read_also_by_who_can_take_nothing(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody reads piles up, and in the end blocks the session that notifies."""
    read: list[float] = []
    monkeypatch.setattr(Waker, "woken", lambda _: bool(read.append(play.engine.clock.monotonic())))
    play.pool.capacity = 0
    play.run(TurnResult(jobs=[job()]), stop_after=20)
    assert len(read) >= 3


def test_it_reads_the_clock_anew_before_its_next_lease(play: Play) -> None:
    play.run(TurnResult(lease_lost=True))
    assert play.engine.forgotten == 1


def test_no_turn_is_taken_under_a_name_that_was_not_registered(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    register = play.engine.register
    refused: list[str] = []

    def refuse(worker: Any, **fields: Any) -> None:
        if play.engine.registered and len(refused) < 3:
            refused.append(worker.id)
            raise gone()
        register(worker, **fields)

    monkeypatch.setattr(play.engine, "register", refuse)
    play.run(TurnResult(lease_lost=True), stop_after=40)
    assert len(refused) == 3
    assert set(play.engine.workers) <= set(play.engine.registered)


def test_a_wrong_schema_ends_the_worker_at_once(play: Play) -> None:
    with pytest.raises(SchemaError):
        play.run(SchemaError("older"))
    assert play.engine.unregistered == play.engine.registered
    assert play.pool.calls[-1] == "kill"


def test_a_warm_stop_waits_for_what_runs_and_claims_nothing_more(play: Play) -> None:
    play.pool.before_collect = play.worker.stop
    play.engine.script = [TurnResult(jobs=[job()])]
    late = done(job())

    def stop_once() -> None:
        if play.pool.waits == 1:
            play.worker.stop()

    play.pool.before_collect = stop_once
    play.pool.news = [[], [], [late]]
    play.worker.run()
    assert play.engine.said == [[late]]
    assert play.pool.calls[:2] == ["start", "recall"]
    assert all(request.want == 0 for request in play.engine.requests[1:])
    assert play.engine.unregistered == play.engine.registered


def test_a_warm_stop_hands_back_what_does_not_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play(monkeypatch, grace_seconds=3.0)
    play.run(TurnResult(jobs=[job()]))
    assert play.engine.said == [[done(job(), Verdict.RELEASED)]]
    assert "stop" in play.pool.calls


def test_a_second_stop_is_cold(play: Play) -> None:
    def stop_twice() -> None:
        play.worker.stop()
        play.worker.stop()

    play.engine.script = [TurnResult(jobs=[job(0), job(1)])]
    play.pool.before_collect = stop_twice
    play.worker.run()
    assert "stop" not in play.pool.calls
    assert play.engine.said == [[done(job(0), Verdict.RELEASED), done(job(1), Verdict.RELEASED)]]


def test_what_is_left_at_the_end_is_tried_several_times(play: Play) -> None:
    play.engine.script = [TurnResult(jobs=[job()]), gone(), gone(), TurnResult()]
    play.pool.before_collect = lambda: (play.worker.stop(), play.worker.stop())[0]
    play.worker.run()
    assert play.engine.said == [[done(job(), Verdict.RELEASED)]] * 3


def test_only_the_latest_progress_is_said(play: Play) -> None:
    news = [[Progress("run", 0, 1, done=number) for number in range(5)]]
    play.run(TurnResult(jobs=[job()]), news=[*news, [], [], [], [done(job())]], stop_after=40)
    said = [list(request.progress) for request in play.engine.requests if request.progress]
    assert said == [[Progress("run", 0, 1, done=4)]]


def test_a_worker_of_one_run_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play(monkeypatch, run_id="run")
    play.run(TurnResult(jobs=[job()]), TurnResult(ended=["run"]), news=[[done(job())]], stop_after=400)
    assert "recall" not in play.pool.calls


def test_a_worker_of_one_run_ends_when_somebody_else_ended_it(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play(monkeypatch, run_id="run")
    play.engine.final = True
    play.run(stop_after=400)
    assert "recall" not in play.pool.calls
    assert len(play.engine.requests) == 1


def test_lost_workers_are_looked_for(play: Play) -> None:
    play.run(stop_after=30)
    assert play.engine.rescues > 0
