"""What a task prints as lines of the log, at choice (`--log-prints`): the logger `segue.output`, at the level INFO."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

from segue.given import clean
from segue.logs.fields import attempt_fields
from segue.logs.forwarding import MESSAGE_LIMIT_BYTES, LogLine

OUTPUT = "segue.output"
LONGEST_LINE = 4096
"""A longer line, or a long text without a line break, is logged in parts."""


class Printed:
    """Makes log lines of the text that one stream or one attempt prints."""

    def __init__(self, send: Callable[[LogLine], None]) -> None:
        self._send = send
        self._rest = ""
        self._sends = False

    def add(self, text: str) -> None:
        """Some more text; complete lines are logged at once."""
        if self._sends:
            return  # a handler of the log prints into the stream that it comes from
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._say(line)
        if len(self._rest) > LONGEST_LINE:
            self.end()

    def end(self) -> None:
        """The rest is a line, too."""
        rest, self._rest = self._rest, ""
        self._say(rest)

    def _say(self, line: str) -> None:
        if not line.strip():
            return
        self._sends = True
        try:
            message = clean(line.rstrip("\r"), MESSAGE_LIMIT_BYTES)
            self._send(LogLine(OUTPUT, logging.INFO, message, time.time(), attempt_fields(), process=os.getpid()))
        finally:
            self._sends = False
