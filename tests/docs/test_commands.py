"""Every command on the pages exists, with its options; every command and option is in docs/cli.md."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from segue.cli.root import COMMANDS, segue
from tests.docs.pages import ROOT, blocks, code_words, doc, pages

FOREIGN = {"bench"}  # has a parser of its own
EVERYWHERE = {"--database", "--namespace", "--app", "--debug", "--json", "--help"}


def commands_on(page: Path) -> list[list[str]]:
    """The `segue ...` commands of a page, in words: those in shell blocks and those in backquotes."""
    lines = [line for block in blocks(page, "sh", "console", "ini") for line in block.text.splitlines()]
    lines = [line.removeprefix("$ ").partition("ExecStart=")[2] or line.removeprefix("$ ") for line in lines]
    lines += list(code_words(page))
    found = [re.sub(r"^(\S*/)?segue ", "segue ", line).partition("  #")[0] for line in lines]
    return [shlex.split(line)[1:] for line in found if re.match(r"segue [a-z]", line)]


def resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    """The sub-command that these words name, and what follows."""
    command: click.Command = segue
    rest = list(words)
    context = click.Context(segue)
    while isinstance(command, click.Group) and rest:
        name = rest.pop(0)
        found = command.get_command(context, name)
        assert found is not None, f"there is no command {name!r} (in segue {' '.join(words)})"
        command = found
    return command, rest


def options_of(command: click.Command) -> set[str]:
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("page", pages(), ids=[str(page.relative_to(ROOT)) for page in pages()])
def test_commands_exist_with_their_options(page: Path) -> None:
    for words in commands_on(page):
        if words[0] in FOREIGN:
            continue
        command, rest = resolve(words)
        given = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word, re.IGNORECASE)}
        unknown = given - options_of(command) - {"-h", "--help"}
        assert unknown == set(), f"segue {' '.join(words)}"


def test_there_are_commands_on_the_pages() -> None:
    assert sum(len(commands_on(page)) for page in pages()) > 50


def all_commands() -> dict[str, click.Command]:
    found = {}
    context = click.Context(segue)
    for name in COMMANDS:
        command = segue.get_command(context, name)  # type: ignore[attr-defined]
        if isinstance(command, click.Group):
            found |= {f"{name} {sub}": command.commands[sub] for sub in command.commands}
        else:
            found[name] = command
    return found


def test_every_command_and_option_is_on_its_page() -> None:
    parts = dict(re.findall(r"^### segue ([a-z -]+)\n(.*?)(?=^##|\Z)", doc("cli"), re.MULTILINE | re.DOTALL))
    commands = all_commands()
    assert set(parts) == set(commands)
    for name, command in commands.items():
        text = parts[name] + (parts["worker"] if name == "dev" else "")
        long = {option for option in options_of(command) if option.startswith("--")} - EVERYWHERE
        assert {option for option in long if option not in text} == set(), name
    for option in EVERYWHERE:
        assert f"`{option}`" in doc("cli")


def test_the_settings_of_a_worker_are_in_its_table() -> None:
    options = {option for option in options_of(all_commands()["worker"]) if option.startswith("--")}
    assert {option for option in options - EVERYWHERE if f"`{option}`" not in doc("running")} == set()
