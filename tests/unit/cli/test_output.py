"""What is printed: in every encoding, and whatever tasks, errors and names hold, it is text and no command."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import example, given
from hypothesis import strategies as st

from segue import Segue, errors, task, wait_for, workflow
from segue.authoring.limits import Limit
from segue.cli import printing
from segue.cli.root import COMMANDS, segue
from segue.output import fit_streams
from segue.printable import added, ascii_json, in_json, printable
from tests.conftest import only_tasks_of

ENCODINGS = ("utf-8", "ascii", "latin-1", "cp1252", "cp437", "shift_jis")
HOSTILE = (
    "\x1b[2J\x1b]52;c;aGk=\x07\x1b]8;;http://evil\x1b\\\x9b31m\x9d0;t\x9c\r\x08\x7f\u202e\u2066 ✓é字\U0001f600 end"
)
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
OURS = re.compile(r"\x1b\[[0-9;]*m|\x1b\]8;[^\x1b]*\x1b\\")


@pytest.fixture(scope="module")
def hostile_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database in which everything that may be said holds something to steer a terminal with."""
    with only_tasks_of(__name__):
        yield fill(f"sqlite:///{tmp_path_factory.mktemp('hostile') / 'segue.db'}")


def fill(url: str) -> str:
    @task(name=f"odd{HOSTILE}")
    def odd(text: str) -> Any:
        sys.stdout.write(text)
        return {"got": text}

    @task(name="bad", retries=1, retry_delay=0)
    def bad(text: str) -> None:
        sys.stdout.write(text)
        raise type(f"Err{HOSTILE}", (ValueError,), {})(text)

    @workflow(name=f"flow{HOSTILE}")
    def flow(text: str) -> Any:
        return odd.options(name=f"step{HOSTILE}", metadata={"a": HOSTILE})(text)

    @workflow(name="breaking")
    def breaking(text: str) -> Any:
        return bad.options(limits=[Limit("lim\x1b[2J\x9b", concurrency=1)])(text), wait_for(f"word{HOSTILE}")

    with Segue(url) as database:
        database.upgrade()
        database.run(flow, HOSTILE, key=f"key{HOSTILE}", metadata={"note": HOSTILE})
        with suppress(errors.RunFailedError):
            database.run(bad, HOSTILE)
        waiting = database.start(breaking, HOSTILE)
        waiting.pause(reason=HOSTILE)
        waiting.resume()
        database.subscriptions.add(f"sub{HOSTILE}", events=["run.failed"], to="slack://x/y")
        with suppress(errors.SegueError):
            database.schedules.create("odd", flow, HOSTILE, schedule="@daily")
        return url


def looks(url: str) -> list[list[str]]:
    with Segue(url) as database:
        ids = [run.id for run in database.runs()]
    verbs = (["show"], ["show", "--attempts", "--all"], ["explain"], ["result"], ["events"], ["retry", "--dry-run"])
    about = [[*verb, run_id] for run_id in ids for verb in verbs]
    about += [[verb, run_id, "0"] for run_id in ids for verb in ("show", "explain")]
    lists = ("subscriptions", "schedules", "limits", "retention")
    about += [[word, "list"] for word in lists] + [[word] for word in ("runs", "events", "approvals", "workers")]
    nowhere = f"no{HOSTILE}"
    wrong = [["show", nowhere], ["start", nowhere], ["skip", ids[0], nowhere], ["show", ids[0], nowhere], [nowhere]]
    return [*about, *wrong, ["db", "info"], ["db", "check"], ["cancel", "--dry-run", "--status", "pending"]]


def run(url: str, words: list[str], *, charset: str = "utf-8", **env: str) -> Result:
    runner = CliRunner(charset=charset)
    return runner.invoke(segue, words, env={"SEGUE_DATABASE_URL": url, "SEGUE_APP": ""} | env, prog_name="segue")


