"""Finds the file that a SQLite URL names.

Promise: the answer is an absolute path, computed once, so a later `chdir` does not change it. A URL that names no
usable file is refused, and the error says what to write.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from segue.errors import ConfigError

_DRIVERS = frozenset({"", "pysqlite", "aiosqlite"})  # SQLAlchemy's names of drivers, all of which open a plain file
_ON_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_SECRETS = re.compile(r"(?<=://)[^/]+(?=@)|(?<=\?).*")  # a password in a URL for another driver, and its options
_REMEDY = "Use sqlite:///segue.db or sqlite:////absolute/path.db"


def names_sqlite(url: str) -> bool:
    """Whether this is a URL for SQLite, including SQLAlchemy's spelling (`sqlite+pysqlite:///segue.db`)."""
    scheme, separator, _ = url.partition("://")
    return bool(separator) and scheme.partition("+")[0].lower() == "sqlite"


def path_of(url: str) -> Path:
    """The file, as an absolute path; raises ConfigError.

    What follows `sqlite:///` is the path as it is: `%20` is not a space. `~/` is the home folder.
    """
    scheme, _, rest = url.partition("://")
    driver = scheme.partition("+")[2]
    url = _SECRETS.sub("...", url)  # from here on it is only shown
    if driver not in _DRIVERS:
        raise ConfigError(f"{url!r} names the driver {driver!r}, which Segue does not use. {_REMEDY}.")
    written = rest[1:]
    if not rest.startswith("/") or not written.strip() or written == ":memory:":
        raise ConfigError(
            f"{url!r} names no file. {_REMEDY}; databases in memory are not supported, as processes cannot share them."
        )
    _check(url, written)
    if written == "~" or written.startswith("~/"):
        written = _expanded(url, written)
    if written.startswith("/"):
        return Path(written)
    try:
        return Path(os.getcwd(), written)  # noqa: PTH109 - as text
    except OSError as error:
        raise ConfigError(
            f"{url!r} is relative to the working directory, which no longer exists ({error.strerror}). {_REMEDY}."
        ) from error


def _check(url: str, written: str) -> None:
    """Raise ConfigError for a path that is unlikely to be a file name."""
    try:
        written.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{url!r} cannot be encoded as UTF-8. Give the file another name.") from None
    if "\0" in written:
        raise ConfigError(f"{url!r} contains a NUL, which no file name may contain. {_REMEDY}.")
    if written.lower().startswith("file:"):
        raise ConfigError(f"{url!r} contains a `file:` URI, which Segue does not support. {_REMEDY}.")
    if "?" in written:
        raise ConfigError(
            f"{url!r} has a question mark. Segue supports neither options for SQLite nor such a file name. {_REMEDY}."
        )
    if _ON_WINDOWS.match(written):
        raise ConfigError(f"{url!r} is a Windows path, and Segue does not run on Windows. {_REMEDY}.")
    if written.endswith("/"):
        raise ConfigError(f"{url!r} is a folder. Name a file in it: {url}segue.db")


def _expanded(url: str, written: str) -> str:
    home = os.path.expanduser("~")  # noqa: PTH111 - as text
    if home == "~" or written == "~":
        raise ConfigError(f"{url!r} names no file in a home folder. {_REMEDY}.")
    return home + written[1:]
