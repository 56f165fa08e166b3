"""What the first page and the strips of all pages show: of the right namespace, in order, no more than asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import pytest

from segue import Segue
from segue.client.installation import activity_of, standing_of
from segue.engine.views.attention import latest_failures, list_retried
from segue.engine.views.queues import list_queues
from segue.engine.views.waiting import list_events
from segue.scheduler.leader import Lead
from tests.contract.stage import Stage, connect, failed, node, plan

pytestmark = pytest.mark.contract
SHOP = "shop\x1f"
A_DAY = timedelta(days=1)


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


@contextmanager
def spaces(url: str) -> Iterator[tuple[Segue, Segue, Segue]]:
    """The default namespace, another one, and all."""
    with ExitStack() as opened:
        mine, shop, every = (opened.enter_context(Segue(url, namespace=name)) for name in ("", "shop", "*"))
        yield mine, shop, every


def test_steps_that_are_tried_again_are_those_of_the_namespace(stage: Stage) -> None:
    for prefix, count, delay in ((SHOP, 12, 5.0), ("", 2, 50.0)):
        for number in range(count):
            step = node(f"s{number}", queue=f"{prefix}default", retries=3, retry_delay=delay + number, retry_jitter=0.0)
            stage.start(plan(step, name=f"{prefix}flow"))
    for queue in ("default", f"{SHOP}default"):
        worker = stage.hire(queue[:4], queues=(queue,))
        stage.turn(*map(failed, stage.claim(by=worker)), by=worker)
    with stage.engine.reading() as tx:
        assert [(step.name, step.failures) for step in list_retried(tx, prefix="")] == [("s0", 1), ("s1", 1)]
        assert [step.name for step in list_retried(tx, prefix=SHOP, limit=3)] == ["s0", "s1", "s2"]
        assert len(list_retried(tx, prefix=None, limit=20)) == 14
        queues = {
            queue.namespace: (queue.delayed, queue.workers, queue.ready) for queue in list_queues(tx, stage.clock.now())
        }
    assert queues == {"": (2, 1, 0), "shop": (12, 1, 0)}


def test_the_latest_failures_come_first_and_older_ones_not_at_all(stage: Stage) -> None:
    ids = [stage.start(plan(node("s"), name=name)) for name in ("flow", "flow", f"{SHOP}flow", "flow")]
    jobs = {job.run_id: job for job in stage.claim()}
    for id_ in (ids[3], ids[0], ids[2]):  # the second one goes on
        stage.advance(3600)
        stage.turn(failed(jobs[id_]))
    since = stage.clock.now() - timedelta(hours=1.5)
    with stage.engine.reading() as tx:
        assert [run.id for run in latest_failures(tx, since, limit=9, prefix="")] == [ids[0]]
        assert [run.id for run in latest_failures(tx, since - A_DAY, limit=9, prefix="")] == [ids[0], ids[3]]
        assert [run.id for run in latest_failures(tx, since, limit=9, prefix=None)] == [ids[2], ids[0]]
        assert [run.id for run in latest_failures(tx, since - A_DAY, limit=1, prefix="")] == [ids[0]]
        assert latest_failures(tx, stage.clock.now() + A_DAY, limit=9, prefix=None) == []


def test_chores_that_nobody_ever_did_are_missed_only_where_there_is_work(database_url: str) -> None:
    with spaces(database_url) as (mine, shop, every):
        now = mine.engine.store.now()
        standing = [standing_of(each, failed_since=now - A_DAY, most=5) for each in (mine, shop, every)]
        assert [(each.was_never_led, each.unserved, each.waits) for each in standing] == [(False, [], 0)] * 3
        mine.engine.start([(plan(node("s")), None)])
        standing = [standing_of(each, failed_since=now - A_DAY, most=5) for each in (mine, shop, every)]
        assert [each.was_never_led for each in standing] == [True, True, True]
        assert [each.unserved for each in standing] == [["default"], [], ["default"]]
        lead = Lead(shop.engine, monotonic=lambda: 0.0)
        assert lead.ask()
        lead.give_up()
        standing = [standing_of(each, failed_since=now - A_DAY, most=5) for each in (mine, shop, every)]
        assert [each.was_never_led for each in standing] == [True, False, False]
        assert [each.chores_until is None for each in standing] == [True, False, True]
        activity = [activity_of(each, now, failed_since=now - A_DAY, most_failed=5) for each in (mine, shop, every)]
        assert [each.live for each in activity] == [{"pending": 1}, {}, {"pending": 1}]


def test_events_of_several_kinds_are_the_newest_of_all(stage: Stage) -> None:
    with connect(stage.store.url) as connection:
        for number in range(12):
            kind = ("alert.a", "alert.b", "other")[number % 3]
            connection.execute(
                "INSERT INTO segue_events (id, at, kind, detail, namespace) VALUES "
                f"('00000000-0000-7000-8000-{number:012}', '2026-01-01 00:00:00.000000', '{kind}', '{{}}', "
                f"'{'shop' if number > 9 else ''}')"
            )
        connection.commit()
    with stage.engine.reading() as tx:
        found = list_events(tx, kinds=["alert.a", "alert.b", "none"], limit=3, prefix="")
        assert [int(event.id[-12:]) for event in found] == [9, 7, 6]
        found = list_events(tx, kinds=["alert.a", "alert.b"], limit=3, prefix=None, before=found[0].id)
        assert [int(event.id[-12:]) for event in found] == [7, 6, 4]
        assert [event.kind for event in list_events(tx, kinds=["alert.b"], limit=1, prefix=SHOP)] == ["alert.b"]
