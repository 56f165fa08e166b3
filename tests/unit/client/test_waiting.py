"""Sending and deadlines as users say them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from segue import Segue, chain, task, wait_for, workflow
from segue.client import waiting
from segue.client.waiting import seconds_until
from segue.errors import ConfigError, ResultTooLargeError, RunNotFoundError, RunStateError, SerializationError
from segue.model import StepStatus

NOW = datetime(2026, 11, 20, tzinfo=UTC)


@task
def keep(x: Any) -> Any:
    return x


@pytest.fixture
def lone_segue(sqlite_url: str) -> Iterator[Segue]:
    with Segue(sqlite_url) as segue:
        yield segue


def test_what_is_sent_is_the_result_of_the_step(lone_segue: Segue) -> None:
    run = lone_segue.start(chain(wait_for.s("go"), keep.s()))
    assert run.send("go", {"at": NOW}).step == "go"
    assert [step.status for step in run.steps()] == [StepStatus.SUCCEEDED, StepStatus.READY]
    other = lone_segue.start(wait_for("go"))
    lone_segue.send(other.id, "go", [1, 2], key="k")
    lone_segue.send(other, "go", key="k")
    assert other.result() == [1, 2]
    with pytest.raises(RunStateError, match="which succeeded: no step in it waits any more"):
        other.send("go")
    with pytest.raises(RunNotFoundError):
        lone_segue.send("77", "go")


def test_what_cannot_be_sent(lone_segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lone_segue.start(wait_for("go"))
    for name in ("", " ", "x" * 201):
        with pytest.raises(ConfigError, match="is not a message's name"):
            run.send(name)
    with pytest.raises(ConfigError, match="key=''"):
        run.send("go", key="")
    with pytest.raises(SerializationError):
        run.send("go", object())
    monkeypatch.setattr(waiting, "MESSAGE_LIMIT_BYTES", 5)
    with pytest.raises(ResultTooLargeError, match="is 6 bytes of JSON"):
        run.send("go", 123456)
    assert [step.status for step in run.steps()] == [StepStatus.READY]


def test_messages_without_a_key_are_all_different(lone_segue: Segue) -> None:
    run = lone_segue.start(wait_for("other"))
    assert [run.send("go", 1).is_new for _ in range(2)] == [True, True]


@pytest.mark.parametrize(
    "deadline, seconds", [(60, 60.0), (timedelta(minutes=1), 60.0), (NOW + timedelta(seconds=1.5), 1.5)]
)
def test_a_deadline_is_a_length_or_a_moment(deadline: Any, seconds: float) -> None:
    assert seconds_until(deadline, NOW) == seconds


@pytest.mark.parametrize("deadline", [0, -1, True, "soon", timedelta(0), NOW, datetime(2027, 1, 1), float("nan")])  # noqa: DTZ001
def test_a_deadline_that_is_none(deadline: Any) -> None:
    with pytest.raises(ConfigError, match="deadline="):
        seconds_until(deadline, NOW)


def test_the_deadline_of_a_start_counts_before_that_of_the_workflow(lone_segue: Segue) -> None:
    @workflow(name="timely", deadline=3600)
    def timely() -> Any:
        return wait_for("go")

    lone_segue.start(timely, deadline=5)
    lone_segue.start(timely)
    lone_segue.start(keep, 1, deadline=timedelta(days=1))
    lone_segue.start(keep, 1)
    with lone_segue.engine.reading() as tx:
        due = tx.all("due_alarms", now=datetime(2200, 1, 1, tzinfo=UTC), limit=10, only=None, aside=[])
    assert [(kind, seconds) for _, _, kind, _, seconds in due] == [
        ("deadline", 5.0), ("deadline", 3600.0), ("deadline", 86400.0)
    ]  # fmt: skip
