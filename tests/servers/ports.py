"""Where a server for the tests listens, and whom it runs as."""

from __future__ import annotations

import os
import pwd
import random
import socket
from contextlib import suppress

FIRST, LAST = 10_000, 32_000
"""Below the ports that systems give to clients: while a server is restarted, no connection may get its port."""


def free_port() -> int:
    """A port of the loopback address that nothing listens on now, chosen by chance: others choose at the same time."""
    while True:
        port = random.SystemRandom().randint(FIRST, LAST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


def unprivileged_user() -> str | None:
    """A user for servers that refuse to run as root; None means the present user."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody", "daemon") if name in known)


def listens(port: int) -> bool:
    """Whether a process accepts connections at a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True
