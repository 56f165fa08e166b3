"""What `decide` says of `Reset` and `SetByHand` is what the verbs write, in every state of a step, on both stores."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from segue.engine.transitions import Change, Facts, Reset, SetByHand, decide
from segue.engine.verbs import Done
from segue.errors import RunStateError
from segue.model import StepStatus
from tests.contract import by_hand
from tests.contract.stage import Stage, connect, node, plan

STATUSES = ("running", "sent", "ready", "succeeded", "failed", "skipped", "cancelled")
FEW = st.integers(0, 2)


@given(
    status=st.sampled_from(STATUSES), attempt=st.integers(1, 3), failures=FEW, losses=FEW,
    verb=st.sampled_from(["retry", "skip", "mark"]), has_parent=st.booleans(),
)  # fmt: skip
def test_the_verbs_write_what_decide_says(
    stage: Stage, status: str, attempt: int, failures: int, losses: int, verb: str, has_parent: bool
) -> None:
    stage.empty()
    run_id = stage.start(plan(node("other", delay=1e6), node("s", *([0] if has_parent else []))))
    _put(stage, run_id, status, attempt, failures, losses)
    facts = Facts(StepStatus(status), attempt, failures, losses, waiting_on=has_parent)
    said = {
        "retry": (Reset(), lambda: by_hand.retry(stage, run_id, "s")),
        "skip": (SetByHand(StepStatus.SKIPPED), lambda: by_hand.skip(stage, run_id, "s")),
        "mark": (SetByHand(StepStatus.SUCCEEDED), lambda: by_hand.mark(stage, run_id, "s", 7)),
    }  # fmt: skip
    event, act = said[verb]
    change = decide(facts, event)
    assert _has_effect(act) == isinstance(change, Change)
    row = stage.step(run_id, "s")
    expected = change if isinstance(change, Change) else Change(facts.status, attempt, failures, losses)
    assert (row.status, row.attempt, row.failures, row.losses) == (
        expected.status, expected.attempt, expected.failures, expected.losses
    )  # fmt: skip


def _has_effect(act: Callable[[], Done]) -> bool:
    try:
        return act().changed
    except RunStateError:
        return False


def _put(stage: Stage, run_id: str, status: str, attempt: int, failures: int, losses: int) -> None:
    """Give the step this row, and the run the counter that goes with it."""
    now = "2026-01-01 00:00:00.000000"
    is_final = StepStatus(status).is_final
    worker = stage.worker.id if status == "running" else None
    values = (status, attempt, failures, losses, worker, now, now if is_final else None, run_id)
    sql = """UPDATE segue_steps SET status = ?, attempt = ?, failures = ?, losses = ?, worker_id = ?, ready_at = ?,
             finished_at = ? WHERE run_id = ? AND step = 1"""
    run = "UPDATE segue_runs SET waiting_on = waiting_on - ? WHERE id = ?"
    has_parent = stage.step(run_id, "s").waiting_on
    with connect(stage.store.url) as connection:
        mark = "?" if stage.store.dialect == "sqlite" else "%s"
        connection.execute(sql.replace("?", mark), values)
        if status == "sent":
            sent = "UPDATE segue_steps SET executor = 'outside', sent_until = ready_at WHERE run_id = ? AND step = 1"
            connection.execute(sent.replace("?", mark), (run_id,))
        connection.execute(run.replace("?", mark), (1 if is_final else 0, run_id))
        if has_parent:  # whoever lets a step go before its parent sees to it that its scope waits for that
            edges = "[1, -1]" if stage.store.dialect == "sqlite" else "{1,-1}"
            connection.execute(
                f"UPDATE segue_steps SET children = {mark} WHERE run_id = {mark} AND step = 0", (edges, run_id)
            )
            connection.execute(f"UPDATE segue_runs SET waiting_on = waiting_on + 1 WHERE id = {mark}", (run_id,))
        connection.commit()
