"""`--metrics` of real workers and schedulers: what they counted, and how things stand."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from segue import Segue, shell
from tests.system import cli_tasks
from tests.system.cli_tasks import PATIENCE_SECONDS
from tests.system.test_cli_processes import Spawn, finish, spawning
from tests.system.test_health import port, ready

__all__ = ["port"]


@pytest.fixture
def spawn(sqlite_url: str) -> Iterator[Spawn]:
    with spawning(sqlite_url) as start:
        yield start


def read(port: int) -> dict[str, dict[tuple[str, ...], float]]:
    """The values of each series, by the values of its labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_SECONDS) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = answer.read().decode()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_a_worker_counts_what_its_children_do(sqlite_url: str, spawn: Spawn, port: int) -> None:
    with Segue(sqlite_url) as segue:
        worker = ready(spawn("worker", "-c", "2", "--metrics", f"127.0.0.1:{port}"))
        runs = [segue.start(cli_tasks.square, 1), segue.start(shell("exit 3"))]
        for run in runs:
            run.wait(timeout=PATIENCE_SECONDS)
    found = read(port)
    outcomes = {outcome for outcome, _, _ in found["segue_attempts_total"]}
    assert outcomes == {"succeeded", "failed"}
    assert sum(found["segue_runs_ended_total"].values()) == 2
    assert found["segue_places"] == {("default",): 2.0}
    assert found["segue_heartbeat_age_seconds"][()] < PATIENCE_SECONDS
    assert "segue_ready_steps" not in found
    assert not [name for name in found if name.endswith("_created")]
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE_SECONDS)
    worker.terminate()
    finish(worker)


def test_a_scheduler_also_says_how_things_stand(sqlite_url: str, spawn: Spawn, port: int) -> None:
    with Segue(sqlite_url) as segue:
        segue.start(cli_tasks.square, 1)
    scheduler = ready(spawn("scheduler", "--metrics", f"127.0.0.1:{port}"))
    found = read(port)
    assert found["segue_ready_steps"] == {("default",): 1.0}
    assert found["segue_live_runs"] == {("pending",): 1.0}
    assert () in found["segue_leader"]
    scheduler.terminate()
    finish(scheduler)


def test_an_address_that_is_taken_is_refused_in_words(sqlite_url: str, spawn: Spawn, port: int) -> None:
    first = ready(spawn("scheduler", "--metrics", f"127.0.0.1:{port}"))
    second = spawn("scheduler", "--metrics", f"127.0.0.1:{port}")
    _, err = second.communicate(timeout=PATIENCE_SECONDS)
    assert second.returncode == 2
    assert f"--metrics 127.0.0.1:{port} cannot be used".encode() in err
    first.terminate()
    finish(first)


def test_a_scheduler_whose_database_is_away_says_what_it_counted(sqlite_url: str, spawn: Spawn, port: int) -> None:
    scheduler = ready(spawn("scheduler", "--metrics", f"127.0.0.1:{port}"))
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    file.write_bytes(b"no database any more" * 1000)
    found = read(port)
    assert "segue_heartbeat_age_seconds" in found
    assert "segue_workers" not in found
    scheduler.kill()
