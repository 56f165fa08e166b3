"""The update with which a run begins changes no index on PostgreSQL (HOT): no index names a column that it changes."""

from __future__ import annotations

import time

import psycopg

from tests.contract.stage import Stage, node, plan

RUNS = 20


def _updates(url: str, table: str) -> tuple[int, int]:
    """How many rows of a table were updated, and how many of them within their page."""
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = %s", [table]
        ).fetchone()
    assert found is not None
    return found[0], found[1]


def _after(url: str, table: str, most: int) -> tuple[int, int]:
    """The same, when the server has counted that many updates; it counts what a session did when that ends."""
    until = time.monotonic() + 10
    while (found := _updates(url, table))[0] < most and time.monotonic() < until:
        time.sleep(0.05)
    return found


def test_a_run_that_begins_stays_within_its_page(postgres_url: str) -> None:
    before = _updates(postgres_url, "segue_runs")
    stage = Stage(postgres_url)
    for number in range(RUNS):
        stage.start(plan(node("a"), node("b", 0), name=f"flow{number % 3}"))
    assert len(stage.claim(want=RUNS)) == RUNS
    stage.store.close()
    updated, within = _after(postgres_url, "segue_runs", before[0] + RUNS)
    assert updated - before[0] == RUNS
    assert within - before[1] == RUNS
