"""`segue retry`, `fork`, `skip`, `mark` and `edit`: what they take, what they print, and when they fail."""

from __future__ import annotations

import json
from typing import Any

import pytest

from segue import Segue
from segue.worker.inline import work_run
from tests.unit.cli.conftest import APP, Shell


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
    assert "fail: no change" in shell("skip", run_id, "fail").output
    assert "marked as succeeded" in shell("mark", run_id, "fail", "39").output
    work(shell, run_id)
    assert shell("result", run_id).output.strip() == "42"
    assert "succeeded with another result" in shell("mark", run_id, "fail", "40", exit_code=1).output
    assert "it succeeded" in shell("skip", run_id, "fail", exit_code=1).output
    assert [kind for kind, _ in events(shell, run_id)] == ["step.marked", "step.skipped_by_hand"]


def test_edit_and_fork_read_arguments_as_start_does(shell: Shell) -> None:
    run_id = failed_run(shell)
    assert "has new arguments" in shell("edit", run_id, "fail", "3").output
    with Segue(shell.url) as segue:
        found = segue.events.list(run_id)[0]
        about = segue.get(run_id).step("fail").info()
        with segue.engine.reading() as tx:
            args = tx.all("step_arguments", run_id=run_id, step=about.step)[0][4]
    assert args == '[["3"],{}]'  # a text, as the task annotates it
    assert found.detail["changed"] == ["reason"]
    assert "before" not in found.detail  # a secret that is edited away is gone
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
    again = shell.json("fork", run_id, "count", "--key", "six")
    assert (again["id"], again["is_new"], forked["is_new"]) == (forked["id"], False, True)
    assert (
        f"run {forked['id']} was there already under key six" in shell("fork", run_id, "count", "--key", "six").stdout
    )
    work(shell, forked["id"])
    assert step(shell, forked["id"], "count")["status"] == "succeeded"
    assert shell("fork", run_id, "count").output.startswith("run ")
    assert "cannot tell one run from another" in shell("fork", run_id, "count", "--key", "", exit_code=2).output


def test_after_an_edit_of_what_failed_the_next_command_is_told(shell: Shell) -> None:
    run_id = failed_run(shell)
    assert shell("edit", run_id, "fail", "3").stdout.splitlines()[1] == f"  segue retry {run_id}"


@pytest.mark.parametrize("app", [APP, ""])
def test_a_named_argument_replaces_one_that_was_given_by_position(shell: Shell, app: str) -> None:
    """Also where the command does not know the task, and cannot know which one that is."""
    run_id = shell.start("scaling", "abc", "--run")
    assert shell("result", run_id).stdout == "6.0\n"
    forked = json.loads(
        shell("fork", run_id, "scaled", "--arg", "rate=3.0", "--arg", "offset=1", "--json", SEGUE_APP=app).stdout
    )["id"]
    work(shell, forked)
    assert shell("result", forked).stdout == "10.0\n"
    again = json.loads(shell("fork", run_id, "scaled", "--arg", "count=10", "--json", SEGUE_APP=app).stdout)["id"]
    work(shell, again)
    assert shell("result", again).stdout == "20.0\n"  # the result of another step does not stand there any more


def test_what_is_given_twice_in_one_command_is_still_refused(shell: Shell) -> None:
    run_id = shell.start("scaling", "abc", "--run")
    refused = shell("fork", run_id, "scaled", "1", "2.0", "--arg", "rate=3.0", exit_code=2).stderr
    assert "it is given rate twice, by position and by name" in refused


def test_a_fork_is_given_metadata(shell: Shell) -> None:
    run_id = shell.start("scaling", "abc", "--meta", "customer=42", "--meta", "region=eu", "--run")
    forked = shell.json("fork", run_id, "scaled", "--meta", "region=us", "--meta", "try=2")
    assert forked["metadata"] == {"customer": 42, "region": "us", "try": 2}
    assert [run["id"] for run in shell.json("runs", "--meta", "region=us")] == [forked["id"]]
    assert shell.json("show", run_id)["run"]["metadata"] == {"customer": 42, "region": "eu"}
    assert "--meta takes KEY=VALUE" in shell("fork", run_id, "scaled", "--meta", "x", exit_code=2).stderr