def test_nothing_that_is_told_steers_the_terminal(hostile_url: str) -> None:
    shown = ""
    for words in looks(hostile_url):
        result = run(hostile_url, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), (words, result.exception)
        assert not STEERING.search(result.stdout.replace("\n", "")), words
        assert not STEERING.search(result.stderr.replace("\n", "")), words
        shown += result.output
    for what in ("flow", "step", "key", "sub", "Err", "word"):
        assert f"{what}\\x1b[2J" in shown.replace("\n", ""), f"{what} is not shown at all"


def test_on_a_terminal_only_colours_are_ours(hostile_url: str) -> None:
    for words in looks(hostile_url):
        result = run(hostile_url, words, FORCE_COLOR="1", TERM="xterm-256color", COLUMNS="300")
        assert not STEERING.search(OURS.sub("", result.output).replace("\n", "")), words


def test_json_means_the_same_and_steers_nothing(hostile_url: str) -> None:
    for words in looks(hostile_url):
        result = run(hostile_url, [*words, "--json"])
        assert not STEERING.search(result.output.replace("\n", "")), words
        if result.exit_code == 0 and result.stdout:
            plain = run(hostile_url, [*words, "--json"], charset="ascii")
            document = json.loads(result.stdout)
            assert json.loads(plain.stdout).keys() == document.keys() if isinstance(document, dict) else True
    document = json.loads(run(hostile_url, ["runs", "--json"], charset="ascii").stdout)
    assert f"key{HOSTILE}" in [each["key"] for each in document]


@pytest.mark.parametrize("charset", ENCODINGS)
def test_every_encoding_can_be_printed(hostile_url: str, charset: str) -> None:
    for words in [*looks(hostile_url), ["--help"], *([name, "--help"] for name in COMMANDS if name != "bench")]:
        for more in ([], ["--json"]) if "--help" not in words else ([],):
            result = run(hostile_url, [*words, *more], charset=charset)
            assert result.exception is None or isinstance(result.exception, SystemExit), (words, result.exception)


@pytest.mark.parametrize("charset", ENCODINGS)
def test_signs_are_plainer_where_there_are_none(charset: str, hostile_url: str) -> None:
    said = run(hostile_url, ["db", "check"], charset=charset).stdout
    assert said.startswith(("✓", "+") if charset not in ("utf-8", "ascii") else "✓" if charset == "utf-8" else "+")


@pytest.mark.parametrize("words", [["runs", "--key"], ["start", "segue.sleep", "--key"], ["limits", "set"]])
def test_words_that_are_no_text_are_refused(hostile_url: str, words: list[str]) -> None:
    result = run(hostile_url, [*words, "\udcff\udcfe", *(["--concurrency", "1"] if words[0] == "limits" else [])])
    assert result.exit_code == 2, result.exception
    assert r"\udcff" in result.stderr


def test_logs_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    import logging

    from segue.logs.formats import JsonFormatter, TextFormatter

    record = logging.LogRecord("segue", logging.ERROR, "", 0, "task %s failed", (HOSTILE,), None)
    assert not STEERING.search(TextFormatter().format(record))
    assert not STEERING.search(JsonFormatter().format(record))


def test_streams_that_are_closed_are_not_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    fit_streams()
    printing.print_json({"a": 1})
    printing.put(printing.console(), "text")


@given(st.text())
@example("a\r\nb\tc\n")
@example("\ud800 \U000e0041")
def test_a_printable_text_steers_nothing_and_keeps_its_letters(text: str) -> None:
    shown = printable(text)
    assert not STEERING.search(shown)
    assert printable(shown) == shown
    shown.encode()
    if text.replace("\n", "").replace("\t", "").isprintable():
        assert shown == text


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_without_what_steers_is_the_same_document(document: Any) -> None:
    text = json.dumps(document, ensure_ascii=False)
    for safe in (in_json(text), ascii_json(text)):
        assert json.loads(safe) == document
        assert not STEERING.search(safe)
    assert ascii_json(text).isascii()


def test_an_output_that_lost_its_last_line_is_not_printed_again() -> None:
    assert added("one\ntwo\n", "one\ntwo\nthree\n") == "three\n"
    assert added("one\ntwo\nthe process has ended\n", "one\ntwo\n") == ""
    assert added("one\ntwo\n", "another attempt\n") == "another attempt\n"
