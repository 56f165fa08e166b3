"""Wrong usage has one form: `segue: what is wrong. See: segue COMMAND --help`, and exit code 2."""

from __future__ import annotations

import re

import pytest

from tests.unit.cli.conftest import Shell

WRONG = {
    ("staart",): "'staart' is not a command. Did you mean 'start' or 'stats'? See: segue --help",
    ("xyzzy",): "'xyzzy' is not a command. See: segue --help",
    ("schedules", "lst"): "'lst' is not a command. Did you mean 'list'? See: segue schedules --help",
    ("limits", "st"): "'st' is not a command. Did you mean 'set' or 'list'? See: segue limits --help",
    ("runs", "--limt", "3"): "--limt is not an option of this command. Did you mean '--limit' or '--meta'?",
    ("runs", "--limit", "x"): "Invalid value for '--limit'",
    ("runs", "extra"): "unexpected extra argument (extra). See: segue runs --help",
    ("start",): "Missing argument 'WORKFLOW'. See: segue start --help",
    ("show",): "Missing argument 'RUN'. See: segue show --help",
    ("pause",): "Name the runs by their ids",
    ("pause", "77", "--tag", "x"): "not both. See: segue pause --help",
    ("--databse", "x", "runs"): "--databse is not an option of this command. Did you mean '--database'?",
    ("start", "cens"): "Did you mean 'census'",
    ("runs", "--older-than", "soon"): "soon",
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_usage_is_one_line_in_one_form(sqlite_shell: Shell, words: tuple[str, ...]) -> None:
    result = sqlite_shell(*words, exit_code=2)
    assert result.stdout == ""
    assert re.fullmatch(r"segue: [^\n]+\n", result.stderr), result.stderr
    assert WRONG[words] in result.stderr
    assert "Traceback" not in result.stderr


def test_a_group_without_a_command_shows_its_help(sqlite_shell: Shell) -> None:
    for words in ((), ("schedules",)):
        text = sqlite_shell(*words, exit_code=2).output
        assert text.startswith("Usage: segue")
        assert "Commands" in text or "Work:" in text


def test_control_characters_that_were_typed_are_not_printed(sqlite_shell: Shell) -> None:
    for words in (("a\x1b[2Jb",), ("runs", "--x\x1b[2J"), ("show", "\x1b[2J")):
        assert "\x1b" not in sqlite_shell(*words, exit_code=None).stderr


def test_no_answer_to_a_question_changes_nothing(sqlite_shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    from segue.cli import bulk

    monkeypatch.setattr(bulk, "_is_terminal", lambda: True)
    sqlite_shell.start("census", "a", "--tag", "t")
    assert "segue: No answer, so nothing was changed" in sqlite_shell("cancel", "--tag", "t", exit_code=1).stderr
    assert [run["status"] for run in sqlite_shell.json("runs")] == ["pending"]


def test_result_advises_in_words_of_the_shell(sqlite_shell: Shell) -> None:
    run_id = sqlite_shell.start("census", "a")
    said = sqlite_shell("result", run_id, exit_code=1).stderr
    assert said == f"segue: Run {run_id[-8:]} has not ended. Wait for it: segue result {run_id[-8:]} --wait\n"
    failed = sqlite_shell.start("failing", "no luck")
    sqlite_shell("worker", "--burst", "--pool", "thread")
    said = sqlite_shell("result", failed, exit_code=1).stderr
    assert "ValueError: no luck" in said
    assert f"See: segue show {failed[-8:]} --attempts" in said


def test_a_burst_on_the_wrong_queue_says_where_the_work_is(shell: Shell) -> None:
    shell.start("census", "a")
    said = shell("worker", "--queue", "nosuch", "--pool", "thread", "--burst").stderr
    assert "Steps are ready on other queues (default); work on them: segue worker -A tests." in said
    assert "other queues" not in shell("worker", "--burst", "--pool", "thread").stderr
    assert [run["status"] for run in shell.json("runs")] == ["succeeded"]
