"""Where a webhook may go: resolves a host, and leaves out addresses that a webhook may not reach.

The check is made on the very address that is connected to, so a name that changes its address between the check and the
connection gains nothing. `SEGUE_WEBHOOK_ALLOW` in the worker's environment lists the only hosts and networks that may
be reached: `hooks.example.org`, `*.example.org`, `10.1.0.0/16`, separated by commas.
"""

from __future__ import annotations

import os
import socket
import threading
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple, NoReturn, Protocol

from segue.errors import Abort, ConfigError

ALLOW_VARIABLE = "SEGUE_WEBHOOK_ALLOW"
_NEVER = tuple(map(ip_network, ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128")))


_TRANSLATION, _LOCAL_TRANSLATION = map(ip_network, ("64:ff9b::/96", "64:ff9b:1::/48"))  # to IPv4


class Place(NamedTuple):
    """A host and a port."""

    host: str
    port: int


class Address(NamedTuple):
    """An address that a socket can be connected to."""

    family: int
    where: Any


class TimeLeft(Protocol):
    """The remaining time of an operation."""

    def left(self) -> float:
        """The seconds that are left. Raises TimeoutError if there are none."""
        ...


def find(
    place: Place, deadline: TimeLeft, *, is_proxy_for: str | None = None, public_only: bool = False
) -> list[Address]:
    """The allowed addresses of a place. Raises Abort if none is allowed, OSError if there are none.

    With `is_proxy_for` the place is a proxy from the worker's environment: then the host behind it is checked, by its
    name, or by its address if it is one. With `public_only`, an address of a private network is allowed only if
    `SEGUE_WEBHOOK_ALLOW` names it.
    """
    if is_proxy_for is not None:
        if not _is_allowed(is_proxy_for, _parsed(is_proxy_for), public_only=public_only):
            _refuse(is_proxy_for)
        return _resolved(place, deadline)
    found = [
        each
        for each in _resolved(place, deadline)
        if _is_allowed(place.host, _parsed(each.where[0]), public_only=public_only)
    ]
    if not found:
        _refuse(place.host)
    return found


def _resolved(place: Place, deadline: TimeLeft) -> list[Address]:
    """The addresses of a place. A resolver has no deadline, so it runs in a thread that may be abandoned."""
    if _parsed(place.host) is not None:
        return _asked(place)
    answers: list[list[Address] | OSError | UnicodeError] = []

    def ask() -> None:
        try:
            answers.append(_asked(place))
        except (OSError, UnicodeError) as error:
            answers.append(error)

    asking = threading.Thread(target=ask, name="segue-resolve", daemon=True)
    asking.start()
    asking.join(deadline.left())
    if not answers:
        raise TimeoutError
    if not isinstance(answers[0], list):
        raise answers[0]
    return answers[0]


def _asked(place: Place) -> list[Address]:
    found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    return [Address(family, where) for family, _, _, _, where in found]


def _is_allowed(host: str, address: IPv4Address | IPv6Address | None, *, public_only: bool) -> bool:
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if address is not None and any(address in network for network in _NEVER):
        return False
    allowed = [word.strip().lower() for word in os.environ.get(ALLOW_VARIABLE, "").split(",") if word.strip()]
    if not allowed:
        return not public_only or address is None or _is_public(address)
    return any(_matches(word, host.lower(), address) for word in allowed)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is an address of the public internet, and so is the one that is embedded in it."""
    if isinstance(address, IPv6Address):
        if address in _LOCAL_TRANSLATION:
            return False
        inner = [address.sixtofour, address.teredo[1] if address.teredo is not None else None]
        if address in _TRANSLATION:
            inner.append(IPv4Address(int(address) & 0xFFFF_FFFF))
        if not all(_is_public(each) for each in inner if each is not None):
            return False
    return address.is_global and not address.is_multicast


def _matches(word: str, host: str, address: IPv4Address | IPv6Address | None) -> bool:
    if word == host or (word.startswith("*.") and host.endswith(word[1:])):
        return True
    network = _network(word)
    return network is not None and address is not None and address in network


def _network(word: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(word, strict=False)
    except ValueError:
        if "/" in word:
            raise ConfigError(
                f"{ALLOW_VARIABLE} contains {word!r}, which is not a network; write hosts and networks, as in "
                "hooks.example.org,*.example.com,10.1.0.0/16"
            ) from None
        return None


def _parsed(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _refuse(host: str) -> NoReturn:
    raise Abort(
        f"nothing was sent: a webhook may not reach {host}. Link-local addresses are never reached"
        + (f", and {ALLOW_VARIABLE} names the hosts that are." if os.environ.get(ALLOW_VARIABLE) else ".")
    )
