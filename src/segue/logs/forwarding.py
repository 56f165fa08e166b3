"""Takes what a task logs in a child process to the log of its worker.

The child writes each record on its pipe at once, as a `LogLine`, so a child that is killed loses none that it has
finished. The worker gives it to the handlers of its own log only: handlers that the code of the tasks has added work in
the child already.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import msgspec

from segue.given import clean, shown
from segue.logs.fields import FIELDS, AttemptFields
from segue.logs.formats import extra_of, traceback_of
from segue.printable import shortened

MESSAGE_LIMIT_BYTES = 16 * 1024
EXTRA_LIMIT_BYTES = 8 * 1024


class LogLine(msgspec.Struct, array_like=True):
    """A log record on its way to the worker."""

    name: str
    level: int
    message: str
    created: float
    fields: dict[str, Any]  # of the attempt, and those given as `extra`
    traceback: str | None = None
    process: int = 0
    thread: str = ""
    path: str = ""
    line: int = 0
    function: str = ""


class Forwarder(logging.Handler):
    """The handler in the child."""

    def __init__(self, level: int, send: Callable[[LogLine], None]) -> None:
        super().__init__(level)
        self._send = send
        self._pid = os.getpid()
        self.addFilter(AttemptFields())

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record. A fork that the task made says nothing here: the pipe belongs to the child."""
        if os.getpid() != self._pid:
            return
        try:
            self._send(line_of(record))
        except Exception:  # noqa: BLE001 - arguments that do not fit the message, or a pipe that the task has closed
            self.handleError(record)


def line_of(record: logging.LogRecord) -> LogLine:
    """A record as a line of limited length. Raises what the arguments of its message raise."""
    trace = traceback_of(record)
    fields = {name: record.__dict__[name] for name in FIELDS if name in record.__dict__}
    return LogLine(
        record.name, record.levelno, clean(record.getMessage(), MESSAGE_LIMIT_BYTES), record.created,
        fields | _sendable(extra_of(record)), clean(trace, MESSAGE_LIMIT_BYTES) if trace else None,
        record.process or 0, record.threadName or "", record.pathname, record.lineno, record.funcName or "",
    )  # fmt: skip


def record_of(line: LogLine) -> logging.LogRecord:
    """The line as a record again."""
    file = line.path.rpartition("/")[2]
    known = {
        "name": line.name, "levelno": line.level, "levelname": logging.getLevelName(line.level), "msg": line.message,
        "args": None, "created": line.created, "msecs": (line.created % 1) * 1000, "exc_text": line.traceback,
        "process": line.process, "threadName": line.thread, "processName": "segue child",
        "pathname": line.path, "filename": file, "lineno": line.line, "funcName": line.function,
        "module": file.removesuffix(".py"),
    }  # fmt: skip
    return logging.makeLogRecord({**line.fields, **known})


def _sendable(extra: dict[str, Any]) -> dict[str, Any]:
    """Extra fields as plain values, each limited in length."""
    return {shortened(str(name), 100): _limited(value) for name, value in list(extra.items())[:50]}


def _limited(value: Any) -> Any:
    try:
        text = msgspec.json.encode(value, enc_hook=repr)
    except Exception:  # noqa: BLE001 - objects of the user
        return shown(value, EXTRA_LIMIT_BYTES)
    return msgspec.json.decode(text) if len(text) <= EXTRA_LIMIT_BYTES else shown(value, EXTRA_LIMIT_BYTES)
