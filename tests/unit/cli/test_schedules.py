"""`segue schedules` and `segue retention`: what is typed, what is printed, what is refused."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from segue import Segue
from segue.cli import printing
from segue.cli.schedule_editing import create_command, update_command
from segue.cli.schedule_looking import ticks_table
from segue.model import short_id
from segue.scheduler.firing import fire_due
from segue.scheduler.looking import TickInfo
from tests.unit.cli import shop_tasks
from tests.unit.cli.conftest import Shell

NIGHTLY = ("--schedule", "0 2 * * *", "--timezone", "Europe/Paris")
CENSUS = f"{shop_tasks.__name__}.census"


def test_a_schedule_is_made_looked_at_changed_and_removed(shell: Shell) -> None:
    made = shell.json("schedules", "create", "nightly", "census", *NIGHTLY, "--jitter", "5min", "--tag", "mine")
    assert (made["name"], made["workflow"], made["schedule"]) == ("nightly", CENSUS, "0 2 * * *")
    assert (made["timezone"], made["jitter"], made["tags"], made["source"]) == ("Europe/Paris", 300.0, ["mine"], "api")
    assert (made["overlap"], made["catch_up"], made["catch_up_window"]) == ("skip", "latest", None)
    assert made["next_tick"].endswith("+00:00")
    assert made["next_tick_local"][10:19] == "T02:00:00"
    assert shell.json("schedules", "list") == [made]
    assert shell.json("schedules", "list", "--workflow", "other") == []
    changed = shell.json(
        "schedules", "update", "nightly", "--schedule", "every 30 minutes", "--overlap", "queue_one",
        "--catch-up", "all", "--catch-up-window", "6h", "--starts-at", "2026-01-01", "--ends-at", "2090-01-01",
    )  # fmt: skip
    assert (changed["schedule"], changed["timezone"], changed["overlap"]) == (
        "every 30 minutes",
        "Europe/Paris",
        "queue_one",
    )
    assert (changed["catch_up"], changed["catch_up_window"], changed["jitter"]) == ("all", 21600.0, 300.0)
    assert (changed["starts_at"], changed["ends_at"]) == (
        "2025-12-31T23:00:00+00:00",
        "2090-01-01T22:59:59.999999+00:00",
    )
    freed = shell.json("schedules", "update", "nightly", "--ends-at", "none", "--catch-up-window", "none")
    assert (freed["ends_at"], freed["catch_up_window"], freed["starts_at"]) == (None, None, changed["starts_at"])
    assert shell.json("schedules", "deactivate", "nightly")["is_active"] is False
    assert "inactive" in shell("schedules", "list").stdout
    assert "inactive" in shell("schedules", "next", "nightly").stdout
    assert shell.json("schedules", "activate", "nightly")["is_active"] is True
    assert shell.json("schedules", "remove", "nightly") == {"name": "nightly", "did": "remove"}
    assert "There are no schedules" in shell("schedules", "list").stdout


def test_next_ticks_are_told_in_utc_and_in_the_schedules_zone(shell: Shell) -> None:
    shell("schedules", "create", "nightly", "census", *NIGHTLY)
    ticks = shell.json("schedules", "next", "nightly", "-n", "3")
    assert len(ticks) == 3
    assert {tick["local"][10:19] for tick in ticks} == {"T02:00:00"}
    assert [datetime.fromisoformat(tick["tick"]) for tick in ticks] == [
        datetime.fromisoformat(tick["local"]) for tick in ticks
    ]
    printed = shell("schedules", "next", "nightly").stdout
    assert len(printed.splitlines()) == 6
    assert "02:00:00 CE" in printed


def test_show_tells_everything(shell: Shell) -> None:
    shell("schedules", "create", "poll", "count", "a.txt", "--schedule", "every 30s", "--catch-up-window", "1h")
    run_id = shell.json("schedules", "run", "poll", "--key", "today")["run"]
    assert shell.json("schedules", "run", "poll", "--key", "today")["run"] == run_id
    printed = shell("schedules", "show", "poll").stdout
    for words in ("count('a.txt')", "every 30 seconds", "latest, within 1 h 00 min", short_id(run_id), "next ticks"):
        assert words in printed
    shown = shell.json("schedules", "show", "poll")
    assert (len(shown["next"]), [tick["run"] for tick in shown["ticks"]]) == (5, [run_id])
    assert shown["ticks"] == shell.json("schedules", "ticks", "poll")
    assert short_id(run_id) in shell("schedules", "ticks", "poll").stdout


def test_arguments_are_read_as_start_reads_them(shell: Shell) -> None:
    made = shell.json("schedules", "create", "wide", "wide", "--arg", "size=3", "--schedule", "@daily", "--inactive")
    assert (made["arguments"], made["is_active"]) == ([[], {"size": 3}], False)
    counting = f"{shop_tasks.__name__}.counting"
    assert shell.json("schedules", "create", "chain", counting, "--schedule", "@daily")["workflow"] == "chain"
    refused = shell("schedules", "create", "other", counting, "1", "--schedule", "@daily", exit_code=2)
    assert "has its arguments already" in refused.stderr


def test_a_backfill_is_tried_and_done(shell: Shell) -> None:
    shell("schedules", "create", "nightly", "census", *NIGHTLY, "--inactive")
    stretch = ("--since", "2026-03-01", "--until", "2026-03-04")
    planned = shell.json("schedules", "backfill", "nightly", *stretch, "--dry-run")
    assert [tick["tick"] for tick in planned] == [f"2026-03-0{day}T01:00:00+00:00" for day in range(1, 5)]
    assert {tick["status"] for tick in planned} == {"planned"}
    assert "4 ticks would start" in shell("schedules", "backfill", "nightly", *stretch, "--dry-run").stdout
    assert shell.json("runs") == []
    done = shell.json("schedules", "backfill", "nightly", *stretch, "--overlap", "allow")
    assert [tick["run"] for tick in done] == [run["id"] for run in shell.json("runs")][::-1]
    later = shell("schedules", "backfill", "nightly", "--since", "2026-03-04", "--until", "2026-03-05 12:00").stdout
    assert [line.split()[0] for line in later.splitlines()[1:]] == ["2026-03-04", "2026-03-05"]
    assert "queued" in later


def test_what_is_overdue_says_why(shell: Shell) -> None:
    shell("schedules", "create", "nightly", "census", *NIGHTLY)
    with Segue(shell.url) as segue, segue.engine.store.transaction() as tx:
        tx.all(
            "advance_schedule", name="nightly", next_tick=datetime(2026, 1, 1, 1, tzinfo=UTC),
            due_at=datetime(2026, 1, 1, 1, tzinfo=UTC), queued=False,
        )  # fmt: skip
    assert "overdue: no process does the chores" in shell("schedules", "list").stdout
    with Segue(shell.url) as segue:
        assert fire_due(segue.engine) == 1
    listed = shell("schedules", "list").stdout
    assert "overdue" not in listed
    assert "pending" in listed


def test_what_is_wrong_is_said_with_its_exit_code(sqlite_shell: Shell) -> None:
    for words in (("show", "x"), ("next", "x"), ("ticks", "x"), ("run", "x"), ("remove", "x"), ("activate", "x")):
        assert "There is no schedule 'x'" in sqlite_shell("schedules", *words, exit_code=1).stderr
    wrong = {
        ("--schedule", "61 * * * *"): "minute",
        ("--schedule", "@daily", "--timezone", "Europe/Pariss"): "Europe/Paris",
        ("--schedule", "@daily", "--starts-at", "soon"): "is not a date or time",
        ("--schedule", "@daily", "--jitter", "much"): "is not a duration",
        ("--schedule", "@daily", "--ends-at", "2020-01-01"): "no tick after now",
    }
    for words, text in wrong.items():
        assert text in sqlite_shell("schedules", "create", "x", "census", *words, exit_code=2).stderr
    sqlite_shell("schedules", "create", "x", "census", *NIGHTLY)
    assert "No change was given" in sqlite_shell("schedules", "update", "x", exit_code=2).stderr
    assert "already" in sqlite_shell("schedules", "create", "x", "census", *NIGHTLY, exit_code=2).stderr
    assert "not ticked yet" in sqlite_shell("schedules", "ticks", "x").stdout


# Retention ------------------------------------------------------------------------------------------------------------


def test_rules_are_made_listed_and_removed(shell: Shell) -> None:
    assert "30 d  " in shell("retention", "list").stdout
    assert shell.json("retention", "list") == []
    rule = {"workflow": CENSUS, "status": "failed", "max_age_seconds": None, "max_count": 10}
    options = ("--workflow", CENSUS, "--status", "failed")
    assert shell.json("retention", "set", *options, "--max-age", "forever", "--max-count", "10") == rule
    assert shell("retention", "set", "--max-age", "2d").stdout == "all workflows, all statuses: kept for 2 d\n"
    assert [found["workflow"] for found in shell.json("retention", "list")] == ["", CENSUS]
    assert "10 runs" in shell("retention", "list").stdout
    assert shell.json("retention", "remove", *options) == {"removed": True}
    assert "no such rule" in shell("retention", "remove", *options, exit_code=1).stderr


def test_a_sweep_deletes_what_is_due(shell: Shell) -> None:
    shell("start", "count", "abc", "--run")
    assert shell.json("retention", "sweep") == {"deleted": 0}
    shell("retention", "set", "--max-age", "0s")
    assert (
        shell("retention", "sweep").stdout == "2 runs, ticks and events deleted\n"
    )  # that the rule was set is an event
    assert shell.json("runs") == []


@pytest.mark.parametrize("words", [("--max-age", "soon"), ("--max-age", "1d", "--status", "running"), ()])
def test_rules_that_make_no_sense_are_refused(sqlite_shell: Shell, words: tuple[str, ...]) -> None:
    sqlite_shell("retention", "set", *words, exit_code=2)


def test_in_a_narrow_terminal_names_stay_whole(sqlite_shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printing, "PLAIN_WIDTH", 80)
    sqlite_shell("schedules", "create", "nightly-report", "census", *NIGHTLY)
    head, first = sqlite_shell("schedules", "list").stdout.splitlines()[:2]
    assert head.split() == ["name", "when", "next", "(UTC)", "last"]
    assert first.split()[0] == "nightly-report"
    run_id = sqlite_shell.json("schedules", "run", "nightly-report")["run"]
    line = sqlite_shell("schedules", "ticks", "nightly-report").stdout.splitlines()[1]
    assert line.endswith(short_id(run_id))


def test_a_reason_names_a_run_as_shortly_as_its_own_column(sqlite_shell: Shell) -> None:
    ids = ("01a1fd5b-bc1a-706e-a246-883397e29a24", "01a1fd5b-f0cc-7148-955b-86105dcf8eb2")
    moment = datetime(2026, 11, 21, tzinfo=UTC)
    ticks = [
        TickInfo(moment, "started", run_id=ids[0], run_status="running"),
        TickInfo(moment, "skipped", reason=f"run {ids[1]} has not ended"),
    ]
    out = Console(file=io.StringIO(), width=100)
    out.print(ticks_table(ticks, "UTC"))
    assert isinstance(out.file, io.StringIO)
    assert [line.split("UTC  ")[1].split(maxsplit=1)[-1].strip() for line in out.file.getvalue().splitlines()[1:]] == [
        f"running  {short_id(ids[0])}",
        f"run {short_id(ids[1])} has not ended",
    ]


def test_update_promises_no_defaults(sqlite_shell: Shell) -> None:
    assert "[default: skip]" in sqlite_shell("schedules", "create", "--help").stdout
    assert "[default:" not in sqlite_shell("schedules", "update", "--help").stdout
    made = {option.name: option for option in create_command.params}
    changed = {option.name: option for option in update_command.params}
    assert set(made) - set(changed) == {"workflow", "arguments", "named", "inactive"}
    assert set(changed) <= set(made)


def test_a_long_backfill_is_counted(sqlite_shell: Shell) -> None:
    sqlite_shell("schedules", "create", "poll", "count", "a", "--schedule", "every 1h", "--inactive")
    stretch = ("--since", "2026-03-01", "--until", "2026-03-03")
    printed = sqlite_shell("schedules", "backfill", "poll", *stretch, "--dry-run").stdout.splitlines()
    assert printed[-2:] == ["… 22 more", "72 ticks would start; without --dry-run they do."]
    assert len(printed) == 53
