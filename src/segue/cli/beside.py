"""A thread of a command that works while a `with` block lasts."""

from __future__ import annotations

import threading
from typing import Self


class Beside:
    """Runs `_run` in a thread. A class derived from it returns from there soon after `_ended` is set.

    Example::

        class Clock(Beside):
            def _run(self) -> None:
                while not self._ended.wait(1.0):
                    tick()

        with Clock("segue-clock"):
            work()
    """

    def __init__(self, name: str) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        raise NotImplementedError
