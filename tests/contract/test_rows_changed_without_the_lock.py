"""A step's row may change while its success is being recorded, without the lock of the run: nothing counts twice."""

from __future__ import annotations

import threading
import time

import pytest

from segue.engine.dispatch import Dispatch
from segue.engine.executing import Executor
from segue.model import Outcome, Verdict
from tests.contract.stage import Stage, connect, node, plan

FREE = Executor("batch", is_fenced=False)
DISPATCH = Dispatch(FREE, "@batch:")


@pytest.mark.parametrize("how_many", [1, 2])
def test_a_join_waits_for_all_though_a_row_changes_while_a_success_is_recorded(
    postgres_url: str, how_many: int
) -> None:
    stage = Stage(postgres_url)
    far = {"queue": "@batch:default", "executor": "batch"}
    run_ids = [stage.start(plan(node("a", **far), node("b", **far), node("z", 0, 1, **far))) for _ in range(how_many)]
    stage.engine.exchange(dispatch=DISPATCH, by="first")
    outcomes = [Outcome(run_id, 0, 1, Verdict.SUCCEEDED, "1") for run_id in run_ids]
    with connect(postgres_url) as other:
        other.execute("UPDATE segue_steps SET sent_until = sent_until WHERE step = 0 AND run_id = %s", (run_ids[0],))
        recording = threading.Thread(target=lambda: stage.engine.exchange(outcomes, dispatch=DISPATCH, by="second"))
        recording.start()
        wait_until_blocked(postgres_url)
        other.commit()
    recording.join(20)
    for run_id in run_ids:
        assert stage.statuses(run_id) == {"a": "succeeded", "b": "sent", "z": "blocked"}
        assert stage.step(run_id, "z").waiting_on == 1
    assert stage.is_sound()
    stage.close()


def wait_until_blocked(url: str) -> None:
    """Until a transaction waits for a row."""
    with connect(url) as looking:
        looking.autocommit = True
        end = time.monotonic() + 10
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')"
        while not looking.execute(waiting).fetchall():
            assert time.monotonic() < end
            time.sleep(0.01)
