"""The login of the application in which the pages are mounted."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from starlette.requests import HTTPConnection

from segue.web.access.proxy import TrustedProxy
from segue.web.problems import ProblemError
from segue.web.roles import Identity

Identify = Callable[[HTTPConnection], Identity | None]

TO_ADD = (
    "These pages are mounted without access control, so they are closed. Say who makes a request: "
    'create_app(segue, identify=lambda request: Identity(name, "viewer")), or None for a stranger.'
)


class HostAccess:
    """Asks the application that mounted the pages."""

    proxy: TrustedProxy | None = None

    def __init__(self, identify: Identify, *, login: str | None = None) -> None:
        self._identify, self._login = identify, login

    def identify(self, request: HTTPConnection) -> Identity | None:
        """What the application says. Another kind of answer is its error, and the request is refused."""
        found = self._identify(request)
        if found is not None and not isinstance(found, Identity):
            raise ProblemError(
                500, "IdentifyError", "identify= returned something that is not a segue.web.Identity, nor None."
            )
        return found

    def login_url(self, root: str, here: str) -> str | None:
        """The page of the application."""
        return None if self._login is None else f"{self._login}?{urlencode({'next': root + here})}"


class NoAccess:
    """A mounted application that was not told how to identify requests."""

    proxy: TrustedProxy | None = None

    def identify(self, request: HTTPConnection) -> Identity | None:
        """Refuse the request, with the line that is missing."""
        raise ProblemError(403, "NoAccessControl", TO_ADD)

    def login_url(self, root: str, here: str) -> str | None:
        """There is none."""
        return None
