"""A TCP proxy that can stop forwarding without closing anything, as a network does that drops packets."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOOK_SECONDS = 0.01


class Proxy:
    """Forwards connections to one port of this machine."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._lock = threading.Lock()
        self._frozen: set[socket.socket] = set()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._accepts_frozen = False
        self._is_closed = False
        self._thread = threading.Thread(target=self._forward, daemon=True)
        self._thread.start()

    def freeze(self, *, also_new: bool) -> None:
        """Forward nothing more of the connections that there are; with `also_new`, of none."""
        with self._lock:
            self._frozen = set(self._pairs)
            self._accepts_frozen = also_new

    def thaw(self) -> None:
        """Forward again, what was held back too."""
        with self._lock:
            self._frozen = set()
            self._accepts_frozen = False

    def close(self) -> None:
        """Close everything."""
        self._is_closed = True
        self._thread.join(5)
        for line in (self._listener, *self._pairs):
            line.close()

    def _forward(self) -> None:
        while not self._is_closed:
            ready = [key.fileobj for key, _ in self._selector.select(LOOK_SECONDS)]
            for line in ready:
                assert isinstance(line, socket.socket)
                if line is self._listener:
                    self._accept()
                elif line not in self._frozen:
                    self._pass_on(line)
            if ready and self._frozen.issuperset(ready):  # what they hold back makes them ready again at once
                time.sleep(LOOK_SECONDS)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        far = socket.create_connection(("127.0.0.1", self._to))
        with self._lock:
            for one, other in ((near, far), (far, near)):
                self._pairs[one] = other
                self._selector.register(one, selectors.EVENT_READ)
                if self._accepts_frozen:
                    self._frozen.add(one)

    def _pass_on(self, line: socket.socket) -> None:
        other = self._pairs.get(line)
        if other is None:  # the other side's end has closed it a moment ago
            return
        try:
            data = line.recv(65536)
            if data:
                other.sendall(data)
                return
        except OSError:
            pass
        with self._lock:
            for each in (line, other):
                self._selector.unregister(each)
                self._pairs.pop(each)
                each.close()


@contextmanager
def proxying(port: int) -> Iterator[Proxy]:
    """A proxy to that port, for as long as this lasts."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
