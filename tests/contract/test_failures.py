"""Failed attempts by the kind of their error. On both stores."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from segue.client.failures import Failures
from segue.engine.views import failures
from segue.errors import FingerprintNotFoundError
from tests.contract.stage import TASK, Stage, connect, failed, node, plan, succeeded


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


def fail(stage: Stage, message: str) -> str:
    run_id = stage.start(plan(node("a")))
    [job] = stage.claim()
    stage.turn(failed(job, message))
    stage.advance(60)
    return run_id


def test_errors_are_grouped_counted_and_found_again(stage: Stage) -> None:
    ids = [fail(stage, f"order {number} is bad") for number in range(3)]
    fail(stage, "no header")
    stage.start(plan(node("b")))
    stage.turn(succeeded(stage.claim()[0]))
    found = Failures(stage.engine).groups()
    assert [(group.count, group.message, group.task) for group in found.groups] == [
        (3, "order 2 is bad", TASK),
        (1, "no header", TASK),
    ]
    assert (found.looked_at, found.is_cut, found.without_fingerprint) == (4, False, 0)
    first = found.groups[0]
    assert sum(first.buckets) == first.runs == 3
    assert first.last_seen - first.first_seen == timedelta(seconds=120)
    kind = Failures(stage.engine).get(first.fingerprint)
    assert [failure.run_id for failure in kind.failures] == ids[::-1]
    assert (kind.count, kind.first_seen, kind.last_seen) == (3, first.first_seen, first.last_seen)
    page = Failures(stage.engine).get(first.fingerprint, before=kind.failures[0].at, limit=1)
    assert [failure.run_id for failure in page.failures] == [ids[1]]
    assert page.last_seen == first.last_seen


def test_by_time_task_and_type(stage: Stage) -> None:
    fail(stage, "old")
    stage.advance(7200)
    since = stage.store.now() - timedelta(minutes=5)
    fail(stage, "new")
    ask = Failures(stage.engine).groups
    assert [group.message for group in ask(since=since).groups] == ["new"]
    assert [group.count for group in ask(task=TASK).groups] == [1, 1]
    assert ask(task="other").groups == ask(type="Other").groups == ()
    assert len(ask(type=ask().groups[0].type).groups) == 2


def test_a_look_ends_and_says_where(stage: Stage) -> None:
    for _ in range(4):
        fail(stage, "again")
    with stage.engine.reading() as tx:
        now = stage.store.now()
        found = failures.group_failures(tx, now, now - timedelta(days=1), most=2)
    assert (found.looked_at, found.is_cut, found.groups[0].count) == (2, True, 2)
    assert found.since == found.groups[0].first_seen


def test_a_retried_attempt_counts_and_an_older_one_is_told_of(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", retries=1)))
    stage.turn(failed(stage.claim()[0], "once"))
    assert [group.count for group in Failures(stage.engine).groups().groups] == [1]
    with connect(stage.store.url) as connection:
        connection.execute("UPDATE segue_attempts SET fingerprint = NULL")
        connection.commit()
    found = Failures(stage.engine).groups()
    assert (found.groups, found.without_fingerprint) == ((), 1)
    stage.cancel(run_id)


def test_an_unknown_fingerprint(stage: Stage) -> None:
    with pytest.raises(FingerprintNotFoundError, match="segue errors"):
        Failures(stage.engine).get("f" * 16)
