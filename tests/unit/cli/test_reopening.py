"""`segue retry`, `fork`, `skip`, `mark` and `edit`: what they take, what they print, and when they fail."""

from __future__ import annotations

from typing import Any

import pytest

from segue import Segue
from segue.worker.inline import work_run
from tests.unit.cli.conftest import Shell


@pytest.fixture
def shell(sqlite_url: str) -> Shell:
    return Shell(sqlite_url)


def work(shell: Shell, run_id: str) -> None:
    """Work a run in this process, until nothing of it is left."""
    with Segue(shell.url) as segue:
        work_run(segue.engine, run_id)


def failed_run(shell: Shell) -> str:
    return shell.start("failing", "no luck", "--run", exit_code=1)


def step(shell: Shell, run_id: str, name: str) -> Any:
    return next(step for step in shell.json("show", run_id, "--all")["steps"] if step["name"] == name)


def events(shell: Shell, run_id: str) -> list[tuple[str, Any]]:
    with Segue(shell.url) as segue:
        found = segue.events.list(run_id)
    return [(event.kind, event.detail) for event in found]


def test_retry_runs_what_failed_again(shell: Shell) -> None:
    run_id = failed_run(shell)
    [record] = shell.json("retry", run_id, "--reason", "the disk is back")
    assert record == {"id": run_id, "status": "running", "changed": True}
    assert "nothing failed in it" in shell("retry", run_id).output
    work(shell, run_id)
    assert (step(shell, run_id, "fail")["attempt"], step(shell, run_id, "count")["attempt"]) == (4, 1)
    kind, detail = events(shell, run_id)[0]
    assert (kind, detail["reason"]) == ("run.retried", "the disk is back")
    assert "@" in detail["actor"]


def test_retry_chooses_failed_runs_by_filters(shell: Shell) -> None:
    failed, done = failed_run(shell), shell.start("census", "2026-11-20", "--run")
    waiting = shell.start("delayed")
    shell("cancel", waiting)
    assert "1 run would be retried" in shell("retry", "--newer-than", "1d", "--dry-run").output
    [record] = shell.json("retry", "--newer-than", "1d")
    assert (record["id"], record["changed"]) == (failed, True)
    assert [found["id"] for found in shell.json("retry", "--status", "cancelled")] == [waiting]
    assert shell.json("retry", done) == [{"id": done, "status": "succeeded", "changed": False}]


def test_retry_from_a_step(shell: Shell) -> None:
    run_id = shell.start("census", "2026-11-20", "--run")
    [record] = shell.json("retry", run_id, "--from", "total")
    assert record["changed"]
    work(shell, run_id)
    assert {s["name"]: s["attempt"] for s in shell.json("show", run_id, "--all")["steps"] if s["task"]}["total"] == 2
    number = step(shell, run_id, "list_paths")["step"]
    shell("retry", run_id, "--from", str(number))
    assert {s["name"] for s in shell.json("show", run_id, "--all")["steps"]} == {"list_paths", "count.map", "total"}
    shell("retry", run_id, "--from", "nobody", exit_code=1)


def test_skip_and_mark(shell: Shell) -> None:
    run_id = failed_run(shell)
    record = shell.json("skip", run_id, "fail")
    assert (record["changed"], record["name"], record["step_status"]) == (True, "fail", "skipped")
    assert "it was so already" in shell("skip", run_id, "fail").output
    assert "marked as succeeded" in shell("mark", run_id, "fail", "39").output
    work(shell, run_id)
    assert shell("result", run_id).output.strip() == "42"
    assert "succeeded with another result" in shell("mark", run_id, "fail", "40", exit_code=1).output
    assert "it succeeded" in shell("skip", run_id, "fail", exit_code=1).output
    assert [kind for kind, _ in events(shell, run_id)] == ["step.marked", "step.skipped_by_hand"]


def test_edit_and_fork_read_arguments_as_start_does(shell: Shell) -> None:
    run_id = failed_run(shell)
    assert "has other arguments" in shell("edit", run_id, "fail", "3").output
    with Segue(shell.url) as segue:
        found = segue.events.list(run_id)[0]
    assert found.detail["after"] == [["3"], {}]  # a text, as the task annotates it
    assert "Give the new arguments" in shell("edit", run_id, "fail", exit_code=2).output
    problem = shell("edit", run_id, "fail", "--arg", "why=2", exit_code=2).output
    assert "Call it as fail(reason: str)" in problem
    forked = shell.json("fork", run_id, "count", "abcdef", "--key", "six", "--tag", "again")
    assert (forked["status"], forked["key"], forked["forked_from"], forked["tags"]) == (
        "pending",
        "six",
        run_id,
        ["again"],
    )
    assert shell.json("fork", run_id, "count", "--key", "six")["id"] == forked["id"]
    work(shell, forked["id"])
    assert step(shell, forked["id"], "count")["status"] == "succeeded"
    assert "show" in shell("fork", run_id, "count").output
    assert "cannot tell one run from another" in shell("fork", run_id, "count", "--key", "", exit_code=2).output


def test_after_an_edit_of_what_failed_the_next_command_is_told(shell: Shell) -> None:
    run_id = failed_run(shell)
    assert shell("edit", run_id, "fail", "3").stdout.splitlines()[1] == f"segue retry {run_id}"
