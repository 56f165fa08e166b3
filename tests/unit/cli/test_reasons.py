"""What holds a run back stands where people look first: `segue runs`, `segue show`, and the log of `segue dev`."""

from __future__ import annotations

import logging

import pytest

from segue import Segue, sleep, task, wait_for, workflow
from segue.cli.board import LogBoard, Moment
from segue.cli.options import Setup
from segue.cli.reasons import main_reason
from segue.client.views import Reason
from segue.engine.identity import WorkerIdentity
from tests.unit.cli.conftest import Shell


@task
def plain() -> int:
    return 1


@task(queue="hpc")
def far() -> int:
    return 1


@task(retries=1, retry_delay=3600.0)
def flaky() -> int:
    raise OSError("disk full")


@workflow
def asks() -> object:
    return wait_for("approved")


@workflow
def resting() -> object:
    return sleep(3600)


@pytest.fixture
def segue(database_url: str) -> Segue:
    return Segue(database_url)


@pytest.fixture
def worker(segue: Segue) -> None:
    """A worker on the default queue that knows the tasks of this file, and takes nothing."""
    names = (plain.name, flaky.name, far.name, "segue.wait_for", "segue.sleep")
    identity = WorkerIdentity(segue.engine.new_id(), "here", ("default",), names, 60.0)
    segue.engine.register(identity, pool="none", concurrency=1, version="0")


@pytest.mark.usefixtures("worker")
def test_runs_says_what_each_waits_for(shell: Shell, segue: Segue) -> None:
    waits = {asks: "waits for message", resting: "sleeping", far: "! no worker on queue", plain: "workers busy"}
    ids = {segue.start(work).id: words for work, words in waits.items()}
    lines = {line.split()[0]: line for line in shell("runs").stdout.splitlines()[1:]}
    for id_, words in ids.items():
        assert words in lines[id_[-8:]]
    assert {run["status"] for run in shell.json("runs")} <= {"running", "pending"}  # programs get the status


@pytest.mark.usefixtures("worker")
def test_show_says_in_a_line_why_nothing_runs(shell: Shell, segue: Segue) -> None:
    run_id = segue.start(far).id
    assert "! far: is ready, but no worker works on queue 'hpc'; start one: " in shell("show", run_id).stdout
    shell("cancel", run_id)
    assert "no worker" not in shell("show", run_id).stdout


def test_commands_in_reasons_name_the_database_if_the_command_did(segue: Segue, shell: Shell) -> None:
    if "sqlite" not in segue.url:
        return  # a URL with a password is not repeated
    run_id = segue.start(asks).id
    said = " ".join(shell("show", run_id, "--database", segue.url, SEGUE_DATABASE_URL="").stdout.split())
    assert f"segue --database {segue.url} send {run_id[-8:]} approved" in said


def test_a_failed_run_ends_with_the_commands_that_help(shell: Shell) -> None:
    run_id = shell.start("failing", "no luck")
    shell("worker", "--burst", "--pool", "thread")
    for words in (("show", run_id), ("explain", run_id)):
        last = shell(*words).stdout.splitlines()[-2:]
        assert [line.partition(": ")[2] for line in last] == [
            f"segue show {run_id[-8:]} --attempts", f"segue retry {run_id[-8:]}",
        ]  # fmt: skip
    assert "segue retry" not in shell("explain", run_id, "--json").stdout


def test_dev_logs_once_what_only_a_person_can_remove(segue: Segue, caplog: pytest.LogCaptureFixture) -> None:
    run = segue.start(plain)
    board = LogBoard()
    with caplog.at_level(logging.WARNING, "segue.dev"):
        for _ in range(3):
            board.show(Moment.at(Setup(), segue, in_detail=True))
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"run {run.id} waits: plain: is ready, but no worker is running")


@pytest.mark.parametrize(
    "codes, main",
    [
        (["delayed", "no_worker"], "no_worker"),
        (["waiting_for_event", "running"], None),
        (["paused", "running"], "paused"),
        (["limited", "blocked"], "limited"),
        (["final"], None),
        (["something_new"], "something_new"),
        ([], None),
    ],
)
def test_the_main_reason_is_the_one_that_a_person_must_remove(codes: list[str], main: str | None) -> None:
    found = main_reason([Reason(code, None, "") for code in codes])
    assert (found.code if found else None) == main


@pytest.mark.usefixtures("worker")
def test_workers_counts_the_tasks_of_the_user_as_the_banner_does(shell: Shell) -> None:
    [heading, line] = shell("workers").stdout.splitlines()
    assert heading.split()[4] == "tasks"
    assert line.split()[:7] == ["here", "running", "none", "×", "1", "default", "3"]  # and two of Segue's own
