"""`segue runs`, `show`, `workers` and `db`, for people and for programs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from segue import Segue
from segue.cli.rendering import progress_text, shortened
from segue.cli.runs import runs_table
from segue.cli.stats import sparkline
from segue.engine.identity import WorkerIdentity
from segue.engine.statistics import put_statistics
from segue.engine.views.look import ProgressInfo
from segue.model import Outcome, Verdict, short_id
from segue.scheduler.chores import Chores
from segue.store.migrate import migrations
from tests.unit.cli.conftest import APP, Shell


def test_runs_are_listed_newest_first(shell: Shell) -> None:
    assert shell("runs").stdout == "No runs.\n"
    first, second = shell.start("census", "a", "--run"), shell.start("twice", '["a"]', "--key", "week 47")
    listed = shell("runs").stdout.splitlines()
    assert listed[0].split() == ["run", "workflow", "status", "created", "time", "steps"]
    assert listed[1].startswith(f"{short_id(second)}  {APP}.twice week 47")
    assert "! no worker" in listed[1]
    assert listed[2].startswith(f"{short_id(first)}  {APP}.census")
    assert listed[2].split()[-1] == "15"
    assert [run["id"] for run in shell.json("runs")] == [second, first]


def test_runs_are_filtered_and_paged(shell: Shell) -> None:
    ids = [shell.start("census", str(number)) for number in range(3)]
    shell("cancel", ids[1])
    assert [run["id"] for run in shell.json("runs", "--status", "cancelled")] == [ids[1]]
    assert [run["id"] for run in shell.json("runs", "--limit", "1", "--before", ids[2])] == [ids[1]]
    assert shell.json("runs", "--workflow", "nope") == []
    assert shell("runs", "--key", "nope").stdout == "No matching runs.\n"
    assert f"--before {short_id(ids[2])}" in shell("runs", "--limit", "1").stdout


def test_counts_say_how_far_a_run_is(shell: Shell) -> None:
    shell.start("wide", "20")
    [run] = shell.json("runs")
    assert run["counts"] == {"ready": 20}
    assert "0/20" in shell("runs").stdout


def test_a_tree_folds_large_groups(shell: Shell) -> None:
    run_id = shell.start("twice", '["a", "b"]', "--run")
    text = shell("show", run_id).stdout
    assert f"✓ {APP}.twice  {run_id}" in text
    assert "31 steps: 31 succeeded" in text
    assert text.count("count[0] … count[11]") == 2
    assert "├╴✓ list_paths #0" in text
    assert "└╴✓ total #2" in text
    assert "count[11]" in shell("show", run_id, "--all").stdout
    assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_the_beginning_of_an_id_is_enough(shell: Shell) -> None:
    run_id = shell.start("census", "a")
    assert shell.json("show", run_id[:30])["run"]["id"] == run_id


def test_json_has_everything_of_a_run(shell: Shell) -> None:
    run_id = shell.start("failing", "no luck", "--run", exit_code=1)
    shown = shell.json("show", run_id, "--attempts")
    assert shown["run"]["counts"] == {"failed": 1, "succeeded": 1, "skipped": 1}
    failed = shown["steps"][0]
    assert (failed["name"], failed["status"], failed["attempt"], failed["failures"]) == ("fail", "failed", 2, 2)
    assert failed["policy"]["retries"] == 1
    assert [(each["step"], each["attempt"], each["status"]) for each in shown["attempts"]] == [
        (0, 1, "failed"),
        (0, 2, "failed"),
    ]
    assert shown["attempts"][0]["output"] == "about to fail\n"


def test_a_step_shows_each_failed_attempt(shell: Shell) -> None:
    run_id = shell.start("failing", "no luck", "--run", exit_code=1)
    text = shell("show", run_id, "--step", "fail").stdout
    assert "attempt    2, 2 failures; 1 retry allowed" in text
    assert re.search(r"^  started by \S+@\S+$", shell("show", run_id).stdout, re.MULTILINE)
    assert text.count("ValueError: no luck") == 2
    assert text.count("about to fail") == 2
    assert "Traceback" in text
    assert "has no step 'nope'" in shell("show", run_id, "--step", "nope", exit_code=1).stderr
    assert [each["name"] for each in shell.json("show", run_id, "--step", "#1")["steps"]] == ["count"]


def test_a_failed_step_and_a_delayed_step_say_why(sqlite_shell: Shell) -> None:
    failing = sqlite_shell.start("failing", "no luck", "--run", exit_code=1)
    text = sqlite_shell("show", failing).stdout
    assert "try 2" in text
    assert "ValueError: no luck" in text
    delayed = sqlite_shell.start("delayed")
    assert "delayed, due in " in sqlite_shell("show", delayed).stdout


def test_following_ends_with_the_run(sqlite_shell: Shell) -> None:
    good = sqlite_shell.start("census", "a", "--run")
    assert "succeeded: 15 succeeded" in sqlite_shell("show", good, "--follow").stdout
    bad = sqlite_shell.start("failing", "x", "--run", exit_code=1)
    lines = sqlite_shell("show", bad, "--follow", "--json", exit_code=1).stdout.splitlines()
    assert [json.loads(line)["run"]["status"] for line in lines] == ["failed"]


def test_workers_are_listed(shell: Shell) -> None:
    assert "No worker is running" in shell("workers").stdout
    with Segue(shell.url) as segue:
        id_ = segue.engine.new_id()
        worker = WorkerIdentity(id=id_, name="host:1", queues=("mail",), tasks=("a",), lease_seconds=30.0, run_id=None)
        segue.engine.register(worker, pool="thread", concurrency=3, version="1")
    [found] = shell.json("workers")
    assert (found["id"], found["queues"], found["pool"], found["status"]) == (id_, ["mail"], "thread", "running")
    assert "host:1  running  thread × 3  mail" in shell("workers").stdout


def test_workers_of_other_executors_are_listed_without_queues(shell: Shell) -> None:
    with Segue(shell.url) as segue:
        worker = WorkerIdentity(id=segue.engine.new_id(), name="celery@host", queues=(), tasks=(), lease_seconds=30.0)
        segue.engine.register(worker, pool="celery", concurrency=8, version="1")
    assert "celery@host  running  celery × 8  -" in shell("workers").stdout


def test_db_upgrade_makes_the_tables_once(make_shell: Callable[[str], Shell], bare_url: Callable[[], str]) -> None:
    shell = make_shell(bare_url())
    assert "has no tables" in shell("db", "check", exit_code=1).stderr
    first = shell.json("db", "upgrade")
    assert first["applied"] == [migration.number for migration in migrations("sqlite")]
    assert first["applied"][-1] == first["schema_version"]
    assert shell.json("db", "upgrade")["applied"] == []
    assert "nothing to do" in shell("db", "upgrade").stdout


def test_db_check_finds_what_is_broken(shell: Shell) -> None:
    run_id = shell.start("census", "a")
    assert shell.json("db", "check")["broken"] == []
    assert "all is well" in shell("db", "check").stdout
    with Segue(shell.url) as segue, segue.engine.reading() as tx:
        tx.all("end_run", run_id=run_id, status="succeeded", now=segue.engine.store.now(), error=None)
    broken = shell.json("db", "check", exit_code=1)["broken"]
    assert {each["run"] for each in broken} == {run_id}
    assert run_id in shell("db", "check", exit_code=1).stdout


def test_db_info_counts_runs(shell: Shell) -> None:
    shell.start("census", "a", "--run")
    shell.start("census", "b")
    info = shell.json("db", "info")
    assert info["runs"] == {"succeeded": 1, "pending": 1}
    assert info["dialect"] in info["database"]
    assert info["chores"] is None
    assert "2: 1 succeeded, 1 pending" in shell("db", "info").stdout
    with Segue(shell.url) as segue:
        chores = Chores(segue.engine)
        chores.do_round()
        assert shell.json("db", "info")["chores"].endswith(f":{os.getpid()}")
        chores.stop()
        chores.run()


def test_db_prune_deletes_only_what_ended_long_ago(shell: Shell) -> None:
    shell.start("census", "a", "--run")
    kept = shell.start("census", "b")
    assert shell.json("db", "prune", "--older-than", "1d")["pruned"] == 0
    assert shell("db", "prune", "--older-than", "0s").stdout == "1 run pruned\n"
    assert [run["id"] for run in shell.json("runs")] == [kept]


def test_long_names_keep_both_ends() -> None:
    assert shortened("reconcile_everything[17]", 15) == "reconci…ing[17]"
    assert len(shortened("reconcile_everything[17]", 16)) == 16
    assert shortened("short", 15) == "short"


@pytest.mark.parametrize(
    "progress, text",
    [
        (ProgressInfo(30, 60, "", 9.8, 3.06, datetime.now(UTC)), "━━━━━━━━╌╌╌╌╌╌╌╌ 30/60  9.8/s  3.1 s left"),
        (ProgressInfo(1500, None, "rows", 1234.5, None, datetime.now(UTC)), "1,500 done  1.23e+03/s  rows"),
    ],
)
def test_progress_tells_rate_and_rest(progress: ProgressInfo, text: str) -> None:
    assert progress_text(progress).plain == text


def test_tables_show_short_ids_and_every_command_accepts_them(sqlite_shell: Shell) -> None:
    sqlite_shell.start("census", "a")
    with Segue(sqlite_shell.url) as segue:
        runs = segue.runs()
    now = runs[0].created_at + timedelta(seconds=5)
    console = Console(width=80)
    with console.capture() as captured:
        console.print(runs_table(runs, {}, now, width=80))
    text = captured.get()
    short = short_id(runs[0].id)
    assert short in text
    assert runs[0].id not in text
    assert sqlite_shell.json("show", short)["run"]["id"] == runs[0].id
    assert sqlite_shell.json("pause", short)[0]["id"] == runs[0].id
    assert sqlite_shell.json("events", short)[0]["run"] == runs[0].id
    assert sqlite_shell.json("runs", "--before", short) == []
    assert max(len(line) for line in text.splitlines()) <= 80


def test_databases_are_not_shared(make_shell: Callable[[str], Shell], make_sqlite_url: Callable[[], str]) -> None:
    one, other = make_shell(make_sqlite_url()), make_shell(make_sqlite_url())
    run_id = one.start("census", "a")
    assert "No run has an id" in other("show", run_id, exit_code=1).stderr


def test_a_row_of_bars() -> None:
    assert sparkline([0, 1, 50, 87, 100]) == "▁▂▅▇█"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([]) == ""


def test_statistics_are_shown(shell: Shell) -> None:
    assert "No attempt has ended since" in shell("stats").stdout
    with Segue(shell.url) as segue:
        now = segue.engine.store.now()
        ended = [Outcome("r", number, 1, Verdict.FAILED if number < 1 else Verdict.SUCCEEDED) for number in range(4)]
        segue.engine.tally.ended_outside(ended, now, "mail")
        with segue.engine.store.transaction() as tx:
            put_statistics(tx, segue.engine.tally)
    said = shell("stats").stdout
    assert said.splitlines()[1].split()[0] == "mail"
    assert "█" in said
    assert "25 %" in said
    assert shell("stats", "--by", "all").stdout.splitlines()[1].startswith("all")
    found = shell.json("stats", "--by", "task")
    assert (found["step_seconds"], found["series"][0]["attempts"]) == (60, 4)
    assert len(found["series"][0]["attempts_over_time"]) == 60
