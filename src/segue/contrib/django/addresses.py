"""The URL of the database that Django has under an alias, for Segue's own connections to it.

Read from Django's connection and not from the settings, because tests change its name. Every part is escaped, so that
names and passwords may contain any character.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from django.db import connections
from django.utils.connection import ConnectionDoesNotExist

from segue.errors import ConfigError

_PLAIN_HOST = re.compile(r"[A-Za-z0-9._-]+")
_OF_DJANGO_AND_PSYCOPG = {
    "assume_role", "autocommit", "context", "cursor_factory", "isolation_level", "pool", "prepare_threshold",
    "row_factory", "server_side_binding",
}  # fmt: skip
"""OPTIONS that are not parameters of libpq. They say how Django uses its own connections."""


def connection_of(alias: str) -> Any:
    """Django's connection under this alias, which need not be open. Raises ConfigError."""
    try:
        return connections[alias]
    except ConnectionDoesNotExist as error:
        raise ConfigError(
            f"SEGUE['DATABASE'] is {alias!r}, but DATABASES in the settings has only {', '.join(connections)}."
        ) from error


def dialect_of(alias: str) -> str:
    """`sqlite` or `postgres`. Raises ConfigError for another database."""
    connection = connection_of(alias)
    dialect = {"postgresql": "postgres", "sqlite": "sqlite"}.get(connection.vendor)
    if dialect is None:
        raise ConfigError(
            f"DATABASES[{alias!r}] is {connection.display_name}, and Segue needs PostgreSQL or SQLite. Add such a "
            "database to DATABASES, and name it in the settings: SEGUE = {'DATABASE': 'its alias'}."
        )
    return dialect


def is_in_memory(alias: str) -> bool:
    """Whether it is a SQLite database that only this process has."""
    connection = connection_of(alias)
    return connection.vendor == "sqlite" and bool(connection.is_in_memory_db())


def url_of(alias: str) -> str:
    """The URL of the database. Raises ConfigError if Segue cannot connect to it by itself."""
    if dialect_of(alias) == "postgres":
        return postgres_url(connection_of(alias).settings_dict)
    if is_in_memory(alias):
        raise ConfigError(
            f"DATABASES[{alias!r}] is in memory, where other processes, such as workers, cannot find it. Name a file."
        )
    return _sqlite_url(alias, connection_of(alias).settings_dict)


def _sqlite_url(alias: str, settings: Mapping[str, Any]) -> str:
    name = os.fspath(settings["NAME"])
    if name.startswith("file:"):
        raise ConfigError(
            f"DATABASES[{alias!r}] is the URI {name!r}, which Segue does not support. Name the file itself."
        )
    return f"sqlite:///{os.path.abspath(name)}"  # noqa: PTH100 - as text, and without resolving links


def postgres_url(settings: Mapping[str, Any]) -> str:
    """The URL for one entry of DATABASES."""
    options = dict(settings.get("OPTIONS") or {})
    found = {name: str(value) for name, value in options.items() if name not in _OF_DJANGO_AND_PSYCOPG}
    role = options.get("assume_role")
    if role:
        escaped = str(role).replace("\\", "\\\\").replace(" ", "\\ ")
        found["options"] = f"{found.get('options', '')} -c role={escaped}".strip()
    host, port = str(settings.get("HOST") or ""), str(settings.get("PORT") or "")
    where = ""
    if _PLAIN_HOST.fullmatch(host) and (not port or port.isdecimal()):
        where = f"{host}:{port}" if port else host
    else:  # a socket's folder, several hosts, an IPv6 address
        found |= {"host": host} if host else {}
        found |= {"port": port} if port else {}
    name = settings.get("NAME") or ("" if "service" in found else "postgres")  # Django's default
    user, password = str(settings.get("USER") or ""), str(settings.get("PASSWORD") or "")
    if password and not user:
        found["password"], password = password, ""
    who = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "") + ("@" if user else "")
    query = f"?{urlencode(found, quote_via=quote)}" if found else ""
    return f"postgresql://{who}{where}/{quote(str(name), safe='')}{query}"
