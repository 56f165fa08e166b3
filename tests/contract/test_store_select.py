"""Choosing runs by what is known of them, page by page, and saying a verb to all of them. On both stores."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from segue.client.selection import Selection, run_filter
from segue.engine.control import Done, pause_run
from segue.engine.views import select
from segue.errors import ConfigError, RunNotFoundError, SegueError
from segue.model import RunStatus
from segue.plan.graph import RunTerms
from tests.contract.stage import Stage, failed, node, plan, succeeded


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


def chosen(stage: Stage, **asked: Any) -> Selection:
    return Selection(stage.engine, run_filter(stage.store.now(), asked))  # type: ignore[arg-type]


def ids(stage: Stage, **asked: Any) -> list[str]:
    return list(chosen(stage, **asked).ids())


def start(stage: Stage, *tags: str, name: str = "flow", key: str | None = None, metadata: str | None = None) -> str:
    return stage.start(plan(node("a"), name=name, terms=RunTerms(tags=tags, metadata=metadata)), key)


# Filters --------------------------------------------------------------------------------------------------------------


def test_by_workflow_key_and_status(stage: Stage) -> None:
    first, second, third = start(stage, name="w", key="k1"), start(stage, name="w"), start(stage, name="v", key="k1")
    assert ids(stage) == [third, second, first]
    assert ids(stage, workflow="w") == [second, first]
    assert ids(stage, workflow="w", key="k1") == [first]
    assert ids(stage, key="k1") == [third, first]
    stage.cancel(second)
    assert ids(stage, status="cancelled") == [second]
    assert ids(stage, status=["pending", "cancelled"], workflow="w") == [second, first]
    assert ids(stage, status="pending") == [third, first]
    assert ids(stage, status=[], workflow="w") == []
    assert chosen(stage, workflow="w").count() == 2


def test_by_tags_and_metadata(stage: Stage) -> None:
    both = start(stage, "nightly", "eu", metadata='{"customer":42,"deep":{"x":1},"ok":true,"none":null}')
    one = start(stage, "nightly", metadata='{"customer":"42","ok":false}')
    start(stage)
    assert ids(stage, tag="nightly") == [one, both]
    assert ids(stage, tag=["nightly", "eu"]) == [both]
    assert ids(stage, metadata={"customer": 42}) == [one, both]
    assert ids(stage, metadata={"customer": "42", "ok": True}) == [both]
    assert ids(stage, metadata={"none": None}) == [both]
    assert ids(stage, tag="eu", metadata={"ok": False}) == []
    assert ids(stage, tag="customer") == []
    assert ids(stage, tag="nightly", status="pending", workflow="flow") == [one, both]


def test_a_run_with_many_steps_of_one_label_is_found_once(stage: Stage) -> None:
    run_id = stage.start(plan(*[node(f"s{number}", metadata='{"region":"eu"}') for number in range(5)]))
    assert ids(stage, metadata={"region": "eu"}) == [run_id]


def test_a_common_tag_among_the_few_that_live(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the runs that live are walked, not those with the tag; what is found is the same."""
    over, live = start(stage, "nightly"), start(stage, "nightly")
    stage.cancel(over)
    with stage.engine.reading() as tx:
        rare = select._way(tx, run_filter(stage.store.now(), {"status": "pending", "tag": "nightly"}))[0]
        monkeypatch.setattr(select, "RARE", 1)
        common = select._way(tx, run_filter(stage.store.now(), {"status": "pending", "tag": "nightly"}))[0]
    assert (rare, common) == (select.LABEL, select.LIVE)
    assert ids(stage, status="pending", tag="nightly") == [live]


def test_by_the_type_of_the_error(stage: Stage) -> None:
    one, other = start(stage), start(stage, name="v")
    for job in stage.claim():
        stage.turn(failed(job))
    good = start(stage)
    stage.work()
    assert ids(stage, error_type="Boom") == [other, one]
    assert ids(stage, error_type="Boom", workflow="v") == [other]
    assert ids(stage, error_type="Other") == []
    assert ids(stage, status="failed") == [other, one]
    assert good not in ids(stage, status="failed")


def test_by_age(stage: Stage) -> None:
    old = start(stage)
    stage.advance(3600)
    middle = start(stage)
    stage.advance(3600)
    young = start(stage)
    assert ids(stage, older_than=timedelta(minutes=90)) == [old]
    assert ids(stage, newer_than=timedelta(minutes=90)) == [young, middle]
    assert ids(stage, older_than=timedelta(minutes=30), newer_than=timedelta(minutes=90)) == [middle]


