"""Tags, metadata and arguments: written with the run, changed later, pruned with it. On both stores."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from segue.engine.labels import annotate
from segue.errors import ConfigError, RunNotFoundError, StepNotFoundError
from segue.plan.graph import RunTerms
from tests.contract.stage import Stage, connect, expanded, node, plan

TERMS = RunTerms(arguments='[["2026"],{"n":1}]', tags=("nightly",), metadata='{"customer":42,"list":[1]}')


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


def labels(stage: Stage) -> list[tuple[str, str, int]]:
    with connect(stage.store.url) as connection:
        rows = connection.execute("SELECT name, value, step FROM segue_labels ORDER BY step, name, value").fetchall()
    return [tuple(row) for row in rows]


def change(stage: Stage, run_id: str, **changes: Any) -> None:
    stage.engine.act(annotate, run_id, **changes)


def test_a_run_keeps_what_it_was_started_with(stage: Stage) -> None:
    run = stage.run(stage.start(plan(node("a"), terms=TERMS)))
    assert (run.tags, run.metadata, run.arguments) == (
        ("nightly",),
        {"customer": 42, "list": [1]},
        [["2026"], {"n": 1}],
    )
    assert labels(stage) == [("", "nightly", -1), ("customer", "42", -1)]


def test_a_run_without_any_of_it(stage: Stage) -> None:
    run = stage.run(stage.start(plan(node("a"))))
    assert (run.tags, run.metadata, run.arguments, run.forked_from) == ((), {}, None, None)
    assert labels(stage) == []


def test_metadata_of_steps_and_of_steps_that_are_added(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", metadata='{"region":"eu"}'), node("b")))
    a, _ = stage.claim_named("a", "b")
    stage.turn(expanded(a, plan(node("x"), node("y", metadata='{"region":"us"}'))))
    assert {step.name: step.metadata for step in stage.steps(run_id)} == {
        "a": {"region": "eu"}, "b": {}, "x": {}, "y": {"region": "us"},
    }  # fmt: skip
    assert labels(stage) == [("region", "eu", 0), ("region", "us", 3)]


def test_a_start_that_is_repeated_writes_labels_once(stage: Stage) -> None:
    for _ in range(2):
        stage.start(plan(node("a"), terms=TERMS), key="k")
    assert len(labels(stage)) == 2


def test_tags_are_added_and_taken_away(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), terms=TERMS))
    change(stage, run_id, tags=["looked-at", "nightly"])
    assert stage.run(run_id).tags == ("nightly", "looked-at")
    change(stage, run_id, without=["nightly", "never-there"])
    assert stage.run(run_id).tags == ("looked-at",)
    change(stage, run_id, without=["looked-at"])
    assert stage.run(run_id).tags == ()
    assert labels(stage) == [("customer", "42", -1)]


def test_metadata_are_merged_key_by_key(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), terms=TERMS))
    change(stage, run_id, metadata={"ticket": "OPS-17", "list": None})
    assert stage.run(run_id).metadata == {"customer": 42, "ticket": "OPS-17"}
    assert labels(stage) == [("", "nightly", -1), ("customer", "42", -1), ("ticket", "OPS-17", -1)]
    change(stage, run_id, metadata={"customer": 43, "ticket": None})
    assert labels(stage) == [("", "nightly", -1), ("customer", "43", -1)]


def test_a_step_is_annotated_by_name_or_number(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", metadata='{"x":1}'), terms=TERMS))
    change(stage, run_id, step="a", metadata={"who": "eva"})
    change(stage, run_id, step=1, metadata={"y": 2})
    assert (stage.step(run_id, "a").metadata, stage.step(run_id, "b").metadata) == ({"who": "eva"}, {"x": 1, "y": 2})
    assert labels(stage)[2:] == [("who", "eva", 0), ("x", "1", 1), ("y", "2", 1)]


def test_a_run_that_is_over_may_be_annotated(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    stage.work()
    change(stage, run_id, tags=["checked"])
    assert stage.run(run_id).tags == ("checked",)


def test_what_cannot_be_annotated_is_refused(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), terms=TERMS))
    with pytest.raises(RunNotFoundError):
        change(stage, "019b7701-17d8-7125-b7a7-fa6e8e8c256b", tags=["x"])
    with pytest.raises(StepNotFoundError, match="no step 'nope'"):
        change(stage, run_id, step="nope", metadata={"a": 1})
    for wrong in ({"tags": "nightly"}, {"tags": [""]}, {"tags": ["a\nb"]}, {"metadata": {"": 1}}, {"metadata": [1]}):
        with pytest.raises(ConfigError, match=r"tags=|metadata="):
            change(stage, run_id, **wrong)
    with pytest.raises(ConfigError, match="a step has metadata, but no tags"):
        change(stage, run_id, step="a", tags=["x"])
    assert stage.run(run_id).tags == ("nightly",)


def test_all_that_is_of_a_run_is_pruned_with_it(stage: Stage) -> None:
    kept = stage.start(plan(node("a"), terms=TERMS))
    gone = stage.start(plan(node("a", metadata='{"x":1}'), terms=TERMS))
    stage.cancel(gone)
    with connect(stage.store.url) as connection:
        for table, columns, values in (
            ("messages", "run_id, position, name, key, value, sent_at", "'{0}', 0, 'n', 'k', '1', '2026-01-01'"),
            ("alarms", "run_id, kind, due_at", "'{0}', 'deadline', '2027-01-01 00:00:00'"),
        ):
            connection.execute(f"INSERT INTO segue_{table} ({columns}) VALUES ({values.format(gone)})")
        connection.commit()
    stage.advance(3600)
    assert stage.engine.prune(older_than=timedelta(seconds=1)) == 1
    with connect(stage.store.url) as connection:
        tables = ("runs", "steps", "labels", "alarms", "messages", "events", "attempts", "progress")
        left = {
            table: {
                str(row[0])
                for row in connection.execute(
                    f"SELECT DISTINCT {'id' if table == 'runs' else 'run_id'} FROM segue_{table}"
                ).fetchall()
            }
            for table in tables
        }
    assert {table for table, found in left.items() if gone in found} == set()
    assert left["labels"] == {kept}
