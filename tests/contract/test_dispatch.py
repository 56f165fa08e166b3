"""What processes of an executor say and take: in one exchange with the server where it is plain, and rightly anyway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from segue.engine.control import cancel_run
from segue.engine.dispatch import Dispatch, Exchanged, Sender, SentStep, resend
from segue.engine.executing import HASTENED_SECONDS, Executor, begin_plainly, begin_steps, hasten, overdue
from segue.engine.pausing import pause_run, resume_run
from segue.errors import StoreUnavailableError
from segue.model import Attempt, Hole, Job, Outcome, Ref, Span
from segue.plan.graph import Node
from segue.store.postgres_wire import Wire
from tests.contract.stage import Stage, failed, node, plan, succeeded
from tests.crash.faults import FaultyStore, lose

FREE, FENCED = Executor("door", is_fenced=False), Executor("door")
WAIT_SECONDS = 60.0


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    take(lasting_stage)  # reads what is read now and then
    yield lasting_stage
    assert lasting_stage.is_sound()


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every exchange with a server."""
    seen: list[int] = []
    flush = Wire.flush

    def counted(wire: Wire) -> None:
        if wire._sent:
            seen.append(len(wire._sent))
        flush(wire)

    monkeypatch.setattr(Wire, "flush", counted)
    return seen


def away(name: str, *parents: int, **fields: Any) -> Node:
    return node(name, *parents, executor="door", queue="@door:default", **fields)


def take(stage: Stage, *outcomes: Outcome, to: Executor = FREE, limit: int = 500) -> Exchanged:
    dispatch = Dispatch(to, "@door:", limit=limit, wait_seconds=WAIT_SECONDS)
    return stage.engine.exchange(list(outcomes), dispatch=dispatch, by="a node")


def one(taken: Exchanged) -> Job:
    [sent] = taken.sent
    return sent.job


def attempt_of(job: Job) -> Attempt:
    return job.run_id, job.step, job.attempt


@pytest.mark.parametrize("to", [FREE, FENCED])
@pytest.mark.parametrize("how", ["paused", "cancelled"])
def test_what_is_overdue_in_a_halted_run_is_taken_back(stage: Stage, how: str, to: Executor) -> None:
    """Its message is lost. It is not sent again, nor looked for over and over, and the run comes to its end."""
    run_id = stage.start(plan(away("s0"), away("s1", 0)))
    job = one(take(stage, to=to))
    stage.engine.act(pause_run if how == "paused" else cancel_run, run_id)
    stage.advance(WAIT_SECONDS + 1)
    assert stage.engine.act(resend, [attempt_of(job)], wait_seconds=WAIT_SECONDS).sent == []
    assert late(stage) == []
    if how == "cancelled":
        assert stage.run(run_id).status == "cancelled"
        return
    step = stage.step(run_id, "s0")
    assert (step.status, step.gate, step.failures, step.losses) == ("ready", "paused", 0, 0)
    stage.engine.act(resume_run, run_id)
    again = one(take(stage, to=to))
    assert again.attempt == job.attempt + 1
    assert not begin(stage, job, stage.worker.id)
    assert begin(stage, again, stage.worker.id) or stage.engine.act(begin_steps, [attempt_of(again)])


def late(stage: Stage) -> list[Attempt]:
    with stage.engine.reading() as tx:
        return [found.attempt for found in overdue(tx, "door", stage.store.now())]


def begin(stage: Stage, job: Job, worker_id: str) -> bool:
    later = stage.engine.act(begin_plainly, attempt_of(job), worker_id=worker_id)
    return later is not None and bool(later.rows())


def a_chain(length: int) -> Any:
    first = Hole((0, 0), Ref(0))
    return plan(
        away("s0"),
        *(
            away(f"s{at}", at - 1, args="[[null],{}]", holes=(Hole(first.where, Ref(at - 1)),))
            for at in range(1, length)
        ),
    )


def test_a_step_of_a_chain_is_recorded_and_the_next_one_sent_in_one_exchange(
    stage: Stage, exchanges: list[int]
) -> None:
    run_id = stage.start(a_chain(5))
    job = one(take(stage, succeeded(one(take(stage)), 0)))
    exchanges.clear()
    for number in (2, 3, 4):
        job = one(take(stage, succeeded(job, number)))
        assert (job.step, job.values) == (number, {number - 1: str(number)})
    assert len(exchanges) == (3 if stage.store.dialect == "postgres" else 0)
    assert take(stage, succeeded(job, "end")).ended == [run_id]
    assert stage.run(run_id).status == "succeeded"


