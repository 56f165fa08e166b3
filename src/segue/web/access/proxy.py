"""People whom a proxy in front has identified: oauth2-proxy, Cloudflare Access, a web server with its own login."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from starlette.requests import HTTPConnection

from segue.errors import ConfigError
from segue.web.access.roles_by_group import GroupRoles
from segue.web.problems import ProblemError
from segue.web.roles import Identity

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class TrustedProxy:
    """Believes the headers of some addresses, and refuses them from all others.

    Example::

        TrustedProxy(["10.0.0.0/8"], user_header="X-Forwarded-User", roles=GroupRoles.parsed("ops=operator"))
    """

    def __init__(
        self, networks: Iterable[str], *, user_header: str | None = None, groups_header: str | None = None,
        roles: GroupRoles | None = None,
    ) -> None:  # fmt: skip
        try:
            self._networks: tuple[Network, ...] = tuple(ipaddress.ip_network(each.strip()) for each in networks)
        except ValueError as error:
            raise ConfigError(f"--trust-proxy takes addresses or networks, as 10.0.0.0/8: {error}") from error
        self._user, self._groups = user_header, groups_header
        self._roles = roles or GroupRoles.parsed(None)

    def is_trusted(self, address: str | None) -> bool:
        """Whether a request from this address comes from the proxy."""
        try:
            found = ipaddress.ip_address(address or "")
        except ValueError:  # a socket file, or a test client
            return False
        return any(found in network for network in self._networks if network.version == found.version)

    def address_of(self, request: HTTPConnection) -> str | None:
        """The address of the caller: the last one in X-Forwarded-For that is not a proxy's."""
        peer = request.client.host if request.client else None
        if not self.is_trusted(peer):
            return peer
        lines = ",".join(request.headers.getlist("x-forwarded-for"))  # a proxy may add a line instead of a word
        said = [each.strip() for each in lines.split(",") if each.strip()]
        for each in reversed(said):
            if not self.is_trusted(each):
                return each[:64]
        return peer

    def scheme_of(self, request: HTTPConnection) -> str:
        """The scheme of the request: what the proxy says in X-Forwarded-Proto, or that of the connection."""
        own = str(request.scope.get("scheme", ""))
        peer = request.client.host if request.client else None
        if not self.is_trusted(peer):
            return own
        said = ",".join(request.headers.getlist("x-forwarded-proto")).rpartition(",")[2].strip().lower()
        return said if said in ("http", "https") else own

    def identify(self, request: HTTPConnection) -> Identity | None:
        """Whom the proxy names; None if it names none. Raises ProblemError for headers of another sender."""
        if self._user is None:
            return None
        names = request.headers.getlist(self._user)
        if not names:
            return None
        if not self.is_trusted(request.client.host if request.client else None):
            raise ProblemError(
                403, "UntrustedProxy", f"{self._user} is believed only from the proxies that --trust-proxy names."
            )
        if len(names) > 1 or not names[0].strip():
            raise ProblemError(403, "UntrustedProxy", f"{self._user} was sent {len(names)} times, or is empty.")
        groups = request.headers.getlist(self._groups) if self._groups else []
        if len(groups) > 1:  # one of them may be the caller's own
            raise ProblemError(403, "UntrustedProxy", f"{self._groups} was sent {len(groups)} times.")
        role = self._roles.role_of(each.strip() for each in ",".join(groups).split(","))
        if role is None:
            raise ProblemError(403, "Forbidden", f"{names[0][:100]} is in no group that may enter.")
        return Identity(names[0].strip()[:200], role, how="proxy")
