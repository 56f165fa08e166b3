"""Log records as lines: text for people, JSON for programs. Times are UTC, secrets are `***`.

Invariant: a line cannot control a terminal, and a JSON line is one line whatever the record contains.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from segue.logs.fields import FIELDS
from segue.masking import masked, masked_text
from segue.printable import in_json, printable

ATTEMPTS = "segue.attempts"
"""The logger of the ends of attempts, whose messages name the attempt themselves."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_formatter = logging.Formatter()
_encode = msgspec.json.Encoder(enc_hook=repr).encode


class TextFormatter(logging.Formatter):
    """A line of text. What is logged inside an attempt ends with its step and run.

    Example::

        2026-11-30 16:41:17.123 UTC WARNING shop: the card was refused [charge, attempt 1 of run 01a1fc28-...]
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        fields = record.__dict__
        milliseconds = int(record.created % 1 * 1000)
        line = f"{_second(int(record.created))}.{milliseconds:03d} UTC {record.levelname:<7} {record.name}: "
        line += masked_text(record.getMessage())
        if "step" in fields and "run" in fields and record.name != ATTEMPTS:
            attempt = f", attempt {fields['attempt']}" if "attempt" in fields else ""
            line += f" [{fields['step']}{attempt} of run {fields['run']}]"
        if trace := traceback_of(record):
            line += f"\n{masked_text(trace)}"
        return printable(line)


class JsonFormatter(logging.Formatter):
    """A JSON object on one line: time, level, logger, message, the attempt, the `extra` fields, a traceback.

    An extra field with a name that is used already ends with `_`. Example::

        {"time": "2026-11-30T16:41:17.123456+00:00", "level": "INFO", "logger": "shop", "message": "paid",
         "run": "01a1fc28-...", "step": "charge", "attempt": 1, "task": "shop.charge", "worker": "019a...", "euro": 5}
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": masked_text(record.getMessage()),
        }
        for name in FIELDS:
            if name in record.__dict__:
                line[name] = record.__dict__[name]
        for name, value in extra_of(record).items():
            line[f"{name}_" if name in line else name] = value
        if trace := traceback_of(record):
            line["traceback"] = masked_text(trace)
        return in_json(_encode(_plain(line)).decode())


def traceback_of(record: logging.LogRecord) -> str:
    """The traceback of a record, and where it was logged if that was wanted."""
    if record.exc_info and not record.exc_text:
        record.exc_text = _formatter.formatException(record.exc_info)
    return "\n".join(filter(None, (record.exc_text, record.stack_info)))


def extra_of(record: logging.LogRecord) -> dict[str, Any]:
    """The fields that the caller gave with `extra`, without secrets."""
    extra = {name: value for name, value in record.__dict__.items() if name not in _STANDARD and name not in FIELDS}
    shown = masked(extra) if extra else {}
    assert isinstance(shown, dict)
    return shown


def _plain(line: dict[str, Any]) -> dict[str, Any]:
    """The same with only such values as JSON can have."""
    try:
        _encode(line)
    except Exception:  # noqa: BLE001 - objects of the user, whose `repr` may raise, or keys that JSON lacks
        return {name: _shown(value) for name, value in line.items()}
    return line


def _shown(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    try:
        return masked_text(repr(value))
    except Exception:  # noqa: BLE001 - the user's `__repr__`
        return f"<a {type(value).__name__} that cannot be shown>"


@lru_cache(maxsize=8)
def _second(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S}"
