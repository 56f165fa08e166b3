"""Requests to a server, and what its answers mean."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from segue.authoring import encode
from segue.errors import ConfigError, StoreUnavailableError
from segue.remote.errors import RemoteError, error_of

if TYPE_CHECKING:
    import httpx2

PREFIX = "/api/v1"
TRIES = 3
PAUSE_SECONDS = 0.2
LARGEST_PAGE = 200


class Line:
    """The connection to a server. What is only read is asked again when the connection breaks."""

    def __init__(self, url: str, *, token: str | None, timeout: float, client: httpx2.Client | None) -> None:
        import httpx2  # noqa: PLC0415 - an extra

        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"Remote({url!r}) names no server. Give its address, as https://ops.example.org/segue.")
        self.url = url.rstrip("/")
        self._own = client is None
        self._client = client or httpx2.Client(timeout=timeout)
        self._headers = {"accept": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
        self._broken: tuple[type[Exception], ...] = (httpx2.TransportError,)

    def get(self, *path: object, **query: Any) -> Any:
        """What is at a path."""
        return self._asked("GET", path, query=query, may_repeat=True)

    def do(self, method: str, *path: object, may_repeat: bool = False, **body: Any) -> Any:
        """Change something. What may be repeated is sent again when the connection breaks."""
        return self._asked(method, path, body=body, may_repeat=may_repeat)

    def pages(self, *path: object, cursor: str, limit: int, **query: Any) -> Iterator[Any]:
        """The items of a list, page by page, at most `limit`."""
        following: str | None = query.pop(cursor, None)
        while limit > 0:
            size = min(limit, LARGEST_PAGE)
            found = self.get(*path, **query, limit=size, **{cursor: following})
            yield from found["items"]
            limit -= size
            following = found["next"]
            if following is None:
                return

    @contextmanager
    def lines(self, *path: object) -> Iterator[Iterator[str]]:
        """The lines of a stream."""
        headers = self._headers | {"accept": "application/x-ndjson"}
        try:
            with self._client.stream("GET", self._address(path), headers=headers, timeout=None) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    self._raise(answer)
                yield (line for line in answer.iter_lines() if line)
        except self._broken as error:
            raise self._unavailable(error) from error

    def close(self) -> None:
        """Close the connections, unless the client was given."""
        if self._own:
            self._client.close()

    def _asked(
        self, method: str, path: tuple[object, ...], *, query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None, may_repeat: bool,
    ) -> Any:  # fmt: skip
        told = {name: _written(value) for name, value in (query or {}).items() if value is not None and value != ()}
        content = None if body is None else encode({name: _plain(each) for name, each in body.items()}, "body").encode()
        headers = self._headers | ({} if content is None else {"content-type": "application/json"})
        for attempt in range(TRIES):
            try:
                answer = self._client.request(
                    method, self._address(path), params=told, content=content, headers=headers
                )  # fmt: skip
            except self._broken as error:
                if not may_repeat or attempt == TRIES - 1:
                    raise self._unavailable(error) from error
                time.sleep(PAUSE_SECONDS * 2**attempt)
                continue
            if answer.status_code >= 400:
                self._raise(answer)
            return msgspec.json.decode(answer.content)
        raise AssertionError("the last attempt returns or raises")

    def _address(self, path: tuple[object, ...]) -> str:
        return self.url + PREFIX + "".join(f"/{quote(str(part), safe='')}" for part in path)

    def _raise(self, answer: httpx2.Response) -> None:
        try:
            problem = msgspec.json.decode(answer.content)
        except msgspec.DecodeError:
            problem = None
        if not isinstance(problem, dict):
            raise RemoteError(
                answer.status_code, "NoProblem", f"{self.url} answered {answer.status_code}, and not as Segue does. Is "
                "it the address of `segue web`?",
            )  # fmt: skip
        raise error_of(answer.status_code, problem)

    def _unavailable(self, error: Exception) -> StoreUnavailableError:
        return StoreUnavailableError(f"{self.url} does not answer: {str(error) or type(error).__name__}")


def _written(value: Any) -> Any:
    """A value of a query string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return [_written(each) for each in value]
    return str(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value.total_seconds() if isinstance(value, timedelta) else value
