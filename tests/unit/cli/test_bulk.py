"""`segue pause`, `resume` and `cancel`: runs named by ids, and chosen by filters."""

from __future__ import annotations

import getpass

import pytest

from segue import Segue
from segue.cli import bulk
from segue.model import short_id
from segue.worker.inline import work_run
from tests.unit.cli.conftest import APP, Shell


def statuses(shell: Shell) -> list[str]:
    return [run["status"] for run in shell.json("runs")]


def test_a_run_is_paused_and_resumed(shell: Shell) -> None:
    run_id = shell.start("census", "monday")
    assert f"{run_id}  ‖ paused\n" == shell("pause", run_id[:30]).stdout
    assert "no change: already paused" in shell("pause", run_id).stdout
    assert shell.json("show", run_id)["steps"][0]["gate"] == "paused"
    assert "held: the run is paused" in shell("show", run_id).stdout
    assert shell("resume", run_id).stdout.split() == [run_id, "○", "pending"]
    assert "no change: not paused" in shell("resume", run_id).stdout


def test_who_did_it_and_why_is_written_down(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = shell.start("census", "monday")
    shell("pause", run_id, "--reason", "the warehouse is down")
    told = shell("explain", run_id).stdout
    assert f"by {getpass.getuser()}@" in told
    assert "(the warehouse is down)" in told

    def nobody() -> str:
        raise KeyError("no such user")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert bulk.this_person().startswith("unknown@")


def test_json_tells_of_each_run(shell: Shell) -> None:
    first, second = shell.start("census", "a"), shell.start("census", "b")
    shell("pause", first)
    assert shell.json("pause", first, second) == [
        {"id": first, "status": "paused", "changed": False},
        {"id": second, "status": "paused", "changed": True},
    ]


def test_runs_are_chosen_by_filters(shell: Shell) -> None:
    shell.start("census", "a", "--tag", "backfill", "--meta", "customer=42")
    shell.start("census", "b", "--tag", "backfill", "--meta", 'name="42"')
    shell.start("wide", "2")
    assert len(shell.json("runs", "--tag", "backfill")) == 2
    assert len(shell.json("runs", "--tag", "backfill", "--meta", "customer=42")) == 1
    assert shell("pause", "--tag", "backfill").stdout.endswith("2 runs paused\n")
    assert statuses(shell) == ["pending", "paused", "paused"]
    assert "1 run resumed" in shell("resume", "--workflow", f"{APP}.census", "--meta", "customer=42").stdout
    assert "1 run cancelled" in shell("cancel", "--status", "paused").stdout
    assert statuses(shell) == ["pending", "cancelled", "pending"]
    assert shell("cancel", "--status", "failed").stdout == "0 runs cancelled\n"


def test_runs_are_chosen_by_age_and_error(shell: Shell) -> None:
    shell.start("failing", "no luck", "--run", exit_code=1)
    shell.start("census", "a", "--run")
    assert [run["status"] for run in shell.json("runs", "--error-type", "ValueError")] == ["failed"]
    assert shell.json("runs", "--error-type", "OSError") == []
    assert len(shell.json("runs", "--newer-than", "1h")) == 2
    assert shell.json("runs", "--older-than", "1h") == []
    older = shell("runs", "--newer-than", "90min", "--meta", "a=b c", "--tag", "x", "--limit", "1").stdout
    assert older == "No matching runs.\n"
    more = shell("runs", "--newer-than", "90min", "--status", "failed", "--limit", "1").stdout
    assert "--newer-than 90m --status failed" in more or "--status failed --newer-than 90m" in more


def test_a_dry_run_does_nothing(shell: Shell) -> None:
    run_id = shell.start("census", "a", "--tag", "t")
    text = shell("cancel", "--tag", "t", "--dry-run").stdout
    assert short_id(run_id) in text
    assert text.endswith("1 run would be cancelled; nothing was changed.\n")
    told = shell.json("cancel", "--tag", "t", "--dry-run")
    assert (told["count"], [run["id"] for run in told["runs"]]) == (1, [run_id])
    assert "1 run would be paused" in shell("pause", run_id, "--dry-run").stdout
    assert "77" in shell("pause", run_id, "77", "--dry-run", exit_code=1).stderr
    assert statuses(shell) == ["pending"]


def test_on_a_terminal_it_asks_first(sqlite_shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = sqlite_shell.start("census", "a", "--tag", "t")
    monkeypatch.setattr(bulk, "_is_terminal", lambda: True)
    refused = sqlite_shell("cancel", "--tag", "t", typed="n\n").stdout
    assert short_id(run_id) in refused
    assert "Cancel 1 run? [y/N]" in refused
    assert statuses(sqlite_shell) == ["pending"]
    sqlite_shell("pause", run_id)  # nobody asks about what was named
    assert "Cancel" not in sqlite_shell("cancel", "--tag", "t", "--yes").stdout
    assert statuses(sqlite_shell) == ["cancelled"]


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_nothing_or_both_is_misuse(sqlite_shell: Shell, verb: str) -> None:
    assert "select them by filters" in sqlite_shell(verb, exit_code=2).stderr
    assert "not both" in sqlite_shell(verb, "019ab3", "--tag", "t", exit_code=2).stderr
    assert "is not KEY=VALUE" in sqlite_shell(verb, "--meta", "customer", exit_code=2).stderr


def test_it_goes_on_after_a_run_that_is_not_there(sqlite_shell: Shell) -> None:
    run_id = sqlite_shell.start("census", "a")
    result = sqlite_shell("pause", "77", run_id, exit_code=1)
    assert "begins with '77'" in result.stderr
    assert statuses(sqlite_shell) == ["paused"]


def test_many_are_told_in_short(sqlite_shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "TOLD", 2)
    for number in range(4):
        sqlite_shell.start("census", str(number))
    assert sqlite_shell("pause", "--workflow", f"{APP}.census").stdout.splitlines()[2:] == ["… 2 more", "4 runs paused"]


def test_what_a_run_was_given_is_shown(shell: Shell) -> None:
    run_id = shell.start("census", "monday", "--tag", "nightly", "--tag", "eu", "--meta", "customer=42")
    text = shell("show", run_id).stdout
    assert 'arguments "monday"' in text
    assert "tags nightly, eu" in text
    assert "metadata customer=42" in text
    [run] = shell.json("runs")
    assert (run["tags"], run["metadata"], run["arguments"]) == (["nightly", "eu"], {"customer": 42}, [["monday"], {}])
    with Segue(shell.url) as segue:
        segue.annotate(run_id, step="list_paths", metadata={"region": "eu"})
    assert "metadata   region=eu" in shell("show", run_id, "--step", "list_paths").stdout


@pytest.mark.parametrize("words", [("--tag", ""), ("--meta", "customer"), ("--meta", "=1")])
def test_tags_and_metadata_that_make_no_sense(sqlite_shell: Shell, words: tuple[str, ...]) -> None:
    sqlite_shell("start", "census", "a", *words, exit_code=2)
    assert sqlite_shell.json("runs") == []


def work(shell: Shell, order: str) -> None:
    with Segue(shell.url) as segue:
        work_run(segue.engine, order)


def test_a_worker_is_to_do_it(shell: Shell) -> None:
    first, second = shell.start("census", "a", "--tag", "backfill"), shell.start("census", "b", "--tag", "backfill")
    said = shell("cancel", "--tag", "backfill", "--background", "--reason", "wrong").stdout
    order = shell.json("runs", "--workflow", "segue.bulk")[0]
    assert short_id(order["id"]) in said
    assert order["metadata"]["reason"] == "wrong"
    assert order["metadata"]["actor"].startswith(getpass.getuser())
    work(shell, order["id"])
    assert [shell.json("show", run_id)["run"]["status"] for run_id in (first, second)] == ["cancelled"] * 2
    assert shell.json("result", order["id"])["changed"] == 2


def test_a_worker_is_to_retry_from_a_step(shell: Shell) -> None:
    run_id = shell.start("census", "a", "--run")
    order = shell.json("retry", run_id, "--from", "0", "--background")["id"]
    work(shell, order)
    assert shell.json("result", order)["changed"] == 1
    assert shell("cancel", run_id[:-1] + "zz", "--background", exit_code=1).stderr
