"""What all requests of an application share: the database and the settings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio
import anyio.to_thread
from starlette.requests import HTTPConnection

from segue.client import Segue
from segue.web.outward import Outward
from segue.web.roles import Identity
from segue.web.streams import Places

if TYPE_CHECKING:
    from segue.web.access.proxy import TrustedProxy

THREADS = 8
"""Requests that work with the database at the same time; an application that mounts this one keeps its own threads."""

FOLLOWED = 20
"""Runs that one caller may follow at the same time."""

T = TypeVar("T")


class Access(Protocol):
    """How requests are identified."""

    proxy: TrustedProxy | None
    """The proxy whose headers are believed, if there is one."""

    def identify(self, request: HTTPConnection) -> Identity | None:
        """Who makes this request; None if that is unknown. It runs in a thread, and may read the database."""
        ...

    def login_url(self, root: str, here: str) -> str | None:
        """Where a person logs in and comes back to `here`, a path below `root`. None: there is no such page."""
        ...


class Settings:
    """The settings of a site, as given to `create_app`."""

    def __init__(
        self, *, public_url: str | None = None, allowed_hosts: tuple[str, ...] = (), allow_shell: bool = False,
        live: str = "stream", requires_reason: bool = False,
    ) -> None:  # fmt: skip
        self.public_url = public_url.rstrip("/") if public_url else None
        self.allowed_hosts = allowed_hosts  # empty: any
        self.allow_shell = allow_shell
        self.live = live  # "stream": pages hear of changes at once; "poll": they ask every two seconds
        self.requires_reason = requires_reason
        self.outward = Outward()


class Site:
    """One application: its database, how requests are identified, and its settings."""

    def __init__(self, segue: Segue, access: Access, settings: Settings) -> None:
        self.segue, self.access, self.settings = segue, access, settings
        self.followers = Places(FOLLOWED)
        self.is_stopping = False  # streams end

    @functools.cached_property
    def _limiter(self) -> anyio.CapacityLimiter:
        return anyio.CapacityLimiter(THREADS)

    async def in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function that may wait for the database."""
        return await anyio.to_thread.run_sync(function, *args, limiter=self._limiter)
