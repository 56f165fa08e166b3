"""Settings from outside: arguments first, then environment variables."""

from __future__ import annotations

import os
import re
import shlex

from segue.errors import ConfigError
from segue.masking import HIDDEN

DATABASE_VARIABLE = "SEGUE_DATABASE_URL"
NAMESPACE_VARIABLE = "SEGUE_NAMESPACE"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SECRET_NAME = re.compile(r"password|secret|scram_", re.IGNORECASE)
_SECRET_IN_DSN = re.compile(
    r"(\w*(?:password|secret|scram_)\w*\s*=\s*)('(?:\\.|[^'\\])*(?:'|\Z)|(?:\\.|[^\s\\])*)", re.IGNORECASE | re.DOTALL
)


def database_url(given: str | None = None) -> str:
    """The given URL, otherwise the one in the environment. Raises ConfigError if both are missing."""
    url = given or os.environ.get(DATABASE_VARIABLE)
    if not url:
        raise ConfigError(
            f"No database was given. Pass a URL (sqlite:///segue.db or postgresql://...) or set {DATABASE_VARIABLE}."
        )
    if not isinstance(url, str):
        raise ConfigError(
            f"A database URL must be text, but this is a {type(url).__name__}. "
            "Pass something like sqlite:///segue.db or postgresql://user@host/name."
        )
    return url.strip()


def namespace_name(given: str | None = None) -> str:
    """The given namespace, otherwise the one in the environment; '' if there is neither."""
    return os.environ.get(NAMESPACE_VARIABLE, "") if given is None else given


def without_password(url: str) -> str:
    """A database URL that is safe to show, even if it is malformed.

    If a password contains characters that should have been escaped, its end cannot be determined. So everything between
    the first : and the last @ is hidden.
    """
    found = _URL.match(url)
    if found is None:
        return _SECRET_IN_DSN.sub(rf"\1{HIDDEN}", url)
    if url.lower().startswith("sqlite:"):
        return url
    scheme, rest = found[0], url[found.end() :]
    colon, at = rest.find(":"), rest.rfind("@")
    if -1 < colon < at - 1:
        rest = f"{rest[:colon]}:{HIDDEN}{rest[at:]}"
    before, mark, query = rest.partition("?")
    return f"{scheme}{before}{mark}{_without_secrets(query)}"


def database_option(url: str | None) -> str:
    """The option for a suggested command: "--database URL"; empty if the URL has a password."""
    if url is None or without_password(url) != url:
        return ""
    return f"--database {shlex.quote(url)}"


def _without_secrets(query: str) -> str:
    """A query without secrets, and without what may be the rest of a secret that contains an &."""
    if not _SECRET_NAME.search(query) and "%" not in query:
        return query
    from urllib.parse import unquote  # noqa: PLC0415 - takes milliseconds; only to show a URL with parameters

    shown = []
    after_a_secret = False
    for piece in query.split("&"):
        name, _, _ = piece.partition("=")
        if _SECRET_NAME.search(unquote(name)):
            after_a_secret = True
            piece = f"{name}={HIDDEN}"
        elif after_a_secret and not re.match(r"[a-z_]+=", piece):
            piece = HIDDEN
        shown.append(piece)
    return "&".join(shown)
