"""The database that pages are measured on: sound, in realistic proportions, and the measuring itself."""

from __future__ import annotations

import pytest

from benchmarks.web_fill import Large, fill
from benchmarks.web_pages import elements, measure, table, watch
from segue import Segue
from segue.engine.views.graph import graph_of_run


@pytest.mark.proof
def test_a_filled_database_is_sound_and_its_pages_can_be_measured(database_url: str) -> None:
    said: list[str] = []
    found = fill(database_url, runs=1_000, each=5, large=Large(300, 1_200), say=said.append)
    assert said == ["1,000 of 1,000 runs"]
    assert sum(found.values()) == 1_000
    assert found["failed"] == 19
    assert {"succeeded", "failed", "cancelled", "pending", "running"} <= set(found)
    with Segue(database_url) as segue:
        assert segue.engine.broken_invariants() == []
        newest, second = segue.runs(limit=2)
        assert (newest.steps, second.steps) == (300, 1_200)
        with segue.engine.reading() as tx:
            assert not graph_of_run(tx, newest.id).is_grouped
            large = graph_of_run(tx, second.id)
            assert [(step.name, step.count) for step in large.steps] == [
                ("fetch", 1),
                ("price[*]", 1_198),
                ("add_up", 1),
            ]
            assert len(large.edges) == 2
        costs = measure(segue, [("runs", "/runs"), ("run", "/runs?status=failed")], repeats=1)
    assert [cost.status for cost in costs] == [200, 200]
    assert [0 < cost.statements < 20 for cost in costs] == [True, True], costs
    assert [0 < cost.database_ms < cost.all_ms for cost in costs] == [True, True], costs
    assert [cost.elements > 50 for cost in costs] == [True, True], costs
    assert table(costs).count("\n") == 3


def test_a_statement_is_counted_once(segue: Segue) -> None:
    counter = watch(segue.engine.store)
    with segue.engine.reading() as tx:
        tx.all("run_status", run_id="01a1fc28-9888-71dc-81c8-a4c2cf7f2c17")
    assert counter.statements == 1


def test_elements_are_counted_as_browsers_do() -> None:
    assert elements("<p>a<br><svg><rect/></svg>&lt;b&gt;") == 4
