"""What `segue db check` finds of pushes and of runs that begin later."""

from __future__ import annotations

import pytest

from segue.dispatcher.dispatcher import Dispatcher
from segue.model import Outcome, Verdict
from segue.plan.graph import Node, Plan
from segue.testing import ScriptedPlatform
from tests.contract.stage import TASK, Stage, connect

LATER, EARLIER = "2999-01-01 00:00:00.000000", "2000-01-01 00:00:00.000000"
WRONG = {
    "check_push_holders": f"UPDATE segue_pushes SET reported_at = '{EARLIER}'",
    "check_push_places": "UPDATE segue_pushes SET external_id = NULL",
    "check_pushes": f"UPDATE segue_pushes SET state = 'closed', closed_at = '{EARLIER}'",
    "check_begun_early": f"UPDATE segue_runs SET run_at = '{LATER}'",
}


@pytest.mark.parametrize("check", WRONG)
def test_each_check_bites(stage: Stage, check: str) -> None:
    run_id = stage.start(Plan("flow", (Node("a", "work", queue="@far", executor="far"), Node("own", TASK))))
    [own] = stage.claim()
    stage.turn(Outcome(run_id, own.step, own.attempt, Verdict.SUCCEEDED, "1"))
    Dispatcher(stage.engine, ScriptedPlatform("far"), monotonic=stage.clock.monotonic).run_once()
    with connect(stage.store.url) as connection:
        connection.execute(WRONG[check])
        connection.commit()
    assert run_id in {broken_run for broken_run, _ in stage.engine.broken_invariants()}
    stage.empty()
