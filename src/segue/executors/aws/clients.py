"""Amazon's clients, made when they are first needed. Keys come from where boto3 finds them, and are never Segue's.

Two clients of each service: one repeats a call by itself when no answer came, which is right for questions. The other
never does: before a call that makes a job is repeated, Amazon must be asked whether it was carried out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any

CONNECT_SECONDS = 5
READ_SECONDS = 20
_TRIES = 3


class Clients:
    """The clients of one executor; threads may share them."""

    def __init__(self, *, region: str | None, profile: str | None, endpoint_url: str | None) -> None:
        self._region = region
        self._profile = profile
        self._endpoint_url = endpoint_url
        self._lock = threading.Lock()
        self._session: Any = None
        self._made: dict[tuple[str, bool], Any] = {}

    def asking(self, service: str) -> Any:
        """A client for questions, and for what may be done twice."""
        return self._client(service, repeats=True)

    def making(self, service: str) -> Any:
        """A client that sends every call once."""
        return self._client(service, repeats=False)

    def _client(self, service: str, *, repeats: bool) -> Any:
        with self._lock:
            if (service, repeats) not in self._made:
                self._made[service, repeats] = self._make(service, repeats=repeats)
            return self._made[service, repeats]

    def _make(self, service: str, *, repeats: bool) -> Any:
        import boto3  # noqa: PLC0415 - boto3 is optional, and takes a second
        from botocore.config import Config  # noqa: PLC0415 - the same

        if self._session is None:
            self._session = boto3.session.Session(region_name=self._region, profile_name=self._profile)
        tries = {"mode": "standard", "total_max_attempts": _TRIES if repeats else 1}
        config = Config(
            retries=tries, connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, user_agent_extra="segue"
        )  # fmt: skip
        return self._session.client(service, endpoint_url=self._endpoint_url, config=config)


def pages_of(ask: Callable[..., Any], what: str, method: Callable[[], Any], **which: Any) -> Iterator[dict[str, Any]]:
    """The pages of an answer. Raises what `ask` raises."""
    while True:
        page = ask(what, method, **which)
        yield page
        if not page.get("nextToken"):
            return
        which["nextToken"] = page["nextToken"]


def ahead_of_us(answer: Any, known: float) -> float:
    """By how many seconds the clock of the server that gave this answer is ahead; `known` if the answer has no time."""
    try:
        said = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
        return parsedate_to_datetime(said).timestamp() - time.time()
    except (LookupError, TypeError, ValueError):
        return known
