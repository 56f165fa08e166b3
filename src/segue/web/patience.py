"""How long the server waits for a client that is slow, whether it sends a request or reads an answer.

uvicorn waits without an end. Here a connection is closed whose next request has not begun in time, or whose client does
not take what was written to it. The guard bounds the time of a body, because it can still answer.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

HEAD_SECONDS = 20.0
"""From the beginning of a connection, or the first byte of a further request on it, to the end of the headers; also for
the rest of a body after it was answered."""

READ_SECONDS = 60.0
"""How long a client may leave a full buffer as it is. It has 64 KiB: a KiB in a second is fast enough."""

TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 34\r\n\r\nThe request did not come in time.\n"
)


class PatientProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with an end to waiting."""

    _head: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there; it has not said anything."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request, or of several."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._stop_awaiting_head()
        if self._is_between_requests:
            self._await_head()

    def on_response_complete(self) -> None:
        """An answer was written."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:  # answered before the whole body was there
            self._await_head()

    def pause_writing(self) -> None:
        """The client does not read as fast as is written."""
        super().pause_writing()
        if self._reading is None:
            self._reading = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._stop_awaiting_head()
        super().connection_lost(exc)
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    @property
    def _is_between_requests(self) -> bool:
        """Whether what has come since the last answer is the beginning of a request, without its end."""
        cycle: RequestResponseCycle | None = self.cycle
        is_idle = self.conn.their_state is h11.IDLE and (cycle is None or cycle.response_complete)
        return is_idle and not self.transport.is_closing()

    def _await_head(self) -> None:
        if self._head is None:
            self._head = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_awaiting_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _give_up(self) -> None:
        self._head = None
        if self.transport.is_closing():
            return
        if self._is_between_requests and self.conn.trailing_data[0]:
            self.transport.write(TOO_SLOW)
        self.transport.close()