def test_a_run_has_begun_when_its_first_step_has_ended(stage: Stage) -> None:
    long, short = stage.start(a_chain(2)), stage.start(plan(away("only")))
    jobs = [sent.job for sent in take(stage).sent]
    for job in jobs:
        take(stage, succeeded(job))
    assert (stage.run(long).status, stage.run(short).status) == ("running", "succeeded")
    assert stage.run(long).started_at is not None
    assert stage.run(short).started_at is not None


def test_the_body_of_a_chord_gets_all_results(stage: Stage) -> None:
    holes = (Hole((0, 0), Span(0, 2)),)
    stage.start(plan(*map(away, "abc"), away("body", 0, 1, 2, args="[[null],{}]", holes=holes)))
    jobs = [sent.job for sent in take(stage).sent]
    assert take(stage, *(succeeded(job, job.step) for job in jobs[:2])).sent == []
    assert one(take(stage, succeeded(jobs[2], 2))).values == {0: "0", 1: "1", 2: "2"}


@pytest.mark.parametrize("to", [FREE, FENCED], ids=["not fenced", "fenced"])
def test_an_outcome_counts_whether_its_begin_was_said_or_not(stage: Stage, to: Executor) -> None:
    stage.start(plan(away("a"), away("b"), away("both", 0, 1)))
    a, b = (sent.job for sent in take(stage, to=to).sent)
    assert begin_steps_of(stage, a) == [attempt_of(a)]
    taken = take(stage, succeeded(a), succeeded(b), to=to)
    assert (one(taken).name, taken.refused) == ("both", 0)


def begin_steps_of(stage: Stage, job: Job) -> list[Attempt]:
    return stage.engine.act(begin_steps, [attempt_of(job)], worker_id=stage.worker.id)


def test_what_comes_twice_is_refused_and_sends_nothing(stage: Stage) -> None:
    stage.start(a_chain(3))
    job = one(take(stage))
    assert len(take(stage, succeeded(job)).sent) == 1
    again = take(stage, succeeded(job))
    assert (again.sent, again.refused) == ([], 1)


def test_what_is_not_plain_is_done_all_the_same(stage: Stage) -> None:
    stage.start(plan(away("a"), away("b"), away("rescue", 0, 1, rule="some_failed")))
    a, b = (sent.job for sent in take(stage).sent)
    assert one(take(stage, succeeded(a), failed(b, retryable=False))).name == "rescue"


def test_a_paused_run_sends_nothing_more(stage: Stage) -> None:
    run_id = stage.start(a_chain(3))
    job = one(take(stage, succeeded(one(take(stage)))))
    stage.engine.act(pause_run, run_id, actor="ann")
    assert take(stage, succeeded(job)).sent == []
    assert stage.statuses(run_id)["s2"] == "ready"


def test_steps_for_others_wake_them(stage: Stage) -> None:
    stage.start(plan(away("s0"), away("s1", 0), node("local", 1)))
    job = one(take(stage, succeeded(one(take(stage)))))
    assert take(stage, succeeded(job)).sent == []
    assert [each.name for each in stage.claim()] == ["local"]


@pytest.mark.parametrize("point", ["begin", "commit", "committed"])
def test_a_connection_that_is_lost_loses_nothing_for_good(stage: Stage, point: str) -> None:
    """Where the answer to the commit is lost, what was sent is unknown here: it is overdue in time."""
    run_id = stage.start(a_chain(4))
    job = one(take(stage, succeeded(one(take(stage)))))
    plain = stage.engine.store
    faulty = FaultyStore(plain, lose, point)
    stage.engine.store = faulty  # type: ignore[assignment]
    try:
        sent: list[SentStep] = take(stage, succeeded(job)).sent
    except StoreUnavailableError:
        sent = []
    finally:
        stage.engine.store = plain
    sent = sent or take(stage, succeeded(job)).sent
    if not sent:
        stage.advance(WAIT_SECONDS + 1)
        sent = stage.engine.act(resend, late(stage), wait_seconds=WAIT_SECONDS).sent
    assert [each.job.step for each in sent] == [2]
    last = one(take(stage, succeeded(sent[0].job)))
    take(stage, succeeded(last))
    assert stage.run(run_id).status == "succeeded"


# Sent with the start -------------------------------------------------------------------------------------------------


