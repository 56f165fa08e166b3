"""`segue subscriptions`: added, listed without secrets, told of what happens, put to rest, removed."""

from __future__ import annotations

import msgspec
import pytest

from segue import Segue
from segue.cli.subscriptions import destination
from segue.engine.subscriptions import NOTIFICATION
from tests.unit.cli.conftest import APP, Shell

SECRETIVE = "https://me:password@example.org/token?key=secret"


def test_what_is_added_is_listed_without_what_is_secret(shell: Shell) -> None:
    added = shell.json(
        "subscriptions", "add", "billing", "--event", "run.failed", "--event", "*.late_end", "--to", SECRETIVE,
        "--workflow", "census", "--header", "X-Shop: north", "--secret-env", "HOOK_SECRET", "--queue", "net",
    )  # fmt: skip
    shell("subscriptions", "add", "ops", "--event", "run.failed", "--to", "slack://token-a/token-b/#ops")
    billing, ops = shell.json("subscriptions", "list")
    assert billing == added
    assert billing == {
        "name": "billing", "events": ["run.failed", "*.late_end"], "workflow": "census",
        "to": "webhook https://example.org", "is_active": True, "created_at": billing["created_at"],
    }  # fmt: skip
    assert (ops["to"], ops["workflow"]) == ("notify slack://…", None)
    shown = shell("subscriptions", "list").output
    for secret in ("password", "token", "secret", "HOOK_SECRET"):
        assert secret not in shown
    with Segue(shell.url) as segue:
        target = segue.subscriptions.list()[0].target
    for kept in ("X-Shop", "HOOK_SECRET", '"queue":"net"'):
        assert kept in target


def test_a_task_may_be_the_target(shell: Shell) -> None:
    shell("subscriptions", "add", "own", "--event", "run.succeeded", "--to", "count")
    assert shell.json("subscriptions", "list")[0]["to"] == f"{APP}.count"
    shell.start("count", '"abc"')
    shell("worker", "--burst", "--pool", "thread")
    with Segue(shell.url) as segue:
        (told,) = segue.runs(workflow=NOTIFICATION)
        (step,) = segue.get(told.id).steps()
    assert step.task == f"{APP}.count"
    assert step.error is not None
    assert step.error.type == "SerializationError"  # it takes a text, and was given the event


def test_it_rests_goes_on_and_is_removed(shell: Shell) -> None:
    shell("subscriptions", "add", "ops", "--event", "*", "--to", "https://example.org")
    assert shell("subscriptions", "deactivate", "ops").output == "ops is inactive\n"
    assert shell.json("subscriptions", "list")[0]["is_active"] is False
    assert "inactive" in shell("subscriptions", "list").output
    assert shell.json("subscriptions", "activate", "ops") == {"name": "ops", "did": "activate"}
    assert shell.json("subscriptions", "list")[0]["is_active"] is True
    assert shell("subscriptions", "remove", "ops").output == "ops is removed\n"
    assert "There are no subscriptions" in shell("subscriptions", "list").output
    assert "No subscription is named 'ops'" in shell("subscriptions", "remove", "ops", exit_code=1).stderr


@pytest.mark.parametrize(
    "words, said",
    [
        (("--event", "run.nope", "--to", "https://example.org"), "'run.nope' is not a kind"),
        (("--event", "run.failed", "--to", "no_such_task"), "No workflow or task is named 'no_such_task'"),
        (("--event", "run.failed", "--to", "mailto://x", "--secret-env", "S"), "are for webhooks"),
        (("--event", "run.failed", "--to", "https://example.org", "--header", "no colon"), "is not a header"),
        (("--event", "run.failed"), "Missing option '--to'"),
        (("--to", "https://example.org"), "Missing option '--event'"),
    ],
)
def test_mistakes_are_told(sqlite_shell: Shell, words: tuple[str, ...], said: str) -> None:
    assert said in sqlite_shell("subscriptions", "add", "ops", *words, exit_code=2).stderr


@pytest.mark.parametrize(
    "target", ["", "[]", '{"name":"n","nodes":[{"name":"a","task":"segue.webhook","args":"[[],{\\"url\\":\\"http://\\"}]"}]}',
               '{"name":"n","nodes":[{"name":"a","task":"segue.webhook","args":"[[],3]"}]}']
)  # fmt: skip
def test_a_subscription_that_cannot_be_read_hides_no_other(sqlite_shell: Shell, target: str) -> None:
    sqlite_shell("subscriptions", "add", "good", "--event", "run.failed", "--to", "https://example.org/x")
    with Segue(sqlite_shell.url) as segue:
        good = segue.subscriptions.list()[0]
    assert destination(msgspec.structs.replace(good, target=target)).endswith("(cannot be read)")
