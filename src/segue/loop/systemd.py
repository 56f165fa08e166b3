"""Tells systemd that a service is ready, lives and stops (`Type=notify`, `WatchdogSec=`), if systemd started it.

Promise: nothing here raises, and nothing happens without `NOTIFY_SOCKET` in the environment.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self


class Systemd:
    """READY when its `with` block begins, STOPPING when it ends; meanwhile two signs of life in each `WatchdogSec`.

    A sign is left out while `live` returns problems: then systemd restarts the service.
    """

    def __init__(self, live: Callable[[], list[str]]) -> None:
        self._live = live
        self._is_over = threading.Event()

    def __enter__(self) -> Self:
        if notify("READY=1"):
            seconds = watchdog_seconds()
            if seconds is not None:
                threading.Thread(target=self._watch, args=(seconds / 2,), name="segue-watchdog", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        notify("STOPPING=1")

    def _watch(self, seconds: float) -> None:
        while True:
            if not self._live():
                notify("WATCHDOG=1")
            if self._is_over.wait(seconds):
                return


def notify(message: str) -> bool:
    """Send a message to systemd. False if it is not there."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.sendto(message.encode(), address)
        return True
    return False


def watchdog_seconds() -> float | None:
    """How often systemd wants a sign of life of this process, at least; None if it wants none."""
    with suppress(ValueError):
        if os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            return int(os.environ.get("WATCHDOG_USEC", "")) / 1e6 or None
    return None
