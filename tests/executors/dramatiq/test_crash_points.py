"""A worker dies at any point of what it says to the database, and messages come never, once, twice or three times."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from dramatiq.brokers.stub import StubBroker

from segue import Segue
from segue.engine.engine import Engine
from segue.executors.dramatiq import Chain, Group
from segue.store import open_store
from tests.crash.faults import Died, FaultyStore
from tests.executors.dramatiq.conftest import Project, a_project, wait_until, working
from tests.thorough import IS_THOROUGH

SECONDS = 60
POINTS = range(1, 90, 1 if IS_THOROUGH else 29)


def die(_: Any) -> None:
    raise Died


def dying(database_url: str, at: int) -> FaultyStore:
    """The store of a process that dies at a point: nothing of it reaches the database after that."""
    return FaultyStore(open_store(database_url), die, at)


def diamond(project: Project, path: Path) -> Chain:
    first, second, third, last = (project.message("note", str(path), word) for word in "abcd")
    return Chain(first, Group(second, third), last)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # the desk that dies
@pytest.mark.parametrize("at", POINTS)
def test_a_worker_that_dies_at_any_point_loses_nothing(database_url: str, tmp_path: Path, at: int) -> None:
    path = tmp_path / "ran"
    with a_project("stub", database_url, lease_seconds=0.5, chores=False) as project:
        [door] = [each.door for each in project.broker.middleware if hasattr(each, "door")]
        store = dying(database_url, at)
        door._engines = {os.getpid(): Engine(store)}  # type: ignore[arg-type]
        run = project.segue.start(diamond(project, path))
        with working(project, threads=2):
            wait_until(lambda: store.has_struck or run.status.is_final, SECONDS)
    with a_project("stub", database_url, threads=2, lease_seconds=0.5):  # its broker has none of the messages
        assert run.wait(timeout=SECONDS).status == "succeeded"
    notes = path.read_text().split()
    assert list(dict.fromkeys(notes)) in (list("abcd"), list("acbd"))
    assert len(notes) <= 4 + sum(step.losses for step in run.steps())
    with Segue(database_url) as segue:
        assert segue.engine.broken_invariants() == []


class UnsteadyBroker(StubBroker):
    """Delivers each message of a step never, once, twice or three times."""

    chance = random.Random(1)

    def enqueue(self, message: Any, *, delay: int | None = None) -> Any:
        if "segue" not in message.options:
            return super().enqueue(message, delay=delay)
        [times] = self.chance.choices((0, 1, 2, 3), (20, 40, 20, 20))
        for _ in range(times):
            super().enqueue(message, delay=delay)
        return message


def test_messages_that_come_never_once_twice_or_three_times(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr("dramatiq.brokers.stub.StubBroker", UnsteadyBroker)
    path = tmp_path / "ran"
    with a_project("stub", database_url, threads=4, lease_seconds=0.5) as project:
        runs = [project.segue.start(diamond(project, path)) for _ in range(10)]
        assert {run.wait(timeout=SECONDS).status for run in runs} == {"succeeded"}
    notes = path.read_text().split()
    assert {word: notes.count(word) for word in "abcd"} == dict.fromkeys("abcd", 10)
