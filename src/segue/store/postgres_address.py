"""The address of a PostgreSQL database, read as libpq reads it, and which parts of it may be shown.

Only libpq decides what a URL means, with its several hosts, ports and parameters. No text here contains a password:
neither `place` nor an error. In a malformed URL, part of the password may stand where libpq expects a host, so libpq's
own message about such a URL is not shown either.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from segue.errors import ConfigError

CONNECT_SECONDS = 10
_NETWORK = {  # notices after about 10 s that the peer is gone, both while sending and while waiting
    "connect_timeout": str(CONNECT_SECONDS),
    "keepalives": "1",
    "keepalives_idle": "4",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_IN_ENVIRONMENT = {"connect_timeout": "PGCONNECT_TIMEOUT", "target_session_attrs": "PGTARGETSESSIONATTRS"}
_DRIVER = re.compile(r"^(postgres(?:ql)?)(?:\+\w+)?://", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z_]{1,40}")
_ESCAPES = "In a user name or password write % as %25, / as %2F, @ as %40 and : as %3A"
_REASONS = (  # texts in libpq's messages, and the reason to show instead: its messages quote the URL
    ("unexpected spaces", "it contains a space, which must be written %20"),
    ("percent-encoded", "a % is not followed by two hexadecimal digits"),
    ("%00", "it contains a NUL character (%00)"),
    ("IPv6", "an IPv6 address lacks its closing bracket, as in [::1]"),
    ("unexpected character", "after the brackets of an IPv6 address comes neither a port nor a path"),
    ("query parameter", "a parameter is unknown to libpq, or is not written name=value"),
    ("connection option", "a parameter is unknown to libpq"),
    ("unterminated", "a quote is not closed"),
    ('"="', "a parameter is not written name=value"),
)


@dataclass(frozen=True, slots=True)
class Address:
    """A database to connect to. Only `place` may be shown: the rest contains the password."""

    place: str
    has_doubtful_password: bool
    ours: str = field(repr=False)
    """For Segue's own sessions."""
    lent: str = field(repr=False)
    """The same for sessions that are lent to tasks, without Segue's session settings."""


def address_of(url: str) -> Address:
    """Read a URL (or libpq's `host=... dbname=...`). Raises ConfigError if it is invalid."""
    text = _DRIVER.sub(lambda found: f"{found[1].lower()}://", url)
    found = _read(text)
    _check_numbers(found)
    doubtful = _has_doubtful_password(text)
    lent = dict(found)
    for name, value in (_NETWORK | _for_several_hosts(found)).items():
        if name not in found and not os.environ.get(_IN_ENVIRONMENT.get(name, "")):
            lent[name] = value
    ours = {"fallback_application_name": "segue"} | lent | {"client_encoding": "UTF8"}
    place = "PostgreSQL" if doubtful else _place(found)
    return Address(place, doubtful, _conninfo(ours), _conninfo(lent))


def _read(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    reason = None
    try:
        if "\0" in text:
            raise ValueError("%00")
        found = {name: str(value) for name, value in conninfo_to_dict(text).items()}
    except (psycopg.Error, ValueError) as error:  # a ValueError: bytes that are not UTF-8
        reason = next((why for said, why in _REASONS if said in str(error)), "libpq cannot read it")
    if reason is None:
        return found
    unknown = _unknown_parameters(text)
    if unknown:
        reason += f" ({', '.join(unknown)})"
    raise ConfigError(f"The database URL is not valid for PostgreSQL: {reason}. {_ESCAPES}.")


def _unknown_parameters(text: str) -> list[str]:
    """The parameter names that are unknown to libpq, unless one could be part of a password."""
    before, _, query = text.partition("?")
    if "@" in query or "password" in query or "://" not in before or _has_doubtful_password(before):
        return []
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    names = [piece.partition("=")[0] for piece in query.split("&")]
    return [name for name in names if _WORD.fullmatch(name) and name not in known]


def _has_doubtful_password(text: str) -> bool:
    """True if an @ comes after the place where libpq ends the password, as with an unescaped / or @ in it."""
    _, _, rest = text.partition("://")
    end = re.search("[@/]", rest)
    if end is not None and end[0] == "@":
        rest = rest[end.end() :]
    return "@" in rest.partition("?")[0]


def _check_numbers(found: dict[str, str]) -> None:
    ports = [port for port in found.get("port", "").split(",") if port]
    if not all(port.strip().isascii() and port.strip().isdigit() and 0 < int(port) < 65536 for port in ports):
        raise ConfigError(
            f"A port in the database URL is not a number from 1 to 65535. {_ESCAPES}: "
            "otherwise libpq looks for the port in the wrong place."
        )
    for name in ("connect_timeout", "keepalives", "tcp_user_timeout"):
        if not re.fullmatch(r"\s*-?[0-9]{1,9}\s*", found.get(name, "0")):
            raise ConfigError(f"{name} in the database URL is not a valid number; correct it.")


def _for_several_hosts(found: dict[str, str]) -> dict[str, str]:
    several = "," in found.get("host", "") or "," in found.get("hostaddr", "")
    return {"target_session_attrs": "read-write"} if several else {}


def _place(found: dict[str, str]) -> str:
    if "service" in found and "host" not in found:
        return f"PostgreSQL (service {found['service']})"
    hosts = (found.get("host") or found.get("hostaddr") or "").split(",")
    ports = found.get("port", "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    ports += [""] * (len(hosts) - len(ports))
    places = [
        f"{f'[{host}]' if ':' in host else host or 'local PostgreSQL'}{f':{port}' if port else ''}"
        for host, port in zip(hosts, ports, strict=False)
    ]
    return f"{','.join(places)}/{found.get('dbname', '')}".rstrip("/")


def _conninfo(parameters: dict[str, str]) -> str:
    try:
        return make_conninfo("", **parameters)
    except (psycopg.Error, ValueError):
        pass
    raise ConfigError("libpq refuses a value in the database URL. Check its parameters.")
