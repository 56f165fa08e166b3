"""What runs are chosen by, where it is at the edge of what makes sense, or beyond."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from segue.client.selection import Selection, run_filter
from segue.errors import ConfigError
from tests.contract.scheduling import PLAN
from tests.contract.stage import Stage


@pytest.mark.parametrize("days", [40_000, 999_999_999])
def test_runs_are_chosen_by_any_age(stage: Stage, days: int) -> None:
    run_id = stage.start(PLAN)
    now, engine = stage.store.now(), stage.engine
    long = timedelta(days=days)
    assert list(Selection(engine, run_filter(now, {"newer_than": long})).ids()) == [run_id]
    assert list(Selection(engine, run_filter(now, {"older_than": long})).ids()) == []
    assert engine.prune(older_than=long) == 0


@pytest.mark.parametrize(
    "wrong", [{"ids": ["nope"]}, {"ids": "019ab"}, {"ids": [7]}, {"older_than": 5}, {"newer_than": "2d"}], ids=str
)
def test_runs_cannot_be_chosen_by_what_is_no_id_or_age(stage: Stage, wrong: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{next(iter(wrong))}="):
        run_filter(stage.store.now(), wrong)


def test_one_id_is_as_good_as_a_list_of_one(stage: Stage) -> None:
    run_id = stage.start(PLAN)
    chosen = run_filter(stage.store.now(), {"ids": run_id.upper(), "workflow": "flow"})
    assert list(Selection(stage.engine, chosen).ids()) == [run_id]
