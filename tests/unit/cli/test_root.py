"""The command itself: its help, its options before and after the sub-command, how errors are told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click
import pytest

from segue import __version__
from segue.cli.root import COMMANDS
from tests.unit.cli.conftest import Shell


def all_commands() -> list[tuple[str, ...]]:
    names: list[tuple[str, ...]] = [(name,) for name in COMMANDS if name != "bench"]
    for (name,) in tuple(names):
        command: click.Command = import_module(COMMANDS[name].module).command
        if isinstance(command, click.Group):
            names += [(name, verb) for verb in command.commands]
    return names


def test_help_lists_every_command_and_loads_none() -> None:
    code = (
        "import sys\nfrom segue.cli.root import segue\n"
        "try: segue(['--help'])\nexcept SystemExit: pass\n"
        "loaded = [name for name in sys.modules if name.startswith('segue.cli.') or name.startswith('segue.demo')]\n"
        "print(*loaded, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name, entry in COMMANDS.items():
        assert name in done.stdout
        assert entry.summary in done.stdout
        assert entry.module not in done.stderr.split()


@pytest.mark.parametrize("words", all_commands(), ids=" ".join)
def test_every_command_explains_itself_with_an_example(sqlite_shell: Shell, words: tuple[str, ...]) -> None:
    text = sqlite_shell(*words, "--help").output
    assert f"segue {words[0]}" in text.partition("Example:")[2]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "bench"])
def test_the_list_says_what_the_command_says(name: str) -> None:
    command: click.Command = import_module(COMMANDS[name].module).command
    assert command.short_help == COMMANDS[name].summary


def test_version(sqlite_shell: Shell) -> None:
    assert sqlite_shell("--version").output == f"segue {__version__}\n"


def test_options_may_stand_before_or_after_the_command(sqlite_shell: Shell, make_sqlite_url: Callable[[], str]) -> None:
    sqlite_shell.start("census", "monday")
    other = make_sqlite_url()
    for words in (("--database", other, "runs", "--json"), ("runs", "--json", "--database", other)):
        assert sqlite_shell(*words).stdout == "[]\n"
    assert len(sqlite_shell.json("runs")) == 1


def test_the_database_must_be_named(sqlite_shell: Shell) -> None:
    result = sqlite_shell("runs", exit_code=2, SEGUE_DATABASE_URL="")
    assert "--database" in result.stderr
    assert "SEGUE_DATABASE_URL" in result.stderr


def test_errors_are_one_message_without_a_traceback(sqlite_shell: Shell) -> None:
    result = sqlite_shell("show", "77", exit_code=1)
    assert result.stderr.startswith("segue: No run has an id that begins with '77'")
    assert result.stdout == ""
    assert "Traceback" in sqlite_shell("--debug", "show", "77", exit_code=1).stderr


def test_a_url_that_no_store_knows_is_misuse(sqlite_shell: Shell) -> None:
    assert "mysql" in sqlite_shell("runs", "--database", "mysql://x", exit_code=2).stderr


def test_a_database_that_cannot_be_reached_is_an_error(sqlite_shell: Shell) -> None:
    url = "postgresql://nobody:secret@127.0.0.1:1/none"
    for words in (("runs",), ("start", "census", "x"), ("db", "check")):
        result = sqlite_shell(*words, "--database", url, exit_code=1)
        assert "127.0.0.1" in result.stderr
        assert "secret" not in result.stderr


def test_a_missing_folder_is_an_error(sqlite_shell: Shell, tmp_path: Path) -> None:
    assert "folder" in sqlite_shell("runs", "--database", f"sqlite:///{tmp_path}/none/x.db", exit_code=1).stderr
