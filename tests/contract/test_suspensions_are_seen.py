"""A task that sleeps or waits inside: its event, and the number of its records in `segue show`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from segue import checkpoint, sleep, task, wait_for
from segue.cli.root import segue as command
from segue.observing.kinds import expand
from segue.observing.observers import Event, observers
from segue.testing import Workbench


@task(name="seen.patient")
def patient() -> int:
    for number in range(3):
        checkpoint(f"part {number}", int, number)
    sleep(3600)
    wait_for("word")
    return 1


@pytest.fixture
def heard() -> Iterator[list[Event]]:
    found: list[Event] = []
    observers.add(found.append, expand(["step.suspended"]))
    yield found
    observers.remove(found.append)


def shown(bench: Workbench, run_id: str, *words: str) -> str:
    done = CliRunner().invoke(command, ["show", run_id, *words], env={"SEGUE_DATABASE_URL": bench.segue.url})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_each_suspension_is_an_event(database_url: str, heard: list[Event]) -> None:
    with Workbench(database_url) as bench:
        run = bench.segue.start(patient)
        bench.work()
        assert observers.flush(20)
        [slept] = heard
        assert (slept.kind, slept.run_id, slept.name, slept.attempt) == ("step.suspended", run.id, "patient", 1)
        assert slept.detail["waits_for"] is None
        assert str(slept.detail["until"]).startswith("2026-01-01T01:00:00")
        bench.advance(hours=2)
        assert observers.flush(20)
        assert [(each.attempt, each.detail) for each in heard[1:]] == [(2, {"until": None, "waits_for": "word"})]
        run.send("word", 1)
        bench.finish(run)
        assert observers.flush(20)
        assert len(heard) == 2


def test_the_tree_counts_checkpoints(database_url: str) -> None:
    with Workbench(database_url) as bench:
        run = bench.segue.start(patient)
        assert "checkpoint" not in shown(bench, run.id)
        bench.work()
        assert "4 checkpoints" in shown(bench, run.id)
        document: dict[str, Any] = json.loads(shown(bench, run.id, "--json"))
        assert [step["checkpoints"] for step in document["steps"]] == [4]
        bench.advance(hours=2)
        run.send("word", 1)
        bench.finish(run)
        assert "5 checkpoints" in shown(bench, run.id)
