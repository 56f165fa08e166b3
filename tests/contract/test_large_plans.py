"""Large plans, whose rows are made before their run is locked, come to the same as others. Here every plan is large."""

from __future__ import annotations

from typing import Any

import pytest

from segue.engine import expand as expanding
from tests.contract.stage import Stage, expanded, node, plan
from tests.contract.test_store_hooks_and_plans import *  # noqa: F403 - its tests, once more


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expanding, "LARGE_CHARACTERS", 0)


def test_their_rows_are_made_beforehand(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """... and once more only where another plan has taken the numbers: here both come in one turn."""
    stage.renew()
    run_id = stage.start(plan(node("a"), node("b")))
    a, b = stage.claim_named("a", "b")
    made: list[Any] = []
    real = expanding.plan_rows

    def counted(*said: Any, **more: Any) -> Any:
        made.append((more["scope"], more["base"]))
        return real(*said, **more)

    monkeypatch.setattr(expanding, "plan_rows", counted)
    inner = plan(node("x"), node("y", 0))
    stage.turn(expanded(a, inner), expanded(b, inner))
    assert made == [(0, 2), (1, 2), (1, 4)]
    assert stage.is_sound()
    assert len(stage.claim()) == 2
    assert [step.scope for step in stage.steps(run_id)][2:] == [0, 0, 1, 1]
