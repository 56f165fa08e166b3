"""A wait that ends at once when somebody rings: another thread, or a signal handler.

A `threading.Event` may not be set in a handler that interrupts its own wait; a pipe may be written to anywhere.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress


class Bell:
    """Rung once, it stays rung."""

    def __init__(self) -> None:
        self._pipe: tuple[int, int] | None = None
        self.is_rung = False

    def ring(self) -> None:
        """End the wait, and every later one. Safe in signal handlers and other threads."""
        self.is_rung = True  # before the look at the pipe: who waits makes the pipe first and looks at this then
        if self._pipe is not None:
            with suppress(OSError):
                os.write(self._pipe[1], b"!")

    def wait(self, seconds: float | None = None) -> bool:
        """Wait so long, or until it rings; True when it has rung."""
        if self._pipe is None:
            self._pipe = os.pipe()
        if not self.is_rung:
            select.select([self._pipe[0]], [], [], seconds)
        return self.is_rung

    def close(self) -> None:
        """Give the pipe back."""
        pipe, self._pipe = self._pipe, None
        for end in pipe or ():
            os.close(end)
