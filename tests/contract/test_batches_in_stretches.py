"""Long batches in stretches: a column that is the same in all rows is sent once. Here every batch counts as long.

All that is promised of starts and of reopened runs holds: their own tests, once more.
"""

from __future__ import annotations

import pytest

from segue.store import postgres_transaction, sqlite_transaction, sqlite_wide, stretches
from segue.store.sqlite_wide import slim
from segue.store.stretches import Stretch
from tests.contract.stage import Stage, connect, node, plan
from tests.contract.test_edit import *  # noqa: F403
from tests.contract.test_fork import *  # noqa: F403 - its tests, once more, and its fixture
from tests.contract.test_store_start import *  # noqa: F403


@pytest.fixture(autouse=True)
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_transaction, "LONG", 1)
    monkeypatch.setattr(sqlite_transaction, "LONG", 1)
    monkeypatch.setattr(stretches, "STRETCH", 4)
    monkeypatch.setattr(sqlite_wide, "SLIM_WIDTH", 3)


def rows(stage: Stage, run_id: str) -> list[object]:
    with connect(stage.store.url) as connection:
        found = connection.execute(f"SELECT * FROM segue_steps WHERE run_id = '{run_id}' ORDER BY step").fetchall()
    return [row[1:] for row in found]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9])
def test_rows_are_the_same_as_in_a_short_batch(stage: Stage, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Whatever is the same in all rows, in some, or nothing; NULL beside a value, too."""
    nodes = [
        *(node(f"s{at}", queue="q", priority=3, args='["\\\\{},\\"",{}]') for at in range(count)),
        *(node(f"t{at}", at % count, task=None if at % 2 else "t", delay=at or None) for at in range(count)),
    ]  # fmt: skip
    now = stage.store.now()
    monkeypatch.setattr(type(stage.store), "now", lambda _: now)
    in_stretches = rows(stage, stage.start(plan(*nodes)))
    with connect(stage.store.url) as connection:
        connection.execute("SELECT 1" if stage.store.dialect == "postgres" else "BEGIN IMMEDIATE")
        [joined] = stage.engine.start([(plan(*nodes), None)], connection=connection)
        connection.commit()
    assert rows(stage, joined) == in_stretches
    monkeypatch.setattr(postgres_transaction, "LONG", 1000)
    monkeypatch.setattr(sqlite_transaction, "LONG", 1000)
    assert rows(stage, stage.start(plan(*nodes))) == in_stretches
    assert len(in_stretches) == 2 * count


def test_a_slim_statement_has_no_more_parameters_than_any_sqlite_takes() -> None:
    text = f"INSERT INTO t VALUES ({', '.join(f'?{at + 1}' for at in range(24))}) ON CONFLICT DO NOTHING"
    columns = [tuple(range(200)), *[(at,) * 200 for at in range(1, 4)], *[tuple(range(200))] * 20]
    for statement, bound in slim(text, Stretch(columns, [False, True, True, True, *[False] * 20])):
        assert len(bound) <= 999
        assert statement.count("?") >= len(bound)


def test_a_slim_statement_keeps_what_is_not_a_parameter() -> None:
    text = "INSERT INTO t (a, b, c, d) VALUES (?1, 'new', ?2, ?3) ON CONFLICT DO NOTHING"
    found = list(slim(text, Stretch([(1, 1), (2, 3), (None, None)], [True, False, True])))
    assert found == [
        ("INSERT INTO t (a, b, c, d) VALUES (?1, 'new', ?3, ?2), (?1, 'new', ?4, ?2) ON CONFLICT DO NOTHING",
         [1, None, 2, 3]),
    ]  # fmt: skip


def test_rows_that_are_all_the_same_are_as_many_as_they_were() -> None:
    [stretch] = stretches.stretches([(None, 1), (None, 1)])
    assert stretch.is_same == [True, False]
