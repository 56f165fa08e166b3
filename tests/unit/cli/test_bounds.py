"""`segue show` tells a run's deadline and its limit; `start` tells a run that was there already."""

from __future__ import annotations

from datetime import datetime, timedelta

from segue import Segue
from segue.engine.alarms import ring_alarms
from segue.model import RunStatus
from tests.unit.cli import shop_tasks
from tests.unit.cli.conftest import Shell

LIMIT = "workflow:tests.unit.cli.shop_tasks.rationed"


def test_a_deadline_is_shown_until_the_run_is_over(shell: Shell) -> None:
    run_id = shell.start("delayed", "--deadline", "90m")
    record = shell.json("show", run_id)["run"]
    deadline = datetime.fromisoformat(record["deadline"])
    assert deadline - datetime.fromisoformat(record["created_at"]) == timedelta(minutes=90)
    assert f"{deadline:%H:%M:%S} UTC (in 1 h " in shell("show", run_id).stdout
    assert shell.json("runs")[0]["deadline"] == record["deadline"]
    shell("cancel", run_id)
    assert shell.json("show", run_id)["run"]["deadline"] is None
    assert "deadline" not in shell("show", run_id).stdout.splitlines()[3]


def test_a_deadline_that_has_passed_says_so_until_somebody_ends_the_run(shell: Shell) -> None:
    run_id = shell.start("delayed", "--deadline", "0.000001")
    assert "(passed; the process that does the chores ends it)" in shell("show", run_id).stdout
    with Segue(shell.url) as segue:
        segue.engine.act(ring_alarms)
        info = segue.get(run_id).info()
    assert (info.status, info.deadline) == (RunStatus.FAILED, None)


def test_a_run_without_either_says_nothing_of_them(shell: Shell) -> None:
    run_id = shell.start("delayed")
    record = shell.json("show", run_id)["run"]
    assert [record[name] for name in ("deadline", "limit_name", "limit_key", "admitted_at")] == [None] * 4
    text = shell("show", run_id).stdout
    assert "deadline" not in text
    assert "limit" not in text


def test_the_place_that_a_run_has_or_waits_for_is_shown(shell: Shell) -> None:
    first, second = shell.start("rationed", "north"), shell.start("rationed", "north")
    record, waiting = (shell.json("show", run_id)["run"] for run_id in (first, second))
    assert (record["limit_name"], record["limit_key"]) == (LIMIT, "north")
    assert (record["admitted_at"] is None, waiting["admitted_at"]) == (False, None)
    assert f"limit {LIMIT} for north, has had a place since " in shell("show", first).stdout
    assert f"limit {LIMIT} for north, waits for a place" in shell("show", second).stdout
    shell("cancel", first)
    assert "limit " not in shell("show", first).stdout
    assert "has had a place" in shell("show", second).stdout


def test_a_key_that_has_a_run_is_told(shell: Shell) -> None:
    made = shell.json("start", "census", "monday", "--key", "k")
    again = shell.json("start", "census", "tuesday", "--key", "k")
    assert (made["is_new"], again["is_new"], again["id"]) == (True, False, made["id"])
    told = shell("start", "census", "tuesday", "--key", "k").stdout
    assert told == f"run {made['id']} was there already under key k\n"
    assert "was there" not in shell("start", "census", "monday", "--key", "other").stdout
    assert shell.json("start", "census", "monday")["is_new"] is True


def test_starts_that_are_put_together_are_told_too(sqlite_shell: Shell) -> None:
    how = ("start", "census", "monday", "--debounce", "k", "--window", "1h")
    run_id = sqlite_shell.json(*how)["id"]
    assert sqlite_shell(*how).stdout == f"run {run_id} was there already under key k\n"


def test_many_starts_say_which_are_new(shell: Shell) -> None:
    with Segue(shell.url) as segue:
        runs = segue.start_many(shop_tasks.census, [("a",), ("b",), ("a",)], keys=["a", "b", "a"])
        assert [run.is_new for run in runs] == [True, True, False]
        assert [run.is_new for run in segue.start_many(shop_tasks.census, [("b",), ("c",)], keys=["b", "c"])] == [
            False,
            True,
        ]
        assert segue.get(runs[0].id).is_new is None
