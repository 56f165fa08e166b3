"""`segue.remote` against a real `segue web`, which has none of the code, and a real worker, which has it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from segue import Segue
from segue.errors import (
    ConfigError,
    NotFinishedError,
    PlanError,
    RunFailedError,
    RunNotFoundError,
    RunStateError,
    ScheduleNotFoundError,
    StepNotFoundError,
    StoreUnavailableError,
    UnknownTaskError,
    WaitTimeoutError,
)
from segue.remote import Remote, RemoteError, RemoteRun
from tests.crash.worker_processes import eventually

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
TASKS = "tests.system.remote_tasks"


class Office:
    """A database, a server of it, and workers."""

    def __init__(self, url: str) -> None:
        self.segue = Segue(url)
        self._started: list[subprocess.Popen[str]] = []
        server = self.hire("web", "--port", "0")
        assert server.stdout is not None
        said = server.stdout.readline()
        self.server = server
        self.remote = Remote(said.split()[3].rstrip("/"))

    def hire(self, *words: str) -> subprocess.Popen[str]:
        paths = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
        environment = os.environ | {"SEGUE_DATABASE_URL": self.segue.url, "PYTHONPATH": paths}
        command = [sys.executable, "-m", "segue", *words]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self._started.append(process)
        return process

    def close(self) -> None:
        for process in self._started:
            process.terminate()
        for process in self._started:
            process.wait(10)
        self.remote.close()
        self.segue.close()


@pytest.fixture
def office(database_url: str) -> Iterator[Office]:
    office = Office(database_url)
    yield office
    office.close()


def test_a_program_works_with_a_server(office: Office) -> None:
    remote = office.remote
    with pytest.raises(UnknownTaskError):
        remote.start("halves", "2026-11-20")
    office.hire("worker", "-A", TASKS, "-c", "1", "--pool", "thread")
    run = started_when_known(remote, "halves", "2026-11-20", 3, 8)
    assert remote.start("halves", "2026-11-20", 3, 8, key="k").is_new is False
    infos = [info.status.value for info in run.follow()]
    assert infos[-1] == "succeeded"
    assert run.wait(30).result() == [1.5, 4.0]
    assert [step.name for step in run.steps()] == ["halve[0]", "halve[1]"]
    info = run.info()
    assert (info.workflow, info.key, info.tags, info.metadata) == (f"{TASKS}.halves", "k", ("a",), {"n": 1})
    assert info == office.segue.get(run.id).info()
    assert run.step("halve[1]").info() == office.segue.get(run.id).step("halve[1]").info()
    assert remote.get(run.id[-8:]).id == run.id
    assert [found.id for found in remote.runs(tag="a", metadata={"n": 1}, newer_than=timedelta(days=1))] == [run.id]
    refused(remote, run)
    steered(remote)
    assert {worker.pool for worker in remote.workers()} == {"thread"}
    assert {each.name.rpartition(".")[2] for each in remote.definitions()} >= {"halves", "alone"}


def refused(remote: Remote, run: RemoteRun) -> None:
    """Errors are those that `Segue` raises."""
    for error, ask in (
        (RunNotFoundError, lambda: remote.get("no-such-run")),
        (StepNotFoundError, lambda: run.step("nothing").info()),
        (RunStateError, lambda: run.send("approved")),
        (RunStateError, lambda: run.step("halve[0]").mark(7)),
        (PlanError, lambda: remote.start("halves")),
        (PlanError, lambda: remote.start("alone", "a", wrong=1)),
        (ConfigError, lambda: remote.start("halves", "2026-11-20", tags=[""])),
        (ScheduleNotFoundError, lambda: remote.schedules.get("none")),
        (ConfigError, lambda: remote.limits.set("x")),
        (RemoteError, lambda: remote.limits.remove("none")),
        (RemoteError, lambda: remote.call("GET", "nothing/here")),
        (RemoteError, lambda: remote.start("segue.shell", "id")),
        (ConfigError, lambda: Remote("ftp://example.org")),
        (StoreUnavailableError, lambda: Remote("http://127.0.0.1:9", timeout=1.0).get("x")),
    ):
        with pytest.raises(error):
            ask()  # type: ignore[no-untyped-call]
    with pytest.raises(PlanError) as caught:
        remote.start("halves")
    assert [problem.what for problem in caught.value.problems] == ["it is not given day"]


def steered(remote: Remote) -> None:
    """The verbs, on runs and steps."""
    run = remote.start("spending", 12)
    with pytest.raises(WaitTimeoutError):
        run.wait(0.3)
    with pytest.raises(NotFinishedError):
        run.result()
    waits = eventually(lambda: remote.approvals.list(name="approved"))
    assert [wait.run_id for wait in waits] == [run.id]
    assert (run.pause(reason="later"), run.resume(), run.send("approved", {"by": "ann"}, key="1").is_new) == (
        "paused", "running", True,
    )  # fmt: skip
    assert run.wait(30).result() == "12 for ann"
    assert {event.kind for event in run.events()} >= {"run.paused", "run.resumed", "run.sent"}
    failed = remote.start("halves", "2026-11-20", -1, 4).wait(30)
    with pytest.raises(RunFailedError):
        failed.result()
    assert failed.attempts()[0].error.type == "ValueError"  # type: ignore[union-attr]
    assert failed.step("halve[0]").edit(5) == "failed"
    failed.retry(reason="corrected")
    assert failed.wait(30).result() == [2.5, 2.0]
    fork = failed.fork("halve[0]", args=[9], key="f")
    assert (fork.wait(30).result(), failed.fork("halve[0]", args=[9], key="f").is_new) == ([4.5, 2.0], False)
    broken = remote.start("broken", 1).wait(30)
    assert broken.info().error.type == "ZeroDivisionError"  # type: ignore[union-attr]
    for _ in range(3):
        remote.start("spending", 1, tags=["many"])
    chosen = remote.select(tag="many")
    assert chosen.preview("cancel")["count"] == 3
    assert chosen.cancel(reason="enough").wait(30).result()["changed"] == 3
    remote.limits.set("queue:net", concurrency=2)
    assert [limit.concurrency for limit in remote.limits.list() if limit.name == "queue:net"] == [2]


def started_when_known(remote: Remote, *words: Any) -> RemoteRun:
    """Start it as soon as the worker has said what it defines."""

    def started() -> RemoteRun | None:
        with contextlib.suppress(UnknownTaskError):
            return remote.start(*words, key="k", tags=["a"], metadata={"n": 1})
        return None

    run: RemoteRun = eventually(started)
    return run
