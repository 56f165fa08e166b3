"""Whatever a person changes leaves an event with who did it and why, once. On both stores."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from segue import Segue, group, task, wait_for
from segue.model import RunStatus
from tests.contract.stage import Stage

WHO: dict[str, Any] = {"actor": "ann", "reason": "why not"}


@task(name="who.work")
def work(day: str) -> str:
    return day


@pytest.fixture
def segue(database_url: str) -> Any:
    with Segue(database_url) as segue:
        yield segue


def create(segue: Segue, **who: Any) -> None:
    segue.schedules.create("s", work, schedule="@daily", timezone="UTC", **who)


def backfill(segue: Segue) -> None:
    now = datetime.now(UTC)
    segue.schedules.backfill("s", now - timedelta(days=3), now - timedelta(minutes=1), **WHO)


CHANGES: list[tuple[str, Callable[[Segue], Any]]] = [
    ("schedule.created", lambda segue: create(segue, **WHO)),
    ("schedule.updated", lambda segue: segue.schedules.update("s", overlap="allow", **WHO)),
    ("schedule.deactivated", lambda segue: segue.schedules.deactivate("s", **WHO)),
    ("schedule.activated", lambda segue: segue.schedules.activate("s", **WHO)),
    ("schedule.backfilled", backfill),
    ("limit.set", lambda segue: segue.limits.set("queue:net", concurrency=3, **WHO)),
    ("limit.removed", lambda segue: segue.limits.remove("queue:net", **WHO)),
    ("retention.set", lambda segue: segue.retention.set("w", max_age=60.0, **WHO)),
    ("retention.removed", lambda segue: segue.retention.remove("w", **WHO)),
    ("subscription.deactivated", lambda segue: segue.subscriptions.deactivate("sub", **WHO)),
    ("subscription.activated", lambda segue: segue.subscriptions.activate("sub", **WHO)),
]
ONCE: list[tuple[str, Callable[[Segue], Any]]] = [
    ("schedule.run", lambda segue: segue.schedules.run_now("s", **WHO)),
    ("queue.weighted", lambda segue: segue.limits.weight("gold", 3, queue="net", **WHO)),
    ("subscription.set", lambda segue: segue.subscriptions.add("sub", events=["run.failed"], to=work, **WHO)),
    ("subscription.removed", lambda segue: segue.subscriptions.remove("sub", **WHO)),
    ("schedule.removed", lambda segue: segue.schedules.remove("s", **WHO)),
]


def test_every_change_leaves_an_event_and_no_change_leaves_none(segue: Segue) -> None:
    segue.subscriptions.add("sub", events=["run.failed"], to=work)
    expected = ["subscription.set"]
    for kind, change in CHANGES:
        change(segue)
        expected.append(kind)
        if kind != "schedule.created":
            change(segue)  # changes nothing
    for kind, change in ONCE:
        change(segue)
        expected.append(kind)
    found = segue.events.list(limit=100)
    assert [event.kind for event in reversed(found)] == expected
    assert all(event.run_id is None for event in found)
    assert [event.detail.get("actor") for event in found] == ["ann"] * (len(found) - 1) + [None]
    assert [event.detail.get("reason") for event in found] == ["why not"] * (len(found) - 1) + [None]
    about = {event.kind: event.detail.get(event.kind.partition(".")[0]) for event in found}
    assert about["schedule.run"] == "s"
    assert (about["limit.set"], about["queue.weighted"], about["retention.set"]) == ("queue:net", "net", "w")
    assert [event.detail["concurrency"] for event in found if event.kind == "limit.set"] == [3]


def test_events_are_found_by_who_did_it_and_by_kind(segue: Segue) -> None:
    for number in range(5):
        with segue.acting_as("bob" if number % 2 else "ann"):
            segue.limits.set("a", concurrency=number + 1)
    assert [event.detail["concurrency"] for event in segue.events.list(actor="ann")] == [5, 3, 1]
    [last] = segue.events.list(kinds=["limit.*"], actor="bob", limit=1)
    assert [event.detail["concurrency"] for event in segue.events.list(actor="bob", before=last.id)] == [2]
    assert segue.events.list(kinds=["retention.*"]) == segue.events.list(actor="eve") == []
    assert len(segue.events.list(kinds=["limit.set", "limit.removed"], limit=3)) == 3


def test_a_namespace_has_its_own_events(database_url: str) -> None:
    with Segue(database_url, namespace="shop") as shop, Segue(database_url) as other:
        shop.limits.set("api", concurrency=1, **WHO)
        assert [event.detail["limit"] for event in shop.events.list(actor="ann")] == ["api"]
        assert other.events.list(actor="ann") == other.events.list(kinds=["limit.set"]) == []
        with Segue(database_url, namespace="*") as every:
            assert [event.namespace for event in every.events.list(kinds=["limit.*"])] == ["shop"]


def test_who_started_a_run(segue: Segue) -> None:
    assert segue.start(work, "x").info().started_by is None
    with segue.acting_as("ann"):
        run = segue.start(work, "x")
        assert segue.start_many(work, [("y",)])[0].info().started_by == "ann"
    assert run.info().started_by == "ann"
    assert run.cancel(actor="bob") == RunStatus.CANCELLED
    assert run.fork(0, actor="eve").info().started_by == "eve"
    [page] = segue.pages(forked_from=run.id).runs
    assert page.started_by == "eve"
    create(segue)
    assert segue.schedules.run_now("s").info().started_by == "schedule s"
    assert segue.schedules.run_now("s", actor="ann").info().started_by == "ann"


def test_workers_that_ended_are_listed(stage: Stage) -> None:
    from segue.client.overview import Overview

    class View(Overview):
        engine = stage.engine

    lost = [stage.hire(f"w{number}") for number in range(3)]
    stage.advance(3600)
    stopped = stage.hire("w3")
    with stage.store.transaction() as tx:
        tx.all("stop_worker", worker_id=stopped.id, now=stage.store.now())
    stage.engine.rescue()
    assert [worker.id for worker in View().ended_workers(status="lost")][:3] == [each.id for each in lost[::-1]]
    newest = View().ended_workers(limit=1)
    assert [worker.status for worker in newest] == ["stopped"]
    assert stopped.id not in [worker.id for worker in View().ended_workers(before=newest[0].id)]


def test_waits_and_messages_page_by_page(segue: Segue) -> None:
    runs = [segue.start(group(wait_for.s("a"), wait_for.s("b"))) for _ in range(3)]
    seen = segue.approvals.page(limit=1)
    while page := segue.approvals.page(after=seen[-1], limit=2):
        seen += page
    every = segue.approvals.list()
    assert [(wait.run_id, wait.step) for wait in seen] == sorted((wait.run_id, wait.step) for wait in every)
    assert len(seen) == 6
    assert [wait.name for wait in segue.approvals.page(name="b", after=seen[1])] == ["b", "b"]
    for number in range(3):
        runs[0].send("c", number, key=str(number))
    assert [message.value for message in runs[0].messages(after=0)] == ["1", "2"]
    assert runs[0].messages()[0].taken_by is None
