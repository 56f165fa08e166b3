"""Settings from outside: arguments first, then environment variables."""

from __future__ import annotations

import os
from urllib.parse import urlsplit, urlunsplit

from segue.errors import ConfigError

DATABASE_VARIABLE = "SEGUE_DATABASE_URL"


def database_url(given: str | None = None) -> str:
    """The URL that was given, else that of the environment; raises ConfigError when there is neither."""
    url = given or os.environ.get(DATABASE_VARIABLE)
    if not url:
        raise ConfigError(
            f"No database was named. Pass a URL (sqlite:///segue.db or postgresql://...) or set {DATABASE_VARIABLE}."
        )
    return url


def without_password(url: str) -> str:
    """A database URL that may be shown."""
    parts = urlsplit(url)
    if not parts.password:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}"))
