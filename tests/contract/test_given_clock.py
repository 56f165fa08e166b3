"""A store that is given a clock goes by it, on every database: tests can say what time it is."""

from __future__ import annotations

from datetime import timedelta

from segue.clock import ManualClock
from segue.engine.engine import Engine
from segue.store import open_store
from tests.contract.stage import TASK, node, plan


def test_a_store_goes_by_the_clock_that_it_is_given(database_url: str) -> None:
    clock = ManualClock()
    began = clock.now()
    store = open_store(database_url, clock=clock)
    engine = Engine(store, monotonic=clock.monotonic)
    [run_id] = engine.start([(plan(node("a", task=TASK)), None)])
    clock.advance(seconds=3600)
    assert store.now() == began + timedelta(hours=1)
    store.forget_clock()
    with store.transaction() as tx:
        assert store.now() == began + timedelta(hours=1)
        [row] = tx.all("run_status", run_id=run_id)
    assert row[0] == "pending"
    store.close()
