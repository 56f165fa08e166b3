"""`judge_join` and `decide` say on one page what SQL and engine do: here they are held to it, on both stores."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.engine import transitions
from segue.engine.transitions import Change, Facts, decide
from segue.model import JoinRule, JoinVerdict, Policy, StepStatus, Verdict, judge_join
from segue.store.protocol import Finish
from tests.contract.acting import LEASE_SECONDS, Stage, connect, ended, expanded, failed, node, plan, succeeded

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


@settings(max_examples=EXAMPLES)
@given(
    status=st.sampled_from(["running", "running", "running", "running", "ready", *FINAL]),
    attempt=st.integers(1, 3), failures=FEW, losses=FEW,
    policy=st.builds(Policy, retries=FEW, lost_retries=FEW, retry_delay=st.just(0.0), retry_jitter=st.just(0.0)),
    kind=st.sampled_from(["claimed", "lost", "cancelled", *Verdict, *["succeeded"] * 4]),
    stale=st.sampled_from([0, 0, 0, -1, 1]),
    retryable=st.booleans(),
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
) -> None:
    stage.empty()
    run_id = stage.start(plan(node("other", delay=1e6), node("s", **_fields(policy))))
    [job] = stage.claim()
    is_running = status == "running"
    _put(stage, run_id, status, attempt, failures, losses, worker=stage.worker.id if is_running else None)
    facts = Facts(StepStatus(status), attempt, failures, losses, policy, seed=f"{run_id}:1")
    job.attempt = attempt + stale
    event, act = _event(stage, run_id, job, kind, retryable)
    change = decide(facts, event)
    refused = act()
    row = stage.step(run_id, "s")
    assert (change if isinstance(change, Change) else None) is None or not refused
    if not isinstance(change, Change):
        change = Change(facts.status, attempt, failures, losses)
    assert (row.status, row.attempt, row.failures, row.losses) == (
        change.status,
        change.attempt,
        change.failures,
        change.losses,
    )
    if kind == "cancelled":
        assert row.cancel_requested == change.asked_to_end


def _event(stage: Stage, run_id: str, job: Any, kind: str, retryable: bool) -> tuple[Any, Any]:
    match kind:
        case "claimed":
            return transitions.Claimed(), lambda: not stage.claim()
        case "cancelled":
            return transitions.Cancelled(), lambda: stage.engine.cancel(run_id) is None
        case "lost":
            stage.advance(LEASE_SECONDS + 1)
            # A rescue speaks of the attempt that is running, never of another.
            job.attempt = stage.step(run_id, "s").attempt
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


def _fields(policy: Policy) -> dict[str, Any]:
    return {name: getattr(policy, name) for name in policy.__struct_fields__}


def _put(
    stage: Stage, run_id: str, status: str, attempt: int, failures: int, losses: int, *, worker: str | None
) -> None:
    values = (status, attempt, failures, losses, worker, "2026-01-01 00:00:00.000000", run_id)
    sql = """UPDATE segue_steps SET status = ?, attempt = ?, failures = ?, losses = ?, worker_id = ?, ready_at = ?
             WHERE run_id = ? AND step = 1"""
    with connect(stage.store.url) as connection:
        connection.execute(sql if stage.store.dialect == "sqlite" else sql.replace("?", "%s"), values)
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
        )  # fmt: skip
        assert [decide(facts, event) for event in events] == [transitions.REFUSED] * len(events)

    check()


def test_attempts_never_fall_and_tries_never_exceed_the_policy() -> None:
    events = st.lists(st.tuples(st.sampled_from(["claim", "fail", "lose", "release"])), max_size=40)

    @given(policy=st.builds(Policy, retries=FEW, lost_retries=FEW), events=events)
    def check(policy: Policy, events: list[tuple[str]]) -> None:
        facts = Facts(StepStatus.READY, policy=policy)
        for (kind,) in events:
            event: Any = {
                "claim": transitions.Claimed(), "lose": transitions.Lost(facts.attempt),
                "fail": transitions.Ended(facts.attempt, Verdict.FAILED),
                "release": transitions.Ended(facts.attempt, Verdict.RELEASED),
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
