"""No login: everybody on this machine may do everything. Only for addresses that no other machine reaches."""

from __future__ import annotations

import getpass

from starlette.requests import HTTPConnection

from segue.web.access.proxy import TrustedProxy
from segue.web.roles import Identity, Role

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class LocalAccess:
    """Everybody is the user who started the server."""

    proxy: TrustedProxy | None = None

    def __init__(self) -> None:
        try:
            self._name = getpass.getuser()
        except (KeyError, OSError):  # a container whose user has no name
            self._name = "local"

    def identify(self, request: HTTPConnection) -> Identity | None:
        """The user who started the server, as an admin."""
        return Identity(self._name, Role.ADMIN, how="local")

    def login_url(self, root: str, here: str) -> str | None:
        """There is none."""
        return None
