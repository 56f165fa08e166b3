"""How many streams are open, for each person and in all, and an answer that gives its place back however it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from segue.web.problems import ProblemError

MOST = 500
"""Streams of one kind at the same time. Each has a connection, and perhaps a look at the database each second."""

HEADERS = {"x-accel-buffering": "no"}


class Places:
    """The open streams of one kind.

    A place is taken before the answer begins: of requests that come at once, no more begin than there are places.
    """

    def __init__(self, each: int) -> None:
        self._each = each
        self._taken: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        """How many there are."""
        return self._taken.total()

    def take(self, person: str) -> bool:
        """Take a place. False if this person has all of theirs. Raises ProblemError if there are too many in all."""
        if self._taken[person] >= self._each:
            return False
        if self.taken >= MOST:
            raise ProblemError(503, "TooManyStreams", f"There are {MOST} open streams. Try again later.")
        self._taken[person] += 1
        return True

    def give_back(self, person: str) -> None:
        """Give a place back."""
        self._taken[person] -= 1
        if not self._taken[person]:
            del self._taken[person]


class Stream(StreamingResponse):
    """An answer that goes on for long. What `HEAD` asks for has no content, and ends."""

    def __init__(
        self, request: Request, content: Callable[[], AsyncIterator[str | bytes]], media_type: str,
        given_back: Callable[[], None], *, headers: Mapping[str, str] = HEADERS,
    ) -> None:  # fmt: skip
        super().__init__(_nothing() if request.method == "HEAD" else content(), media_type=media_type, headers=headers)
        self._given_back = given_back

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer. The place is given back also if the client has left before anything was sent."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._given_back()


async def _nothing() -> AsyncIterator[bytes]:
    yield b""