def test_a_start_takes_what_it_lets_be_sent_with_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    delivered: list[Exchanged] = []
    sender = Sender(lambda: Dispatch(FREE, "@door:", limit=3, wait_seconds=WAIT_SECONDS), delivered.append)
    monkeypatch.setitem(stage.engine.senders, "door", sender)
    with counted_transactions(stage, monkeypatch) as transactions:
        run_id = stage.start(plan(*map(away, "abcd")))
    assert len(transactions) == 1
    [taken] = delivered
    assert (len(taken.sent), taken.is_full) == (3, True)
    assert sorted(stage.statuses(run_id).values()) == ["ready", "sent", "sent", "sent"]


def test_a_start_counts_though_nothing_can_be_sent(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def deliver(_: Exchanged) -> None:
        raise ConnectionError("the broker is away")

    sender = Sender(lambda: Dispatch(FREE, "@door:", wait_seconds=WAIT_SECONDS), deliver)
    monkeypatch.setitem(stage.engine.senders, "door", sender)
    run_id = stage.start(a_chain(2))
    assert stage.statuses(run_id)["s0"] == "sent"
    stage.advance(WAIT_SECONDS + 1)
    assert late(stage) == [(run_id, 0, 1)]


@contextmanager
def counted_transactions(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    seen: list[int] = []
    plain = stage.engine.store.transaction

    def transaction() -> Any:
        seen.append(1)
        return plain()

    with monkeypatch.context() as patched:
        patched.setattr(stage.engine.store, "transaction", transaction)
        yield seen


# Begun at once -------------------------------------------------------------------------------------------------------


def test_a_begin_is_one_exchange_and_happens_once(stage: Stage, exchanges: list[int]) -> None:
    run_id = stage.start(a_chain(3))
    job = one(take(stage, succeeded(one(take(stage)))))
    worker_id = stage.worker.id
    exchanges.clear()
    assert begin(stage, job, worker_id)
    assert len(exchanges) == (1 if stage.store.dialect == "postgres" else 0)
    assert stage.statuses(run_id)["s1"] == "running"
    assert not begin(stage, job, stage.worker.id)
    assert one(take(stage, succeeded(job), to=FENCED)).step == 2


@pytest.mark.parametrize("act", [pause_run, cancel_run])
def test_nothing_begins_at_once_in_a_run_that_is_halted(stage: Stage, act: Any) -> None:
    run_id = stage.start(a_chain(3))
    job = one(take(stage, succeeded(one(take(stage)))))
    stage.engine.act(act, run_id, actor="ann")
    assert not begin(stage, job, stage.worker.id)


def test_an_attempt_that_is_not_the_current_one_does_not_begin_at_once(stage: Stage) -> None:
    stage.start(a_chain(3))
    job = one(take(stage, succeeded(one(take(stage)))))
    again = one(stage.engine.act(resend, [attempt_of(job)], wait_seconds=WAIT_SECONDS))
    assert not begin(stage, job, stage.worker.id)
    assert begin(stage, again, stage.worker.id)


# Sent again ----------------------------------------------------------------------------------------------------------


def test_many_overdue_steps_of_many_runs_are_sent_again_together(stage: Stage) -> None:
    for _ in range(3):
        stage.start(plan(*(away(f"a{number}") for number in range(4))))
    jobs = [sent.job for sent in take(stage).sent]
    take(stage, succeeded(jobs[0]))
    stage.advance(WAIT_SECONDS + 1)
    taken = stage.engine.act(resend, [attempt_of(job) for job in jobs], wait_seconds=WAIT_SECONDS)
    expected = sorted((job.run_id, job.step, 2) for job in jobs[1:])
    assert sorted(attempt_of(sent.job) for sent in taken.sent) == expected
    assert late(stage) == []
    assert take(stage, succeeded(jobs[1])).refused == 1
    assert take(stage, succeeded(taken.sent[0].job)).refused == 0


def test_only_what_was_sent_with_the_end_of_an_attempt_is_hastened(stage: Stage) -> None:
    stage.start(plan(away("a"), away("b"), away("c", 0), away("d", 0), away("e", 1)))
    a, b = (sent.job for sent in take(stage).sent)
    stage.advance(1)
    with_a = [attempt_of(sent.job) for sent in take(stage, succeeded(a)).sent]
    stage.advance(1)
    take(stage, succeeded(b))
    assert late(stage) == []
    stage.engine.act(hasten, attempt_of(a), executor="door")
    assert late(stage) == []  # their messages may have been sent after all
    stage.advance(HASTENED_SECONDS)
    assert sorted(late(stage)) == sorted(with_a)