def test_by_ids_and_more(stage: Stage) -> None:
    first, second = start(stage), start(stage, name="v")
    missing = stage.engine.new_id()
    assert ids(stage, ids=[first, missing, first]) == [first, missing]  # as they were given
    assert ids(stage, ids=[first, second, missing], workflow="v") == [second]
    assert ids(stage, ids=[]) == []


def test_pages_join_without_gaps_or_repetitions(stage: Stage) -> None:
    started = [start(stage, "t") for _ in range(11)]
    for asked in ({}, {"tag": "t"}, {"workflow": "flow"}, {"status": "pending"}):
        found = select.ids_of(stage.engine, run_filter(stage.store.now(), asked), page=4)  # type: ignore[arg-type]
        assert list(found) == started[::-1]


def test_what_cannot_be_asked_is_refused(stage: Stage) -> None:
    with pytest.raises(ConfigError, match="'done' is not a status"):
        chosen(stage, status="done")
    with pytest.raises(ConfigError, match="cannot be searched"):
        chosen(stage, metadata={"x": [1]})
    with pytest.raises(ConfigError, match="Unknown filter for runs: colour"):
        chosen(stage, colour="red")


# Verbs ----------------------------------------------------------------------------------------------------------------


def test_a_verb_is_said_to_each_run_that_can_hear_it(stage: Stage) -> None:
    over, paused, live = start(stage, "t"), start(stage, "t"), start(stage, "t")
    stage.cancel(over)
    chosen(stage, ids=[paused]).pause()
    applied = chosen(stage, tag="t").pause(reason="why")
    assert (applied.changed, applied.unchanged, applied.errors) == (1, 1, {})
    assert {stage.run(run_id).status for run_id in (paused, live)} == {RunStatus.PAUSED}
    assert chosen(stage, tag="t").resume().changed == 2
    assert chosen(stage, tag="t", status=["succeeded", "failed"]).cancel().changed == 0
    assert chosen(stage, tag="t").cancel().changed == 2
    assert len(chosen(stage, tag="t").cancel()) == 0


def test_runs_that_are_named_are_all_told_of(stage: Stage) -> None:
    over, missing = start(stage), stage.engine.new_id()
    stage.cancel(over)
    applied = chosen(stage, ids=[over, missing]).pause()
    assert (applied.changed, applied.unchanged) == (0, 1)
    assert list(applied.errors) == [missing]
    assert "segue runs" in applied.errors[missing]


def test_it_may_be_interrupted_and_said_again(stage: Stage) -> None:
    started = [start(stage) for _ in range(5)]
    said: list[str] = []

    def then_interrupted(run_id: str, _: Done | SegueError) -> None:
        said.append(run_id)
        if len(said) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        chosen(stage).apply(pause_run, among=[RunStatus.PENDING], on_each=then_interrupted)
    assert [stage.run(run_id).status for run_id in started[::-1]].count(RunStatus.PAUSED) == 2
    applied = chosen(stage).pause()
    assert (applied.changed, applied.unchanged) == (3, 2)


def test_what_fails_for_one_run_does_not_stop_the_others(stage: Stage) -> None:
    started = [start(stage) for _ in range(3)]

    def picky(act, run_id: str) -> Done:
        if run_id == started[1]:
            raise RunNotFoundError("not this one")
        return pause_run(act, run_id)

    applied = chosen(stage).apply(picky, among=[RunStatus.PENDING])
    assert (applied.changed, applied.errors) == (2, {started[1]: "not this one"})
    assert stage.run(started[1]).status == "pending"


def test_runs_that_start_meanwhile_are_not_among_them(stage: Stage) -> None:
    start(stage)
    later: list[str] = []
    chosen(stage).apply(pause_run, among=[RunStatus.PENDING], on_each=lambda _, __: later.append(start(stage)))
    assert [str(stage.run(run_id).status) for run_id in later] == ["pending"]


def test_a_thousand_runs(stage: Stage) -> None:
    terms = RunTerms(tags=("many",))
    stage.engine.start([(plan(node("a"), terms=terms), None) for _ in range(1200)])
    assert chosen(stage, tag="many").count() == 1200
    [job] = stage.claim(want=1)
    stage.turn(succeeded(job))
    assert chosen(stage, tag="many", status="pending").count() == 1199
