"""How a process of Segue begins and ends, in any environment and with any code running in it.

It may be started with descriptor 0, 1 or 2 closed (`>&-`, some service managers). The next file or socket that it opens
would get that number, and all code that uses standard input or output would then read or write it.

Threads that a task or a module has started may still run at its end. Python waits forever for each that is not a
daemon.
"""

from __future__ import annotations

import os
import sys
import threading

LEAVE_SECONDS = 10.0


def open_standard_descriptors() -> None:
    """Open /dev/null for each of the descriptors 0, 1 and 2 that is closed, and streams for those that `sys` lacks.

    Call it before this process opens anything that it keeps. A second call does nothing.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # This is the lowest free number, because those below it are open by now.
            opened = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(opened, True)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - it lives as long as the process
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - see above
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115 - as above


def leave_within(seconds: float, code: int) -> None:
    """Let this process end by itself; if it has not ended after `seconds`, end it with this exit code."""
    killer = threading.Timer(seconds, _leave, (code,))
    killer.daemon = True
    killer.start()


def _leave(code: int) -> None:
    names = ", ".join(thread.name for thread in threading.enumerate() if not thread.daemon)
    os.write(2, f"segue: no longer waiting for threads that are still running: {names}\n".encode())
    os._exit(code)
