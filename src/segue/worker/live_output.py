"""What the one attempt of a process prints, printed again by that process while the attempt runs.

The log of a platform then has it at once, and people follow it there or with `segue logs --follow`. A log that cannot
be written, such as one on a full disk, is no reason for the attempt to fail.
"""

from __future__ import annotations

import codecs
import sys
from contextlib import suppress

from segue.printable import added
from segue.worker.pool.capture import TAIL_BYTES, storable
from segue.worker.pool.process import ProcessPool

MOST_AT_ONCE = 64 * 1024
"""Bytes between two looks: of more, the end is printed."""

MOST_BYTES = 16 * 2**20
"""Then nothing is printed until the attempt has ended."""


class LiveOutput:
    """The output of a pool with one child and one attempt. Call `pump` now and then, and `finish` once.

    Example::

        live = LiveOutput(pool)
        while not pool.collect(1.0):
            live.pump()
        live.finish(outcome.output)
    """

    def __init__(self, pool: ProcessPool) -> None:
        self._pool = pool
        self._position = 0
        self._count = 0  # bytes that were printed
        self._printed = ""  # the end of it
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def pump(self) -> None:
        """Print what is new."""
        data, self._position = self._pool.printed(self._position)
        if not data or self._count >= MOST_BYTES:
            return
        self._count += len(data)
        left_out = len(data) - MOST_AT_ONCE
        text = storable(self._decoder.decode(data[-MOST_AT_ONCE:]))
        self._write(f"[... {left_out} bytes cut]\n{text}" if left_out > 0 else text)
        if self._count >= MOST_BYTES:
            self._write("\nsegue: it has printed much, and more is shown when it has ended\n")

    def finish(self, output: str) -> None:
        """Print what is still missing of the end of the output."""
        self._write(added(self._printed, output))

    def _write(self, text: str) -> None:
        self._printed = (self._printed + text)[-TAIL_BYTES:]
        with suppress(OSError, ValueError):
            sys.stdout.write(text)
            sys.stdout.flush()
