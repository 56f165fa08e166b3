"""Subscriptions: the run that tells of an event is there if and only if the event is, once, and tells of no other."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
import pytest

from segue.engine import subscriptions
from segue.engine.audit import record_event
from segue.engine.engine import Engine
from segue.engine.subscriptions import NOTIFICATION
from segue.engine.watch import REREAD_SECONDS, Watch
from segue.errors import ConfigError, SubscriptionNotFoundError
from segue.model import RUN, Hole, Ref, RunStatus, Verdict
from segue.plan.graph import Node, Plan
from tests.contract.stage import LEASE_SECONDS, TASK, Stage, connect, ended, failed, node, plan, succeeded, value

TELL = "tell"
TARGET = Plan(
    NOTIFICATION, (Node(TELL, TASK, args='[["first",null],{"url":"x"}]', holes=(Hole((0, 1), Ref(RUN)),)),), Ref(0)
)
FAIL = {"a": failed}


def subscribe(
    stage: Stage, *events: str, name: str = "sub", workflow: str | None = None, target: Plan = TARGET
) -> None:
    stage.engine.act(subscriptions.put_subscription, name, events=events, workflow=workflow, target=target)
    stage.engine.watch.forget()


def notifications(stage: Stage) -> list[dict[str, Any]]:
    """The events that runs of their own were started for, in that order."""
    with connect(stage.store.url) as connection:
        rows = connection.execute(
            "SELECT s.args FROM segue_runs r JOIN segue_steps s ON s.run_id = r.id AND s.step = 0 "
            f"WHERE r.workflow = '{NOTIFICATION}' ORDER BY r.id"
        ).fetchall()
    told = [msgspec.json.decode(row[0]) for row in rows]
    assert all(args[0] == "first" and kwargs == {"url": "x"} for args, kwargs in told)
    return [args[1] for args, _ in told]


def kinds(stage: Stage) -> list[str]:
    return [event["kind"] for event in notifications(stage)]


def test_the_end_of_a_run_starts_a_run_that_tells_of_it(stage: Stage) -> None:
    subscribe(stage, "run.failed")
    run_id = stage.start(plan(node("a")), key="today")
    stage.work(FAIL)
    (event,) = notifications(stage)
    assert event == {
        "id": event["id"], "kind": "run.failed", "at": "2026-01-01T00:00:00Z", "run_id": run_id, "workflow": "flow",
        "key": "today", "tags": [], "step": None, "name": None, "attempt": None,
        "error": {"type": "Boom", "message": "broke"}, "detail": {"failed_step": "a"},
    }  # fmt: skip
    with stage.engine.reading() as tx:
        (told,) = tx.all("run_of_key", workflow=NOTIFICATION, key=f"sub:{event['id']}")
    assert stage.run(str(told[0])).status is RunStatus.SUCCEEDED
    assert stage.statuses(str(told[0])) == {TELL: "succeeded"}


@pytest.mark.parametrize("end", ["run.succeeded", "run.failed", "run.cancelled"])
def test_every_end_is_told(stage: Stage, end: str) -> None:
    subscribe(stage, "run.succeeded", "run.failed", "run.cancelled")
    run_id = stage.start(plan(node("a"), node("last", hook="finally")))
    (job,) = stage.claim()
    if end == "run.cancelled":
        stage.cancel(run_id)
        stage.turn(ended(job, Verdict.CANCELLED))
    else:
        stage.turn(succeeded(job) if end == "run.succeeded" else failed(job))
    assert kinds(stage) == []
    stage.work()
    assert kinds(stage) == [end]
    plain = stage.start(plan(node("b")))
    stage.work()
    assert [event["run_id"] for event in notifications(stage)] == [run_id, plain]


def test_steps_what_people_do_and_alerts_are_told_too(stage: Stage) -> None:
    subscribe(stage, "step.failed", "run.paused", "run.late_end")
    run_id = stage.start(plan(node("a", retries=1)))
    stage.engine.act(record_event, "run.late_end", run_id=run_id, seconds=4)
    stage.engine.act(record_event, "run.resumed", run_id=run_id)
    stage.work(FAIL)
    late, step = notifications(stage)
    assert (late["kind"], late["detail"]) == ("run.late_end", {"seconds": 4})
    assert (step["kind"], step["step"], step["name"], step["attempt"]) == ("step.failed", 0, "a", 2)
    assert "traceback" not in step["error"]


def test_an_event_that_is_written_down_keeps_its_id(stage: Stage) -> None:
    subscribe(stage, "run.paused")
    run_id = stage.start(plan(node("a")))
    stage.engine.act(record_event, "run.paused", run_id=run_id)
    with connect(stage.store.url) as connection:
        ((id_,),) = connection.execute("SELECT id FROM segue_events WHERE kind = 'run.paused'").fetchall()
    assert [event["id"] for event in notifications(stage)] == [str(id_)]


def test_a_lost_worker_is_told_by_who_rescues(stage: Stage) -> None:
    subscribe(stage, "*.failed")
    stage.start(plan(node("a", lost_retries=0)))
    stage.claim()
    stage.advance(LEASE_SECONDS + 1)
    stage.engine.rescue()
    assert kinds(stage) == ["step.failed", "run.failed"]


def test_nobody_is_told_of_notifications(stage: Stage) -> None:
    subscribe(stage, "*")
    stage.start(plan(node("a")))
    stage.work({"a": failed, TELL: failed})
    told = notifications(stage)
    assert {event["workflow"] for event in told} == {"flow"}
    assert [event["kind"] for event in told] == ["run.started", "step.started", "step.failed", "run.failed"]


def test_only_the_workflow_that_was_named(stage: Stage) -> None:
    subscribe(stage, "run.succeeded", workflow="mine")
    stage.start(plan(node("a"), name="yours"))
    mine = stage.start(plan(node("a"), name="mine"))
    stage.work()
    assert [event["run_id"] for event in notifications(stage)] == [mine]


def test_each_subscription_is_told_once(stage: Stage) -> None:
    subscribe(stage, "run.succeeded", "*.succeeded", "run.*", name="one")
    subscribe(stage, "run.succeeded", name="two")
    stage.start(plan())
    ends = [event for event in notifications(stage) if event["kind"] == "run.succeeded"]
    assert len(ends) == 2
    assert len({event["id"] for event in ends}) == 1


def test_what_is_said_twice_is_told_once(stage: Stage) -> None:
    subscribe(stage, "step.succeeded", "run.succeeded")
    stage.start(plan(node("a")))
    (job,) = stage.claim()
    stage.turn(succeeded(job), succeeded(job))
    stage.advance(1)
    stage.turn(succeeded(job))
    assert kinds(stage) == ["step.succeeded", "run.succeeded"]


def test_a_subscription_that_rests_or_is_gone_is_told_nothing(stage: Stage) -> None:
    subscribe(stage, "run.succeeded")
    for change, count in (
        (lambda act: subscriptions.set_active(act, "sub", False), 0),
        (lambda act: subscriptions.set_active(act, "sub", True), 1),
        (lambda act: subscriptions.delete_subscription(act, "sub"), 1),
    ):
        stage.engine.act(change)
        stage.engine.watch.forget()
        stage.start(plan())
        assert len(kinds(stage)) == count
    for verb in (subscriptions.delete_subscription, partial(subscriptions.set_active, is_active=True)):
        with pytest.raises(SubscriptionNotFoundError, match="'sub'"):
            stage.engine.act(verb, "sub")


def test_a_subscription_of_the_same_name_is_replaced(stage: Stage) -> None:
    subscribe(stage, "run.failed")
    stage.advance(60)
    subscribe(stage, "run.succeeded", workflow="mine")
    with stage.engine.reading() as tx:
        (found,) = subscriptions.list_subscriptions(tx)
    assert (found.name, found.events, found.workflow, found.tasks, found.is_active) == (
        "sub", ("run.succeeded",), "mine", (TASK,), True,
    )  # fmt: skip
    assert (stage.store.now() - found.created_at).total_seconds() == 60
    with pytest.raises(ConfigError, match=r"run\.nope"):
        subscribe(stage, "run.nope")


def test_other_processes_hear_of_a_subscription_within_a_second(stage: Stage) -> None:
    other, seconds = Engine(stage.store, ids=stage.engine.ids), 100.0
    other.watch = Watch(stage.store, monotonic=lambda: seconds)
    other.start([(plan(), None)])
    subscribe(stage, "run.succeeded")
    seconds += REREAD_SECONDS / 2
    other.start([(plan(), None)])
    assert kinds(stage) == []
    seconds += REREAD_SECONDS / 2
    other.start([(plan(), None)])
    assert kinds(stage) == ["run.succeeded"]


@pytest.mark.parametrize(
    "column, text",
    [
        ("target", '{"nodes": 7}'),
        ("target", '{"name": "n", "nodes": [{"name": "a", "task": "b", "holes": [[[0, 5], ["ref", -1, []]]]}]}'),
        ("events", '[{"kind": "run.*"}]'),
    ],
)
def test_what_cannot_be_read_is_left_out_and_the_work_goes_on(
    stage: Stage, caplog: pytest.LogCaptureFixture, column: str, text: str
) -> None:
    subscribe(stage, "run.succeeded", name="of a newer version")
    subscribe(stage, "run.succeeded", name="readable")
    with connect(stage.store.url) as connection:
        connection.execute(f"UPDATE segue_subscriptions SET {column} = '{text}' WHERE name = 'of a newer version'")
        connection.commit()
    stage.engine.watch.forget()
    subscriptions._subscribed.cache_clear()
    for _ in range(2):
        run_id = stage.start(plan())
        stage.engine.watch.forget()
    assert stage.run(run_id).status is RunStatus.SUCCEEDED
    assert kinds(stage) == ["run.succeeded"] * 2
    assert caplog.text.count("of a newer version is left out") == 1


def test_a_pattern_of_a_newer_version_means_nothing_to_this_one(stage: Stage) -> None:
    subscribe(stage, "run.succeeded")
    with connect(stage.store.url) as connection:
        connection.execute("""UPDATE segue_subscriptions SET events = '["run.new", "run.succeeded"]'""")
        connection.commit()
    stage.engine.watch.forget()
    stage.start(plan())
    assert kinds(stage) == ["run.succeeded"]


def test_a_target_may_be_more_than_one_step(stage: Stage) -> None:
    two = Plan(
        NOTIFICATION,
        (
            Node("look", TASK, args="[[null],{}]", holes=(Hole((0, 0), Ref(RUN)),)),
            Node("tell", TASK, args="[[null,null],{}]", parents=(0,),
                 holes=(Hole((0, 0), Ref(0)), Hole((0, 1), value(1)))),
        ),
        Ref(1),
    )  # fmt: skip
    subscribe(stage, "run.succeeded", target=two)
    stage.start(plan())
    (look,) = stage.claim_named("look")
    (tell,) = stage.claim_after([succeeded(look, "seen")])
    assert msgspec.json.decode(look.args)[0][0]["kind"] == "run.succeeded"
    assert tell.values == {0: '"seen"'}
    stage.turn(succeeded(tell))


def test_in_the_callers_own_transaction_it_begins_when_he_commits(stage: Stage) -> None:
    subscribe(stage, "run.succeeded")
    for ends, count in (("rollback", 0), ("commit", 1)):
        with connect(stage.store.url) as connection:
            if stage.store.url.startswith("sqlite"):
                connection.execute("BEGIN IMMEDIATE")
            stage.engine.start([(plan(), None)], connection=connection)
            getattr(connection, ends)()
        assert len(kinds(stage)) == count


def test_a_transactional_task_tells_in_its_own_transaction(stage: Stage, transactions: Any, orders: Any) -> None:
    subscribe(stage, "run.succeeded")
    for keep in (False, True):
        stage.start(plan(node("a")))
        (job,) = stage.claim_named("a")
        transaction = transactions.begin((job.run_id, job.step, job.attempt))
        transaction.connection.execute("INSERT INTO orders VALUES (1)")
        if not keep:
            transaction.undo()
            assert (orders(), kinds(stage)) == ([], [])
            stage.turn(ended(job, Verdict.RELEASED))
            (job,) = stage.claim_named("a")
            stage.turn(failed(job))
        else:
            transaction.record(succeeded(job))
            assert (orders(), kinds(stage)) == ([1], ["run.succeeded"])


def test_the_worker_that_told_looks_for_work_at_once(stage: Stage) -> None:
    subscribe(stage, "run.succeeded")
    stage.start(plan(node("a")))
    (job,) = stage.claim()
    assert stage.turn(succeeded(job), want=1).again
    assert [job.name for job in stage.claim()] == [TELL]


def test_notifications_are_pruned_like_other_runs(stage: Stage) -> None:
    subscribe(stage, "run.succeeded")
    stage.start(plan())
    stage.work()
    stage.advance(100)
    assert stage.engine.prune(older_than=timedelta(seconds=50)) == 2
    assert kinds(stage) == []
