"""What waits needs no worker: it waits through restarts, until it is sent, or until who does the chores ends it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from segue import Segue
from segue.errors import RunFailedError
from segue.model import Gate
from tests.contract.stage import connect
from tests.system import waiting_tasks
from tests.system.cli_tasks import PATIENCE_SECONDS
from tests.system.test_cli_processes import READY, Spawn, finish, read_until, spawning

APP = ("-A", waiting_tasks.__name__)


@pytest.fixture
def spawn(database_url: str) -> Iterator[Spawn]:
    with spawning(database_url) as start:
        yield start


@pytest.fixture
def lone_spawn(sqlite_url: str) -> Iterator[Spawn]:
    with spawning(sqlite_url) as start:
        yield start


def begin(spawn: Spawn, *words: str) -> subprocess.Popen[bytes]:
    """A process that works, once it says that it is ready."""
    process = spawn(*words, *APP, "--pool", "thread")
    assert process.stderr is not None
    read_until(process.stderr.fileno(), READY)
    return process


def let_sleeps_be_over(url: str) -> None:
    with connect(url) as connection:
        connection.execute("UPDATE segue_steps SET ready_at = '2001-01-01 00:00:00.000000' WHERE gate = 'timer'")
        connection.commit()


def test_a_run_waits_and_sleeps_across_a_restart_of_its_worker(segue: Segue, spawn: Spawn) -> None:
    first = begin(spawn, "worker")
    run = segue.start(waiting_tasks.edition, "a poem")
    end = time.monotonic() + PATIENCE_SECONDS
    while not run.steps(status="succeeded"):
        assert time.monotonic() < end
        time.sleep(0.01)
    first.send_signal(signal.SIGTERM)
    finish(first)
    steps = {step.name: step for step in run.steps()}
    assert {name: step.gate for name, step in steps.items()} == {
        "draft": None, "approved": Gate.EVENT, "sleep": Gate.TIMER, "publish": None
    }  # fmt: skip
    [wait] = segue.approvals.list(name="approved")
    assert (wait.run_id, wait.workflow) == (run.id, f"{waiting_tasks.__name__}.edition")
    let_sleeps_be_over(segue.url)
    second = begin(spawn, "worker")
    out, _ = finish(spawn("send", run.id, "approved", '{"by": "ann"}', "--json"))
    assert json.loads(out)["step"] == "approved"
    assert run.wait(timeout=PATIENCE_SECONDS).result() == "draft of a poem, approved by ann"
    second.send_signal(signal.SIGTERM)
    finish(second)


@pytest.mark.parametrize("command", ["dev", "worker"])
def test_who_does_the_chores_ends_what_waits_for_too_long(lone_spawn: Spawn, sqlite_url: str, command: str) -> None:
    with Segue(sqlite_url) as segue:
        working = begin(lone_spawn, command)
        run, doomed = segue.start(waiting_tasks.impatient), segue.start(waiting_tasks.doomed)
        assert run.wait(timeout=PATIENCE_SECONDS).result() == "nothing, approved by nobody"
        with pytest.raises(RunFailedError, match=r"DeadlineExceeded: it had not ended 0\.2 s after"):
            doomed.wait(timeout=PATIENCE_SECONDS).result()
        working.send_signal(signal.SIGTERM)
        finish(working)
