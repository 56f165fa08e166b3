"""Settings from outside: arguments first, then environment variables."""

from __future__ import annotations

import os
import re
import shlex

from segue.errors import ConfigError

DATABASE_VARIABLE = "SEGUE_DATABASE_URL"
_SECRET_IN_QUERY = re.compile(r"([?&](?:ssl)?password=)[^&#]+")


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
    from urllib.parse import urlsplit, urlunsplit  # noqa: PLC0415 - takes milliseconds; only to show one

    parts = urlsplit(url)
    if parts.password:
        user, _, host = parts.netloc.rpartition("@")
        parts = parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}")
        url = urlunsplit(parts)
    return _SECRET_IN_QUERY.sub(r"\1***", url)


def database_option(url: str | None) -> str:
    """The option of a command that is shown to be typed next: "--database URL"; empty when the URL has a password."""
    if url is None or without_password(url) != url:
        return ""
    return f"--database {shlex.quote(url)}"
