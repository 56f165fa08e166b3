"""Calls to the API of a cluster. lightkube reads the kubeconfig, and keeps certificates and tokens; it retries nothing.

Lists and watches are read here, because a relist of ten thousand pods must take little time, and because a watch needs
a limit for silence: a connection that a firewall has dropped says nothing forever.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import httpx2
import msgspec
from lightkube import KubeConfig
from lightkube.config import client_adapter
from lightkube.core.exceptions import ConfigError

from segue.executors.kubernetes.objects import ApiError, AwayError, Change, Page, Status

PAGE = 500
MOST_PATIENCE = 300.0  # whatever the API, or a proxy before it, asks for
SILENCE_SECONDS = 15.0  # longer than the API lets a watch live
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
_RESTARTS = 3  # of a list whose pages became too old while it was read
T = TypeVar("T")


class Api:
    """The API of one cluster. It connects at the first call.

    `kubeconfig` is the path of a file; without it, what a pod of the cluster gets, then KUBECONFIG,
    then the user's own.
    """

    def __init__(self, *, kubeconfig: str | None, context: str | None, seconds: float) -> None:
        self._file = kubeconfig
        self._context = context
        self._seconds = seconds
        self._lock = threading.Lock()
        self._http: httpx2.Client | None = None
        self._is_closed = False

    def create(self, path: str, body: Mapping[str, Any], kind: type[T]) -> T:
        """Create an object. Raises ApiError and AwayError, as all calls do."""
        return _decoded(self._call("POST", path, body=body), kind)

    def get(self, path: str, kind: type[T]) -> T:
        """Read an object."""
        return _decoded(self._call("GET", path), kind)

    def read(self, path: str, **query: str) -> bytes:
        """Read what is not an object, such as a log."""
        return self._call("GET", path, query=query)

    def delete(self, path: str, **options: Any) -> None:
        """Delete an object; one that is not there is no error."""
        body = {"kind": "DeleteOptions", "apiVersion": "v1", **options}
        try:
            self._call("DELETE", path, body=body)
        except ApiError as error:
            if error.code != 404:
                raise

    def list_all(self, path: str, kind: type[T], **selectors: str) -> tuple[list[T], str]:
        """All objects, page by page, and the version at which a watch goes on."""
        for _ in range(_RESTARTS):
            try:
                return self._list(path, kind, selectors)
            except ApiError as error:
                if error.code != 410:  # the pages that were to come are too old
                    raise
        raise AwayError("the list was too old before it had been read, three times", was_sent=True)

    def watch(self, path: str, *, version: str, seconds: int, **selectors: str) -> Iterator[Change]:
        """Changes since `version`, until the API ends the watch after so many seconds."""
        query = {**selectors, "watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version,
                 "timeoutSeconds": str(seconds)}  # fmt: skip
        silence = httpx2.Timeout(self._seconds, read=seconds + SILENCE_SECONDS)
        decoder = msgspec.json.Decoder(Change)
        try:
            with self._connected().stream("GET", path, params=query, timeout=silence) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    raise _error_of(answer)
                for line in answer.iter_lines():
                    if line:
                        yield decoder.decode(line)
        except httpx2.HTTPError as error:
            raise _away(error) from error
        except msgspec.MsgspecError as error:
            raise AwayError(f"a line of a watch cannot be read: {error}", was_sent=True) from error

    def close(self) -> None:
        """Close its connections. No call is made any more: a watch that still runs must not open others."""
        with self._lock:
            self._is_closed = True
            http, self._http = self._http, None
        if http is not None:
            http.close()

    def _list(self, path: str, kind: type[T], selectors: Mapping[str, str]) -> tuple[list[T], str]:
        decoder = msgspec.json.Decoder(kind)
        found: list[T] = []
        query = {**selectors, "limit": str(PAGE)}
        while True:
            page = _decoded(self._call("GET", path, query=query), Page)
            try:
                found += [decoder.decode(item) for item in page.items or ()]
            except msgspec.MsgspecError as error:
                raise AwayError(f"an object of the API cannot be read: {error}", was_sent=True) from error
            if not page.metadata.continue_:
                return found, page.metadata.resourceVersion
            query["continue"] = page.metadata.continue_

    def _call(self, method: str, path: str, *, body: Any = None, query: Mapping[str, str] | None = None) -> bytes:
        content = None if body is None else msgspec.json.encode(body)
        headers = None if body is None else {"Content-Type": "application/json"}
        try:
            answer = self._connected().request(method, path, params=query, content=content, headers=headers)
        except httpx2.HTTPError as error:
            raise _away(error) from error
        except (ConfigError, OSError, subprocess.SubprocessError, ValueError) as error:  # a token could not be had
            raise AwayError(f"the call could not be made: {error}", was_sent=False) from error
        if answer.status_code >= 400:
            raise _error_of(answer)
        return bytes(answer.content)

    def _connected(self) -> httpx2.Client:
        with self._lock:
            if self._is_closed:
                raise AwayError("the executor was closed", was_sent=False)
            if self._http is None:
                self._http = self._connect()
            return self._http

    def _connect(self) -> httpx2.Client:
        where = self._file or os.environ.get("KUBECONFIG") or "~/.kube/config"
        try:
            config = KubeConfig.from_file(self._file) if self._file else KubeConfig.from_env()
            chosen = config.get(self._context)
            if chosen is None:
                raise AwayError(f"{where} names no context; write Kubernetes(..., context='...')", was_sent=False)
            return client_adapter.Client(chosen, client_adapter.ConnectionParams(timeout=httpx2.Timeout(self._seconds)))
        except AwayError:
            raise
        except Exception as error:  # noqa: BLE001 - of a file that people wrote; it may hold tokens, so only its kind
            said = str(error) if isinstance(error, (ConfigError, OSError)) else type(error).__name__
            raise AwayError(f"no connection can be made from {where}: {said}", was_sent=False) from None


def _decoded(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise AwayError(f"an answer of the API cannot be read: {error}", was_sent=True) from error


def _away(error: httpx2.HTTPError) -> AwayError:
    return AwayError(f"no answer: {str(error) or type(error).__name__}", was_sent=not isinstance(error, _NOT_SENT))


def _error_of(answer: httpx2.Response) -> ApiError:
    try:
        status = msgspec.json.decode(answer.content, type=Status)
    except msgspec.MsgspecError:  # of a proxy on the way
        status = Status(answer.text[:300])
    after = answer.headers.get("Retry-After", "")
    wait = min(float(after[:9]), MOST_PATIENCE) if after.isdecimal() and after.isascii() else None
    return ApiError(answer.status_code, status.reason, status.message, retry_after=wait)
