"""The Tab key: what it completes, and that it is silent whatever is wrong."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import click
import pytest

from segue import Segue, task
from segue.cli.completing import PATIENCE_SECONDS, VARIABLE, Bash
from segue.cli.root import COMMANDS, segue
from tests.unit.cli.conftest import APP, Shell


@task
def complete_me() -> None: ...


def completed(shell: Shell | str, monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, str | None]:
    """What the last word may become, with what is said of each."""
    monkeypatch.setenv("SEGUE_DATABASE_URL", shell if isinstance(shell, str) else shell.url)
    found = Bash(segue, {}, "segue", VARIABLE).get_completions(list(words[:-1]), words[-1])
    return {item.value: item.help for item in found}


def test_runs_are_completed_by_their_short_ids(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = shell.start("census", "a", "--key", "monday"), shell.start("wide", "3")
    both = completed(shell, monkeypatch, "show", "")
    assert both == {first[-8:]: f"{APP}.census monday pending", second[-8:]: f"{APP}.wide pending"}
    assert list(completed(shell, monkeypatch, "pause", second[-8:], first[-8:-3])) == [first[-8:]]


def test_names_are_completed(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell("definitions", "--publish")
    shell("schedules", "create", "poll", "count", "a.txt", "--schedule", "every 30s")
    shell("limits", "set", "queue:net", "--concurrency", "2")
    shell.start("census", "a")
    assert completed(shell, monkeypatch, "start", "cen") == {"census": f"{APP}.census"}
    assert list(completed(shell, monkeypatch, "start", f"{APP}.cen")) == [f"{APP}.census"]
    assert f"{APP}.census" in completed(shell, monkeypatch, "runs", "--workflow", "")
    assert completed(shell, monkeypatch, "schedules", "show", "") == {"poll": f"{APP}.count"}
    assert list(completed(shell, monkeypatch, "limits", "set", "")) == ["queue:net"]
    assert list(completed(shell, monkeypatch, "worker", "--queue", "net,de")) == ["net,default"]
    assert list(completed(shell, monkeypatch, "schedules", "la")) == []
    assert list(completed(shell, monkeypatch, "runs", "--work")) == ["--workflow"]


def test_the_steps_of_the_run_that_was_named_are_completed(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.start("census", "a")
    run = shell.start("wide", "3")
    with Segue(shell.url) as client:
        names = {step.name: step.status.value for step in client.get(run).steps() if not step.is_join}
    assert names
    before_step = [
        ("mark", run[-8:]),
        ("logs", run),
        ("explain", run),
        ("show", run, "--step"),
        ("retry", run, "--from"),
    ]
    for words in before_step:
        assert completed(shell, monkeypatch, *words, "") == names, words
    assert completed(shell, monkeypatch, "mark", "ffff", "") == {}
    assert completed(shell, monkeypatch, "show", "--step", "") == {}


def test_wherever_a_run_is_named_it_is_completed() -> None:
    for entry in COMMANDS.values():
        command: click.Command = import_module(entry.module).command
        for param in command.params:
            if param.name in ("run_id", "run_ids"):
                assert param._custom_shell_complete is not None, f"{command.name}: {param.name}"


def test_a_database_that_is_not_there_is_no_error_and_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for url in (f"sqlite:///{tmp_path}/none.db", "postgresql://me@127.0.0.1:1/none", "nonsense", ""):
        assert completed(url, monkeypatch, "show", "") == {}
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_database_that_does_not_answer_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/none"
        begun = time.monotonic()
        assert completed(url, monkeypatch, "show", "") == {}
        assert PATIENCE_SECONDS <= time.monotonic() - begun < PATIENCE_SECONDS + 5
    assert capfd.readouterr() == ("", "")


def test_bash_itself_completes(sqlite_url: str, tmp_path: Path) -> None:
    """The script, sourced by a real bash: one candidate is typed, several are listed with what they are."""
    bash = shutil.which("bash")
    assert bash is not None
    program = tmp_path / "segue"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m segue "$@"\n')
    program.chmod(0o755)
    with Segue(sqlite_url) as client:
        first, second = (client.start(complete_me).id[-8:] for _ in range(2))
    script = (
        'source <(segue completion bash); try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _segue_completion segue;'
        ' printf "%s\\n" "${COMPREPLY[@]}"; }; try segue sho; try segue show ""; '
        f"try segue show {first[:-1]}"
    )
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SEGUE_DATABASE_URL": sqlite_url}
    done = subprocess.run([bash, "--norc", "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    name = f"{complete_me.name} pending"
    lines = done.stdout.splitlines()
    assert (lines[0], done.stderr) == ("show", "")
    assert lines[1:3] == [f"{second}  ({name})", f"{first}  ({name})"]
    assert first in lines[3]


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_that_it_can_read(sqlite_shell: Shell, shell_name: str, tmp_path: Path) -> None:
    script = sqlite_shell("completion", shell_name).stdout
    assert "_SEGUE_COMPLETE" in script
    program = shutil.which(shell_name)
    if program is not None:  # its syntax; other shells are not on every machine
        (tmp_path / "script").write_text(script)
        assert subprocess.run([program, "-n", str(tmp_path / "script")], check=False).returncode == 0
