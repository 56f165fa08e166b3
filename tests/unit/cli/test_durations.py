"""Lengths of time: every option that takes one takes the same words, and tells them in the same words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module

import click
import pytest

from segue import Segue
from segue.cli.durations import HOW, Duration, typed_duration
from segue.cli.root import COMMANDS
from tests.unit.cli.conftest import Shell

TAKES_NO_UNIT = {"--schedule", "--rate"}  # a timetable, and a number of starts in a period


def options() -> Iterator[tuple[str, click.Option]]:
    """Every option of every command, with the words that name the command."""
    for name in COMMANDS:
        if name == "bench":
            continue  # has a parser of its own
        command: click.Command = import_module(COMMANDS[name].module).command
        verbs = command.commands.items() if isinstance(command, click.Group) else [("", command)]
        for verb, each in verbs:
            for parameter in each.params:
                if isinstance(parameter, click.Option):
                    yield " ".join([name, *verb.split(), parameter.opts[0]]), parameter


DURATIONS = {name: option for name, option in options() if isinstance(option.type, Duration)}


@pytest.mark.parametrize(
    "typed, seconds",
    [
        ("90", 90.0),
        ("90s", 90.0),
        ("5m", 300.0),
        ("5min", 300.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("2w", 1_209_600.0),
        ("1.5h", 5400.0),
        (".5", 0.5),
        (" 10 S ", 10.0),
    ],
)
def test_a_bare_number_is_seconds_and_units_are_short(typed: str, seconds: float) -> None:
    assert Duration().convert(typed, None, None) == seconds


@pytest.mark.parametrize("typed", ["", "tomorrow", "-1d", "1y", "1e3", "5 fortnights", "nan", "h"])
def test_what_is_no_length_of_time_is_told_what_to_write(typed: str) -> None:
    with pytest.raises(click.BadParameter) as told:
        Duration().convert(typed, None, None)
    assert told.value.message == f"{typed!r} is not a duration; write it like {HOW} or 1.5h."


def test_bounds_and_words() -> None:
    assert Duration(word="forever").convert("forever", None, None) == "forever"
    for kind, typed, message in (
        (Duration(above=True), "0", "'0' is too short; give more than 0 s."),
        (Duration(least=0.1), "0.05", "'0.05' is too short; give at least 100 ms."),
        (Duration(), "9999999999d", "'9999999999d' is too long: longer than the calendar."),
        (Duration(word="none"), "never", f"'never' is not a duration; write it like {HOW} or 1.5h, or none."),
    ):
        with pytest.raises(click.BadParameter) as told:
            kind.convert(typed, None, None)
        assert told.value.message == message


@pytest.mark.parametrize(
    "seconds, typed", [(0, "0s"), (90, "90s"), (5400, "90m"), (30 * 86400, "30d"), (0.25, "0.25s")]
)
def test_what_is_typed_again_means_the_same(seconds: float, typed: str) -> None:
    assert typed_duration(seconds) == typed
    assert Duration().convert(typed, None, None) == seconds


@pytest.mark.parametrize("name", DURATIONS)
def test_every_duration_says_how_it_is_typed(name: str) -> None:
    option = DURATIONS[name]
    assert f"({HOW}" in (option.help or "")
    assert option.metavar is None  # DURATION
    for typed in ("90", "90s", "1.5h", "1d"):
        option.type.convert(typed, option, None)


def test_no_option_takes_a_time_in_another_way() -> None:
    words = ("seconds", "timeout", "how long", "how old", " ago", "window")
    others = [
        name
        for name, option in options()
        if name not in DURATIONS and not option.is_flag and option.opts[0] not in TAKES_NO_UNIT
        if any(word in f"{option.opts[0]} {option.metavar} {option.help}".lower() for word in words)
    ]
    assert others == []
    assert len(DURATIONS) >= 20


def test_a_timeout_takes_a_unit(sqlite_shell: Shell) -> None:
    run_id = sqlite_shell.start("delayed")
    assert "within 0.01 s" in sqlite_shell("result", run_id, "--timeout", "0.01s", exit_code=1).stderr
    assert "write it like" in sqlite_shell("start", "delayed", "--timeout", "soon", exit_code=2).stderr


def test_a_window_takes_a_unit(sqlite_shell: Shell) -> None:
    run_id = sqlite_shell.start("census", "monday", "--debounce", "k", "--window", "2h")
    with Segue(sqlite_shell.url) as segue:
        info = segue.get(run_id).info()
        [reason] = segue.get(run_id).explain()
    assert f"{info.created_at + timedelta(hours=2):%H:%M:%S} UTC" in reason.text


def test_defaults_of_workers_are_seconds() -> None:
    assert {DURATIONS[f"worker --{name}-seconds"].default for name in ("lease", "grace", "patience")} == {"30s"}
    assert DURATIONS["scheduler --lease-seconds"].default == "6s"
