"""Log records as lines, and on their way from a child: also those that were made to break them."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from segue.authoring.context import Context, use
from segue.errors import ConfigError
from segue.logs.attempts import AttemptLog, logger
from segue.logs.fields import AttemptFields
from segue.logs.formats import JsonFormatter, TextFormatter
from segue.logs.forwarding import LogLine, line_of, record_of
from segue.logs.printed import Printed
from segue.logs.setting import Log
from segue.model import ErrorInfo, Job, Outcome, Verdict
from segue.worker.pool import wire

pytestmark = pytest.mark.unit


class Nasty:
    def __repr__(self) -> str:
        raise SystemError("no repr")


def record(message: str = "hello", **fields: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "shop", "levelno": 20, "levelname": "INFO", "msg": message, **fields})


def context() -> Context:
    return Context("r1", 3, 2, "charge[3]", "shop.charge", lambda *_: None)


def test_the_fields_of_an_attempt_yield_to_those_of_the_caller() -> None:
    with use(context()):
        mine = record(run="mine")
        assert AttemptFields().filter(mine)
    assert (mine.__dict__["run"], mine.__dict__["step"], mine.__dict__["attempt"]) == ("mine", "charge[3]", 2)
    outside = record()
    AttemptFields().filter(outside)
    assert "run" not in outside.__dict__


@pytest.mark.parametrize("value", [Nasty(), {Nasty(): 1}, float("nan"), object, b"\xff", {"a": {1: Nasty()}}])
def test_no_extra_field_breaks_a_line(value: object) -> None:
    odd = record("a\nb\x1b[2J", odd=value, time="noon")
    shown = JsonFormatter().format(odd)
    assert "\n" not in shown
    assert json.loads(shown)["message"] == "a\nb\x1b[2J"
    assert json.loads(shown)["time_"] == "noon"
    line = line_of(odd)
    [back] = wire.take_frames(bytearray(wire.pack_log(line)), 1_000_000)
    assert isinstance(back, LogLine)
    assert json.loads(JsonFormatter().format(record_of(back)))["logger"] == "shop"


def test_secrets_are_hidden_before_they_leave_the_child() -> None:
    line = line_of(record("token=abc", password="hunter2"))
    assert line.fields == {"password": "***"}
    assert "abc" not in TextFormatter().format(record_of(line))


def test_a_long_record_is_cut() -> None:
    line = line_of(record("m" * 1_000_000, big=["x" * 1_000_000], exc_text="t" * 1_000_000))
    assert len(wire.pack_log(line)) < 64 * 1024


def test_what_is_no_log_record_is_garbled() -> None:
    frame = wire.pack_log(line_of(record())).replace(b"shop", b"sh\xff\xff")
    assert wire.take_frames(bytearray(frame), 10_000) == [wire.Sign.GARBLED]


def test_a_step_that_is_skipped_is_no_fault_with_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    error = ErrorInfo("Skip", "nothing to do", "Traceback (most recent call last): ...")
    with caplog.at_level(logging.INFO, logger.name):
        AttemptLog().ended([Outcome("r1", 0, 1, verdict, error=error) for verdict in (Verdict.SKIPPED, Verdict.FAILED)])
    skipped, failed = map(TextFormatter().format, caplog.records)
    assert skipped.endswith(": Skip: nothing to do")
    assert failed.endswith(error.traceback)


def test_a_handler_that_raises_stops_neither_the_worker_nor_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    class Raising(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            raise OSError("full")

    handler = Raising()
    logger.addHandler(handler)
    try:
        log = AttemptLog()
        log.began([Job("r", 1, 1, "a", "shop.a", "[[],{}]", None, {}, None)])
        log.ended([Outcome("r", 1, 1, Verdict.LOST), Outcome("r", 2, 1, Verdict.LOST)])
    finally:
        logger.removeHandler(handler)
    assert log._tasks == {}


def test_printed_text_becomes_lines_whatever_its_pieces() -> None:
    lines: list[str] = []
    printed = Printed(lambda line: lines.append(line.message))
    for piece in ("a", "b\nc", "\n\n  \nd\r\n", "e" * 10_000, "f"):
        printed.add(piece)
    printed.end()
    assert lines[:3] == ["ab", "c", "d"]
    assert "".join(lines[3:]) == "e" * 10_000 + "f"


def test_a_handler_that_prints_does_not_log_for_ever() -> None:
    lines: list[str] = []

    def send(line: LogLine) -> None:
        lines.append(line.message)
        printed.add("again\n")

    printed = Printed(send)
    printed.add("once\n")
    assert lines == ["once"]


@pytest.mark.parametrize(
    "name, text, why",
    [
        ("a.json", "{", "not valid JSON"),
        ("a.toml", "x =", "not valid TOML"),
        ("a.json", "[]", "must contain an object"),
        ("a.json", '{"root": {"handlers": ["no"]}}', "dictConfig"),
        ("a.json", '{"handlers": {"h": {"class": "no.such.Handler"}}, "root": {"handlers": ["h"]}}', "no.such"),
        ("none.json", None, "cannot be read"),
    ],
)
def test_a_file_of_settings_that_is_wrong_is_refused(tmp_path: Path, name: str, text: str | None, why: str) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=why):
        Log().set_up_from(path)
