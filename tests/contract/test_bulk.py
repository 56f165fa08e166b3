"""Verbs for many runs as a run of their own: what is done, what is not touched, what is seen. On both stores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from segue import Run, Segue, task
from segue.attempt import bulk
from segue.authoring.bulk import bulk as bulk_task
from segue.errors import ConfigError, DefinitionError, RunFailedError, RunNotFoundError, StoreUnavailableError
from segue.model import RunStatus
from segue.worker.inline import work_run

fails: list[bool] = []


@task
def listed(number: int) -> int:
    if fails:
        raise OSError(f"number {number} cannot be read")
    return number


@task
def other() -> None:
    pass


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(bulk, "BATCH", 3)
    yield
    fails.clear()


def started(segue: Segue, count: int = 7) -> list[Run]:
    return segue.start_many(listed, [(number,) for number in range(count)], tags=["many"])


def done(segue: Segue, run: Run) -> dict[str, object]:
    work_run(segue.engine, run.id)
    result = run.result()
    assert isinstance(result, dict)
    return result


def statuses(runs: list[Run]) -> set[str]:
    return {run.status.value for run in runs}


def test_all_that_match_are_cancelled_and_nothing_else(segue: Segue) -> None:
    runs, kept = started(segue), segue.start(other)
    run = segue.select(tag="many").in_background().cancel(actor="ann", reason="wrong")
    later = segue.start(listed.s(1))
    segue.annotate(later, tags=["many"])
    assert statuses(runs) == {"pending"}
    assert run.info().workflow == "segue.bulk"
    assert "no_worker" in {reason.code for reason in run.explain()}
    assert run.info().metadata == {"verb": "cancel", "actor": "ann", "reason": "wrong"}
    assert done(segue, run) == {
        "verb": "cancel", "changed": 7, "unchanged": 0, "failed": 0, "errors": {}, "unconfirmed": []
    }  # fmt: skip
    assert statuses(runs) == {"cancelled"}
    assert statuses([kept, later]) == {"pending"}
    events = segue.events.list(run_id=runs[0].id)
    assert [(event.detail["actor"], event.detail["reason"]) for event in events if "actor" in event.detail] == [
        ("ann", "wrong")
    ]
    assert len(run.step("cancel").checkpoints()) == 4  # the count, and three batches


def test_it_does_not_touch_itself(segue: Segue) -> None:
    runs = started(segue, 2)
    run = segue.select().in_background().cancel()
    assert done(segue, run)["changed"] == 2
    assert run.status == RunStatus.SUCCEEDED
    assert statuses(runs) == {"cancelled"}


def test_pause_resume_and_labels(segue: Segue) -> None:
    runs = started(segue)
    chosen = segue.select(tag="many")
    assert done(segue, chosen.in_background().pause())["changed"] == 7
    assert statuses(runs) == {"paused"}
    assert done(segue, chosen.in_background().resume())["changed"] == 7
    assert statuses(runs) == {"pending"}
    order = chosen.in_background()
    assert done(segue, order.annotate(tags=["seen"], without=["many"], metadata={"ticket": 7}))["changed"] == 7
    assert segue.select(tag="seen", metadata={"ticket": 7}).count() == 7
    assert chosen.count() == 0
    assert segue.select(tag="seen").annotate(tags=["seen"]).unchanged == 7


def test_each_run_is_retried_once(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempt dies after the verbs of a batch, before their record: the runs have failed again by then."""
    fails.append(True)
    runs = started(segue, 3)
    for run in runs:
        fail(segue, run)
    order = segue.select(status="failed", tag="many").in_background().retry()
    die_once = [True]
    say_to_each = bulk.say_to_each

    def dying(*arguments: Any) -> Iterator[Any]:
        yield from say_to_each(*arguments)
        if die_once:
            die_once.clear()
            for run in runs:
                fail(segue, run)
            raise StoreUnavailableError("the connection broke")

    monkeypatch.setattr(bulk, "say_to_each", dying)
    result = done(segue, order)
    assert result["changed"] == 3
    assert not die_once
    assert [run.step("listed").info().attempt for run in runs] == [2, 2, 2]


def fail(segue: Segue, run: Run) -> None:
    work_run(segue.engine, run.id)
    with pytest.raises(RunFailedError):
        run.result()


def test_ids_are_exact(segue: Segue) -> None:
    runs = started(segue, 3)
    missing = segue.engine.new_id()
    with pytest.raises(RunNotFoundError, match=missing):
        segue.select(ids=[runs[0].id, missing]).in_background().cancel()
    assert done(segue, segue.select(ids=[runs[0].id]).in_background().cancel())["changed"] == 1
    again = done(segue, segue.select(ids=[runs[0].id]).in_background().cancel())
    assert (again["changed"], again["unchanged"]) == (0, 1)
    assert statuses(runs[1:]) == {"pending"}


def test_nothing_matches(segue: Segue) -> None:
    order = segue.select(tag="many").in_background().cancel()
    runs = started(segue, 1)
    assert done(segue, order)["changed"] == 0
    assert statuses(runs) == {"pending"}


def test_the_same_order_twice(segue: Segue) -> None:
    started(segue, 1)
    background = segue.select(tag="many").in_background(key="stop", queue="ops")
    first, second = background.cancel(), background.cancel()
    assert first.id == second.id
    assert (first.is_new, second.is_new) == (True, False)
    assert first.step(0).info().queue == "ops"


def test_another_namespace_is_not_touched(segue: Segue) -> None:
    with Segue(segue.url, namespace="north") as north, Segue(segue.url, namespace="*") as every:
        here, there = segue.start(listed.s(1)), north.start(listed.s(2))
        assert done(north, north.select().in_background().cancel())["changed"] == 1
        assert (here.status, there.status) == (RunStatus.PENDING, RunStatus.CANCELLED)
        with pytest.raises(ConfigError):
            every.select().in_background().cancel()


def test_an_order_by_hand_is_checked(segue: Segue) -> None:
    for order in ({}, {"verb": "delete", "chosen": {}}, {"verb": "cancel", "chosen": 7}):
        with pytest.raises(RunFailedError):
            segue.run(bulk_task.s(order=order))


def test_a_preview_reads_only(segue: Segue) -> None:
    runs = started(segue, 12)
    segue.start(other)
    selection = segue.select()
    seen = selection.preview("cancel")
    assert (seen.count, seen.is_complete, seen.workflows) == (
        13,
        True,
        {f"{__name__}.listed": 12, f"{__name__}.other": 1},
    )
    assert len(seen.first) == 10
    assert seen.newest_id == seen.first[0].id
    assert seen.oldest_at == runs[0].info().created_at
    assert seen.to_dict()["count"] == 13
    assert selection.preview("resume").count == 0
    assert selection.preview("resume").newest_id is None
    with pytest.raises(DefinitionError, match="not a verb"):
        selection.preview("delete")
    later = segue.start(other)
    assert selection.up_to(seen.newest_id).cancel().changed == 13
    assert later.status == RunStatus.PENDING


def test_a_cancelled_order_stops(segue: Segue) -> None:
    runs = started(segue, 2)
    order = segue.select(tag="many").in_background().cancel()
    assert order.cancel() == RunStatus.CANCELLED
    work_run(segue.engine, order.id)
    assert statuses(runs) == {"pending"}
