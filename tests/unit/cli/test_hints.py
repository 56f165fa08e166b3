"""Commands to type next name the database that was typed, and never a password."""

from __future__ import annotations

import shlex

import pytest

from segue.cli.options import Setup
from segue.config import database_option
from tests.unit.cli.conftest import Shell

URL = "sqlite:///a file.db"
NAMED = "segue --database 'sqlite:///a file.db'"


def test_every_command_of_a_text_names_the_database() -> None:
    text = "Look: `segue runs`. Resume it with: segue resume 01a1"
    assert Setup(URL).follow_up(text) == f"Look: `{NAMED} runs`. Resume it with: {NAMED} resume 01a1"


@pytest.mark.parametrize(
    "text",
    [
        "the module shop.segue is missing",
        "The tables of Segue are missing",
        "run: segue db upgrade --database <URL>",
        "segue: no such run",
    ],
)
def test_what_is_no_command_or_names_one_already_stays(text: str) -> None:
    assert Setup(URL).follow_up(text) == text


@pytest.mark.parametrize(
    "url",
    [None, "postgresql://me:secret@host/db", "postgresql:///db?password=secret", "postgresql:///db?sslpassword=x"],
)
def test_a_password_is_left_out_with_its_database(url: str | None) -> None:
    assert database_option(url) == ""
    assert Setup(url).follow_up("segue runs") == "segue runs"


def test_what_the_environment_says_needs_no_option(sqlite_shell: Shell) -> None:
    run_id = sqlite_shell.start("delayed")
    sqlite_shell("pause", run_id)
    assert f"resume it with: segue resume {run_id[-8:]}" in sqlite_shell("explain", run_id).stdout


def test_hints_and_errors_name_the_database_that_was_typed(sqlite_shell: Shell) -> None:
    run_id = sqlite_shell.start("delayed")
    sqlite_shell.start("delayed")
    sqlite_shell("pause", run_id)
    given = ("--database", sqlite_shell.url)
    segue = f"segue --database {sqlite_shell.url}"
    hints = [
        (("explain", run_id), f"{segue} resume {run_id[-8:]}", 0),
        (("runs", "--limit", "1"), f"older ones: {segue} runs --before ", 0),
        (("workers",), f"Start one: {segue} worker", 0),
        (("limits", "list"), f"Set one: {segue} limits set", 0),
        (("schedules", "list"), f"{segue} schedules create", 0),
        (("subscriptions", "list"), f"Add one: {segue} subscriptions add", 0),
        (("show", "77"), f"`{segue} runs` lists them", 1),
        (("cancel", "77"), f"`{segue} runs` lists them", 1),
        (("show", run_id, "--step", "x"), f"`{segue} show {run_id} --all` lists them", 1),
    ]
    for words, hint, exit_code in hints:
        assert hint in sqlite_shell(*words, *given, exit_code=exit_code, SEGUE_DATABASE_URL="").output, words


def test_a_hint_works_when_it_is_copied(sqlite_shell: Shell) -> None:
    run_id = sqlite_shell.start("delayed")
    sqlite_shell("pause", run_id)
    reason = sqlite_shell("explain", run_id, "--database", sqlite_shell.url, SEGUE_DATABASE_URL="").stdout
    segue, *words = shlex.split(reason.partition("resume it with:")[2])
    assert segue == "segue"
    sqlite_shell(*words, SEGUE_DATABASE_URL="")
    assert sqlite_shell.json("runs")[0]["status"] == "pending"


def test_a_long_reason_leaves_its_command_in_one_piece(sqlite_shell: Shell) -> None:
    run_id = sqlite_shell.start("delayed")
    sqlite_shell("pause", run_id, "--reason", "the warehouse has been down since the storm, " * 4)
    lines = sqlite_shell("explain", run_id, "--database", sqlite_shell.url).stdout.splitlines()
    assert lines[-1].strip() == f"segue --database {sqlite_shell.url} resume {run_id[-8:]}"
    assert lines[-2].endswith("resume it with:")


def test_on_a_terminal_a_start_says_how_to_look_at_it(sqlite_shell: Shell) -> None:
    given = ("--database", sqlite_shell.url)
    told = sqlite_shell("start", "delayed", *given, SEGUE_DATABASE_URL="", FORCE_COLOR="1", TERM="dumb").stdout
    assert f"segue --database {sqlite_shell.url} show " in told
