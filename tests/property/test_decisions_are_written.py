"""`judge_join` and `decide` say on one page what SQL and engine do: here they are held to it, on both stores."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.engine import transitions
from segue.engine.executing import Executor, begin_steps, recall_steps, resend_step, retry_steps, send_steps
from segue.engine.extend import extend
from segue.engine.sending import send_message
from segue.engine.transitions import Change, Facts, decide
from segue.model import Gather, Hole, JoinRule, JoinVerdict, Policy, Ref, StepStatus, Verdict, judge_join
from segue.store.protocol import Finish
from tests.contract.stage import LEASE_SECONDS, Stage, connect, ended, expanded, failed, node, plan, succeeded
from tests.contract.test_store_waits import wait

FINAL = ("succeeded", "failed", "skipped", "cancelled")
FEW = st.integers(0, 2)
EXAMPLES = 4 * settings.default.max_examples  # examples are small and quick


@settings(max_examples=EXAMPLES)
@given(
    rule=st.sampled_from(JoinRule), ends=st.lists(st.sampled_from(FINAL), min_size=1, max_size=6),
    cuts=st.sets(st.integers(1, 5)), is_join=st.booleans(), strangers=st.booleans(),
)  # fmt: skip
def test_a_finish_judges_joins_as_the_model_does(
    stage: Stage, rule: JoinRule, ends: list[str], cuts: set[int], is_join: bool, strangers: bool
) -> None:
    """Parents end in batches; after each, the child is where `judge_join` puts it."""
    stage.empty()
    parents = [node(f"p{number}") for number in range(len(ends))]
    child = len(parents)
    fields: dict[str, Any] = {"task": None} if is_join else {}
    run_id = stage.start(plan(*parents, node("child", *range(child), rule=rule, **fields), node("bystander")))
    wrong = [Finish(run_id, child + 1, 1, "ready", "failed"), Finish(run_id, child + 1, 0, "running", "failed")]
    refused = wrong if strangers else []  # with them, a batch is never of one
    expected = "blocked"
    edges = [0, *sorted(cut for cut in cuts if cut < child), child]
    for first, last in pairwise(edges):
        batch = [Finish(run_id, number, 0, "ready", ends[number]) for number in range(first, last)]
        with stage.store.transaction() as tx:
            tx.all("lock_runs", ids=[run_id])
            if not strangers:
                assert tx.finish(wrong[:1], stage.store.now()).result().recorded == 0
            done = tx.finish([*refused, *batch], stage.store.now()).result()
        assert done.recorded == len(batch)
        assert stage.statuses(run_id)["bystander"] == "ready"
        about = [follow for follow in done.follow if follow.step == child]
        if expected == "ready":
            assert about == []
            continue
        said = ends[:last]
        verdict = judge_join(
            rule, child - last, said.count("failed") + said.count("cancelled"), said.count("skipped"),
            ends[first:last].count("succeeded"),
        )  # fmt: skip
        match verdict:
            case JoinVerdict.WAIT:
                assert about == []
            case JoinVerdict.SKIP:
                assert [follow.kind for follow in about] == ["skip"]
                expected = "skip"
            case JoinVerdict.START if is_join:
                assert [follow.kind for follow in about] == ["join"]
                expected = "passed"
            case JoinVerdict.START:
                assert about == []
                expected = "ready"
        assert done.started == (1 if expected == "ready" else 0)
        # What `follow` says is carried on by the engine; until then the row says blocked.
        assert stage.statuses(run_id)["child"] == ("ready" if expected == "ready" else "blocked")
        if expected in ("skip", "passed"):
            break


KINDS = (
    "claimed", "lost", "cancelled", "sent", "begun", "recalled", "resent", "resent as the next", "retrying",
    "retrying elsewhere", "expired", "begun", "recalled", "resent", "retrying", "extending",
)  # fmt: skip
"""What happens to a step, besides how its attempt ended. `ParentsDone`, `PlanDone` and `Received` have their own
tests in this file; `Reset` and `SetByHand` have theirs."""

# What a gate holds back is not on the page: nothing is claimed, sent or expires in a paused run. A run that is being
# ended is not cancelled again, and only its hooks are ready.
NOT_ASKED_OF = {"is paused": ("claimed", "sent", "expired"), "is ending": ("claimed", "sent", "expired", "cancelled")}


@settings(max_examples=2 * EXAMPLES)
@given(
    status=st.sampled_from(["running", "running", "running", "sent", "sent", "sent", "ready", "blocked", *FINAL]),
    attempt=st.integers(1, 3), failures=FEW, losses=FEW,
    policy=st.builds(
        Policy, retries=FEW, lost_retries=FEW, retry_delay=st.just(0.0), retry_jitter=st.just(0.0),
        schedule_to_start=st.just(5.0),
    ),
    kind=st.sampled_from([*KINDS, *Verdict, *["succeeded"] * 4]),
    stale=st.sampled_from([0, 0, 0, -1, 1]),
    retryable=st.booleans(),
    is_fenced=st.booleans(),
    is_asked_to_end=st.sampled_from([False, False, True]),
    run=st.sampled_from(["goes on", "goes on", "is ending", "is paused"]),
)  # fmt: skip
def test_the_engine_writes_what_decide_says(
    stage: Stage,
    status: str,
    attempt: int,
    failures: int,
    losses: int,
    policy: Policy,
    kind: str,
    stale: int,
    retryable: bool,
    is_fenced: bool,
    is_asked_to_end: bool,
    run: str,
) -> None:
    if kind in NOT_ASKED_OF.get(run, ()):
        run = "goes on"
    stage.empty()
    gathers = node("gathers", 1, args="[[null],{}]", holes=(Hole((0, 0), Gather((Ref(1),))),))
    run_id = stage.start(plan(node("other", delay=1e6), node("s", **_fields(policy)), gathers))
    [job] = stage.claim()
    live = StepStatus(status) in transitions.LIVE
    asked = live and is_asked_to_end
    _put(
        stage, run_id, status, attempt, failures, losses, worker=stage.worker.id if status == "running" else None,
        is_fenced=is_fenced, is_asked_to_end=asked, run=run,
    )  # fmt: skip
    facts = Facts(
        StepStatus(status), attempt, failures, losses, policy, seed=f"{run_id}:1", waiting_on=status == "blocked",
        is_fenced=is_fenced, is_asked_to_end=asked, run_is_ending=run == "is ending", run_is_paused=run == "is paused",
    )  # fmt: skip
    job.attempt = attempt + stale
    event, act = _event(stage, run_id, job, kind, retryable)
    change = decide(facts, event)
    refused = act()
    row = stage.step(run_id, "s")
    assert (change if isinstance(change, Change) else None) is None or not refused
    is_refused = not isinstance(change, Change)
    if not isinstance(change, Change):
        change = Change(facts.status, attempt, failures, losses)
    assert (row.status, row.attempt, row.failures, row.losses) == (
        change.status,
        change.attempt,
        change.failures,
        change.losses,
    )
    if kind in ("cancelled", "begun") and not is_refused and not change.status.is_final:
        assert row.cancel_requested == change.asked_to_end
    if row.status == "ready" and run == "is paused" and not is_refused:
        assert row.gate == "paused"


def _event(stage: Stage, run_id: str, job: Any, kind: str, retryable: bool) -> tuple[Any, Any]:
    act, which = stage.engine.act, (run_id, 1, job.attempt)
    until = stage.clock.now() + timedelta(seconds=60)
    match kind:
        case "claimed":
            return transitions.Claimed(), lambda: not stage.claim()
        case "sent":
            to = Executor("outside")
            return transitions.Sent(), lambda: not act(send_steps, [(run_id, 1)], to=to, until=until)
        case "begun":
            return transitions.Begun(
                job.attempt
            ), lambda: which not in act(begin_steps, [which]) and not _is_recalled(stage, run_id)
        case "recalled":
            return transitions.Recalled(job.attempt), lambda: not act(recall_steps, [which])
        case "resent" | "resent as the next":
            is_next = kind != "resent"
            return (
                transitions.Resent(job.attempt, is_next),
                lambda: act(resend_step, which, until=until, is_next=is_next) is None,
            )
        case "retrying" | "retrying elsewhere":
            held_until = until if kind == "retrying elsewhere" else None
            return (
                transitions.Retrying(job.attempt, 0.0, held_until),
                lambda: not act(retry_steps, [failed(job)], by="outside", held_until=held_until),
            )
        case "extending":
            more = plan(node("more", delay=1e6), result=Gather((Ref(0),)))
            return transitions.Extending(job.attempt), lambda: act(extend, which, more, key="once") is None
        case "expired":
            stage.advance(6)
            return transitions.Expired(failed=True), lambda: not stage.engine.ring_alarms()
        case "cancelled":
            return transitions.Cancelled(), lambda: stage.cancel(run_id) is None
        case "lost":
            stage.advance(LEASE_SECONDS + 1)
            # A rescue speaks of the attempt that is running, never of another, nor of one that was sent.
            row = stage.step(run_id, "s")
            job.attempt = row.attempt if row.status == "running" else -1
            return transitions.Lost(job.attempt), lambda: stage.engine.rescue() == 0
        case "expanded":
            outcome = expanded(job, plan(node("grown", delay=1e6)))
        case "failed":
            outcome = failed(job, retryable=retryable)
        case "succeeded":
            outcome = succeeded(job)
        case _:
            outcome = ended(job, Verdict(kind))
    return transitions.Ended(job.attempt, Verdict(kind), retryable), lambda: stage.turn(outcome).refused


def _is_recalled(stage: Stage, run_id: str) -> bool:
    return stage.step(run_id, "s").status == "ready"


@given(status=st.sampled_from(StepStatus), failed_inside=st.booleans())
def test_a_plan_that_is_done_ends_the_step_that_returned_it(
    stage: Stage, status: StepStatus, failed_inside: bool
) -> None:
    stage.empty()
    run_id = stage.start(plan(node("other", delay=1e6), node("s")))
    [job] = stage.claim()
    [inner] = stage.claim_after([expanded(job, plan(node("inner")))])
    _put(stage, run_id, status, 1, 0, 0, worker=stage.worker.id if status is StepStatus.RUNNING else None)
    change = decide(Facts(status, 1), transitions.PlanDone(failed=failed_inside))
    stage.turn(failed(inner, retryable=False) if failed_inside else succeeded(inner))
    expected = change.status if isinstance(change, Change) else status
    assert stage.step(run_id, "s").status == expected


@given(status=st.sampled_from(StepStatus))
def test_a_message_ends_the_step_that_waits_for_it(stage: Stage, status: StepStatus) -> None:
    stage.empty()
    run_id = stage.start(plan(node("other", delay=1e6), wait("s")))
    if status is not StepStatus.READY:
        _put(stage, run_id, status, 1, 0, 0, worker=stage.worker.id if status is StepStatus.RUNNING else None)
    change = decide(Facts(status), transitions.Received())
    stage.engine.act(send_message, run_id, name="s", value="1", key="k")
    expected = change.status if isinstance(change, Change) else status
    assert stage.step(run_id, "s").status == expected


@given(status=st.sampled_from(StepStatus))
def test_a_step_waits_for_what_is_added_while_it_is_blocked(stage: Stage, status: StepStatus) -> None:
    stage.empty()
    gathers = node("s", 0, args="[[null],{}]", holes=(Hole((0, 0), Gather((Ref(0),))),))
    run_id = stage.start(plan(node("member"), gathers))
    [job] = stage.claim()
    _put(stage, run_id, status, 1, 0, 0, worker=stage.worker.id if status is StepStatus.RUNNING else None)
    change = decide(Facts(status, 1), transitions.Extended())
    more = plan(node("more", delay=1e6), result=Gather((Ref(0),)))
    added = stage.engine.act(extend, (run_id, 0, job.attempt), more, key="once")
    assert (added is None) == (not isinstance(change, Change))
    assert stage.step(run_id, "s").status == status


def _fields(policy: Policy) -> dict[str, Any]:
    return {name: getattr(policy, name) for name in policy.__struct_fields__}


def _put(
    stage: Stage, run_id: str, status: str, attempt: int, failures: int, losses: int, *, worker: str | None,
    is_fenced: bool = True, is_asked_to_end: bool = False, run: str = "goes on",
) -> None:  # fmt: skip
    """Give the step this row, and its run this state."""
    is_paused, now = run == "is paused", "2026-01-01 00:00:00.000000"
    columns = {
        "status": str(status), "gate": "paused" if is_paused and status == "ready" else None, "attempt": attempt,
        "failures": failures, "losses": losses, "worker_id": worker, "ready_at": now, "waiting_on": status == "blocked",
        "executor": "outside" if status == "sent" else None, "fenced": is_fenced, "sent_at": now, "sent_until": now,
        "cancel_requested": is_asked_to_end,
    }  # fmt: skip
    if stage.store.dialect == "sqlite":
        columns = {name: int(given) if isinstance(given, bool) else given for name, given in columns.items()}
    else:
        columns["waiting_on"] = int(status == "blocked")
    mark = "?" if stage.store.dialect == "sqlite" else "%s"
    step = ", ".join(f"{name} = {mark}" for name in columns)
    of_run = {"is ending": "intent = 'cancelled'", "is paused": "status = 'paused'"}.get(run)
    with connect(stage.store.url) as connection:
        connection.execute(
            f"UPDATE segue_steps SET {step} WHERE run_id = {mark} AND step = 1", (*columns.values(), run_id)
        )
        if of_run is not None:
            connection.execute(f"UPDATE segue_runs SET {of_run} WHERE id = {mark}", (run_id,))
        connection.commit()


def test_no_event_changes_a_final_step() -> None:
    @given(
        status=st.sampled_from([StepStatus(final) for final in FINAL]), attempt=FEW, verdict=st.sampled_from(Verdict)
    )
    def check(status: StepStatus, attempt: int, verdict: Verdict) -> None:
        facts = Facts(status, attempt)
        events = (
            transitions.ParentsDone(succeeded=1), transitions.PlanDone(failed=False), transitions.Claimed(),
            transitions.Ended(attempt, verdict), transitions.Lost(attempt), transitions.Cancelled(),
            transitions.Received(), transitions.Expired(failed=True), transitions.Expired(failed=False),
            transitions.Sent(), transitions.Begun(attempt), transitions.Recalled(attempt), transitions.Resent(attempt),
            transitions.Retrying(attempt), transitions.Extending(attempt), transitions.Extended(),
        )  # fmt: skip
        assert [decide(facts, event) for event in events] == [transitions.REFUSED] * len(events)

    check()


def test_a_run_that_is_being_ended_does_not_grow() -> None:
    running = Facts(StepStatus.RUNNING, 1)
    assert isinstance(decide(running, transitions.Extending(1)), Change)
    assert decide(msgspec.structs.replace(running, run_is_ending=True), transitions.Extending(1)) is transitions.REFUSED


def test_attempts_never_fall_and_tries_never_exceed_the_policy() -> None:
    events = st.lists(
        st.tuples(st.sampled_from(["claim", "fail", "lose", "release", "send", "begin", "recall", "resend"])),
        max_size=40,
    )

    @given(policy=st.builds(Policy, retries=FEW, lost_retries=FEW), events=events)
    def check(policy: Policy, events: list[tuple[str]]) -> None:
        facts = Facts(StepStatus.READY, policy=policy)
        for (kind,) in events:
            event: Any = {
                "claim": transitions.Claimed(), "lose": transitions.Lost(facts.attempt),
                "fail": transitions.Ended(facts.attempt, Verdict.FAILED),
                "release": transitions.Ended(facts.attempt, Verdict.RELEASED),
                "send": transitions.Sent(), "begin": transitions.Begun(facts.attempt),
                "recall": transitions.Recalled(facts.attempt),
                "resend": transitions.Resent(facts.attempt, is_next=True),
            }[kind]  # fmt: skip
            change = decide(facts, event)
            if not isinstance(change, Change):
                continue
            assert change.attempt >= facts.attempt
            assert change.failures <= policy.retries + 1
            assert change.losses <= policy.lost_retries + 1
            if change.failures > policy.retries or change.losses > policy.lost_retries:
                assert change.status is StepStatus.FAILED
            facts = Facts(change.status, change.attempt, change.failures, change.losses, policy)

    check()


def test_policies_survive_being_written_down() -> None:
    @given(policy=st.builds(Policy, retries=FEW, timeout=st.none() | st.floats(0.1, 9)))
    def check(policy: Policy) -> None:
        assert msgspec.json.decode(msgspec.json.encode(policy), type=Policy) == policy

    check()
