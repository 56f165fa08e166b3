"""`segue start`, `result`, `cancel` and `explain`, on both databases where it matters."""

from __future__ import annotations

import pytest

from segue import Segue
from segue.cli.start import value_of
from tests.unit.cli.conftest import APP, Shell


@pytest.mark.parametrize(
    "text, value",
    [
        ("3", 3),
        ('"3"', "3"),
        ("2026-11-20", "2026-11-20"),
        ("monday", "monday"),
        ("null", None),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ("[1, 2", "[1, 2"),
        ("", ""),
    ],
)
def test_arguments_are_json_or_else_strings(text: str, value: object) -> None:
    assert value_of(text) == value


def test_a_start_is_durable_and_prints_the_run(shell: Shell) -> None:
    result = shell("start", "census", "monday")
    run_id = result.stdout.split()[1]
    with Segue(shell.url) as segue:
        info = segue.get(run_id).info()
    assert (info.workflow, info.status) == (f"{APP}.census", "pending")


def test_a_key_starts_once(shell: Shell) -> None:
    assert shell.start("census", "monday", "--key", "k") == shell.start("census", "monday", "--key", "k")
    assert [run["key"] for run in shell.json("runs")] == ["k"]


def test_starts_that_are_all_kept_give_one_item_each(sqlite_shell: Shell) -> None:
    how = ("--debounce", "k", "--window", "60", "--keep", "all")
    assert sqlite_shell.start("twice", "monday", *how) == sqlite_shell.start("twice", "tuesday", *how)
    assert sqlite_shell.start("total", "3", *how) == sqlite_shell.start("total", "4", *how)


def test_run_works_it_here(shell: Shell) -> None:
    record = shell.json("start", "census", "monday", "--run")
    assert (record["status"], record["result"]) == ("succeeded", 98)
    assert shell("result", record["id"]).stdout == "98\n"
    assert shell("result", record["id"], "--json").stdout == "98\n"


def test_run_prints_the_result_for_people(sqlite_shell: Shell) -> None:
    lines = sqlite_shell("start", "census", "--arg", "day=monday", "--run").stdout.splitlines()
    assert lines[0].startswith("run ")
    assert lines[1] == "listing monday"
    assert lines[-2].startswith("✓ succeeded in ")
    assert lines[-1] == "98"


def test_a_result_is_json_whatever_its_type(sqlite_shell: Shell) -> None:
    record = sqlite_shell.json("start", "weigh", "2.5", "--run")
    assert record["result"] == {"weight": 2.5}
    assert sqlite_shell("result", record["id"]).stdout == '{"weight":2.5}\n'


def test_a_failed_run_tells_the_error_and_exits_with_1(shell: Shell) -> None:
    result = shell("start", "failing", "no luck", "--run", exit_code=1)
    assert "fail failed with ValueError: no luck" in result.stdout
    run_id = result.stdout.split()[1]
    assert "fail failed with ValueError: no luck" in shell("result", run_id, exit_code=1).stderr
    record = shell.json("start", "failing", "again", "--run", exit_code=1)
    assert record["error"] == {"step": "fail", "type": "ValueError", "message": "again"}


def test_waiting_ends_with_the_reason(sqlite_shell: Shell) -> None:
    result = sqlite_shell("start", "delayed", "--wait", "--timeout", "0.01", exit_code=1)
    assert "delayed until" in result.stderr


@pytest.mark.parametrize(
    "words, message",
    [
        (("census",), "not given day"),
        (("census", "a", "b"), "call it as census(day: str)"),
        (("nope",), "No workflow or task is named 'nope'"),
        (("0xyzzy0",), "Known here: "),
        (("census", "--arg", "day"), "--arg takes NAME=VALUE"),
        (("census", "a", "--run", "--timeout", "1"), "--timeout needs --wait"),
    ],
)
def test_misuse_is_told_and_starts_nothing(sqlite_shell: Shell, words: tuple[str, ...], message: str) -> None:
    assert message in sqlite_shell("start", *words, exit_code=2).stderr
    assert sqlite_shell.json("runs") == []


def test_a_cancelled_run_never_runs(shell: Shell) -> None:
    first, second = shell.start("census", "a"), shell.start("census", "b")
    assert shell.json("cancel", first, second) == [
        {"id": first, "status": "cancelled", "changed": True},
        {"id": second, "status": "cancelled", "changed": True},
    ]
    assert "no change: it has ended" in shell("cancel", first).stdout
    assert "cancelled" in shell("result", first, exit_code=1).stderr


def test_cancel_goes_on_after_a_run_that_is_not_there(sqlite_shell: Shell) -> None:
    run_id = sqlite_shell.start("census", "a")
    result = sqlite_shell("cancel", "77", run_id, exit_code=1)
    assert "77" in result.stderr
    assert sqlite_shell.json("runs")[0]["status"] == "cancelled"


def test_explain_says_what_is_missing(shell: Shell) -> None:
    run_id = shell.start("census", "a")
    explained = shell.json("explain", run_id)
    assert (explained["id"], explained["status"]) == (run_id, "pending")
    assert [reason["code"] for reason in explained["reasons"]] == ["no_worker"]
    text = shell("explain", run_id).stdout
    assert "list_paths: is ready, but no worker is running" in text


def test_explain_takes_a_step_by_name_or_number(shell: Shell) -> None:
    run_id = shell.start("census", "a")
    for name in ("total", "2", "#2"):
        [reason] = shell.json("explain", run_id, name)["reasons"]
        assert (reason["code"], reason["step"]) == ("blocked", "total")
    assert "has no step 'nothing'" in shell("explain", run_id, "nothing", exit_code=1).stderr


def test_explain_of_a_run_that_is_over(sqlite_shell: Shell) -> None:
    run_id = sqlite_shell.start("failing", "no luck", "--run", exit_code=1)
    assert [reason["code"] for reason in sqlite_shell.json("explain", run_id)["reasons"]] == ["final"]
    assert "ValueError: no luck" in sqlite_shell("explain", run_id).stdout
