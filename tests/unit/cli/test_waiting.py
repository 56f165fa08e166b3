"""`segue approvals`, `send` and `events`, and how what waits is shown and explained."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from segue import Segue
from segue.engine.alarms import ring_alarms
from segue.model import short_id
from tests.unit.cli.conftest import Shell

WAITING = ("-A", "tests.unit.cli.waiting_workflows")


def test_what_waits_is_listed_until_it_was_sent(shell: Shell) -> None:
    assert shell("approvals").stdout == "No step waits for a message.\n"
    run_id = shell.start(*WAITING, "article", "--key", "issue 7")
    [wait] = shell.json("approvals")
    assert (wait["run"], wait["workflow"], wait["key"]) == (
        run_id,
        "tests.unit.cli.waiting_workflows.article",
        "issue 7",
    )
    assert (wait["step"], wait["step_name"], wait["name"]) == (0, "approved", "approved")
    assert wait["since"] < wait["until"]
    lines = shell("approvals").stdout.splitlines()
    assert lines[0].split() == ["run", "workflow", "waits", "for", "step", "since", "until"]
    assert lines[1].startswith(
        f"{short_id(run_id)}  tests.unit.cli.waiting_workflows.article issue 7  approved   approved  just now  in 59 m"
    )
    assert "segue send RUN NAME" in lines[2]
    sent = shell.json("send", run_id[:30], "approved", '{"by": "ann"}')
    assert sent == {"run": run_id, "name": "approved", "step": "approved", "is_new": True}
    assert shell.json("approvals") == []
    [approved, _] = shell.json("show", run_id)["steps"]
    assert (approved["status"], approved["event"]) == ("succeeded", "approved")


def test_waits_are_filtered(shell: Shell) -> None:
    first, second = shell.start(*WAITING, "article"), shell.start(*WAITING, "letters")
    assert [wait["run"] for wait in shell.json("approvals")] == [first, second, second]
    assert [wait["step_name"] for wait in shell.json("approvals", "--name", "stamp")] == ["stamp[0]", "stamp[1]"]
    assert [
        wait["run"] for wait in shell.json("approvals", "--workflow", "tests.unit.cli.waiting_workflows.article")
    ] == [first]
    assert len(shell.json("approvals", "--limit", "2")) == 2
    assert "only the first 2" in shell("approvals", "--limit", "2").stdout
    assert "forever" in shell("approvals", "--name", "stamp").stdout
    assert shell("approvals", "--name", "nothing").stdout == "No matching step waits for a message.\n"


def test_a_message_may_come_first_and_is_sent_once_by_key(shell: Shell) -> None:
    run_id = shell.start(*WAITING, "letters")
    assert "no step waits for 'seal'" in shell("send", run_id, "seal", "red").stdout
    assert "stamp[0] took 'stamp'" in shell("send", run_id, "stamp", "red", "--key", "k").stdout
    assert "was taken by stamp[0]; nothing was changed" in shell("send", run_id, "stamp", "blue", "--key", "k").stdout
    shell("send", run_id, "stamp")
    assert shell.json("result", run_id) == ["red", None]
    assert "which succeeded" in shell("send", run_id, "stamp", exit_code=1).stderr
    assert shell.json("send", run_id, "stamp", "--key", "k")["is_new"] is False
    assert "No run has an id" in shell("send", "77", "stamp", exit_code=1).stderr


def test_what_waits_is_explained_with_the_command_to_type(shell: Shell) -> None:
    run_id = shell.start(*WAITING, "article")
    [reason] = shell.json("explain", run_id)["reasons"]
    assert (reason["code"], reason["step"]) == ("waiting_for_event", "approved")
    assert f"send it with: segue send {short_id(run_id)} approved [VALUE]" in reason["text"]
    assert re.search(r"and gives up at [0-9: -]+ UTC \(in 1 h 00 min\)", reason["text"])
    assert "approved #0" in shell("show", run_id).stdout
    assert "waits for 'approved', for " in shell("show", run_id).stdout
    letters = shell.start(*WAITING, "letters")
    [reason] = shell.json("explain", letters)["reasons"]
    assert reason["step"] == "stamp[0] (2 such steps)"
    assert "gives up" not in reason["text"]


def test_a_sleep_is_explained_and_shown(shell: Shell) -> None:
    run_id = shell.start(*WAITING, "napping")
    assert "sleep: sleeps until " in shell("explain", run_id).stdout
    assert "sleeps, wakes in " in shell("show", run_id).stdout


def test_events_are_listed_newest_first(shell: Shell) -> None:
    assert shell("events").stdout == "No events.\n"
    first, second = shell.start(*WAITING, "article"), shell.start(*WAITING, "belated")
    shell("send", first, "approved", "1")
    with Segue(shell.url) as segue:
        segue.engine.act(ring_alarms)
    late, sent = shell.json("events")
    assert (late["kind"], late["run"], late["step"]) == ("run.late_start", second, None)
    assert late["detail"]["seconds"] == 0.000001
    assert (sent["kind"], sent["run"], sent["step_name"]) == ("run.sent", first, "approved")
    assert [event["kind"] for event in shell.json("events", "--kind", "alert")] == ["run.late_start"]
    assert [event["kind"] for event in shell.json("events", "--kind", "*.sent", "--kind", "step.*")] == ["run.sent"]
    assert [event["kind"] for event in shell.json("events", first)] == ["run.sent"]
    assert [event["kind"] for event in shell.json("events", second, "--kind", "run.sent")] == []
    assert [event["id"] for event in shell.json("events", "--before", late["id"])] == [sent["id"]]
    assert f"--before {late['id']}" in shell("events", "--limit", "1").stdout
    assert "name=approved" in shell("events", first).stdout
    assert sent["detail"] == {"name": "approved"}  # nobody gave a key
    shell("send", second, "later", "--key", "k")
    assert shell.json("events", second)[0]["detail"] == {"name": "later", "key": "k"}
    assert "is not a kind of event" in shell("events", "--kind", "run.lte_start", exit_code=2).stderr


def test_a_start_may_name_a_deadline(sqlite_shell: Shell) -> None:
    sqlite_shell.start(*WAITING, "letters", "--deadline", "90min")
    with Segue(sqlite_shell.url) as segue, segue.engine.reading() as tx:
        [(_, _, kind, _, seconds)] = tx.all(
            "due_alarms", now=datetime(2200, 1, 1, tzinfo=UTC), limit=10, only=None, aside=[]
        )
    assert (kind, seconds) == ("deadline", 5400.0)
    assert "give more than 0 s" in sqlite_shell("start", *WAITING, "letters", "--deadline", "0", exit_code=2).stderr


def test_a_mistyped_name_is_answered_with_those_that_are_awaited(shell: Shell) -> None:
    run_id = shell.start(*WAITING, "article")
    said = shell("send", run_id, "approve").stdout
    assert "no step waits for 'approve'; it is kept until a step does. Steps of this run wait for 'approved'" in said
