"""Checks texts that a database index holds, names and keys, when they are passed in. Pure.

An entry of an index of PostgreSQL has room for about 2,700 bytes, and PostgreSQL cannot store a NUL or a lone
surrogate. SQLite accepts both. So both are refused on either database, before anything is written: a text that only the
database refused would fail the transaction that writes it, which may belong to another run.
"""

from __future__ import annotations

from segue.errors import ConfigError
from segue.given import shown

MOST_KEY_BYTES = 1000
"""The maximum for the key of a run, a message or a debounced start."""

MOST_NAME_BYTES = 1000
"""The maximum for the name of a workflow or schedule: an index still holds it together with a key."""

MOST_QUEUE_BYTES = 400
"""The maximum for the name of a queue: an index still holds it together with a lane."""


SEPARATOR = "\x1f"
"""Stands between a namespace and a name, where both are stored as one text."""


def name_problem(value: object, most_bytes: int) -> str | None:
    """The same as `text_problem`, for a name that may be stored with its namespace."""
    if isinstance(value, str) and SEPARATOR in value:
        return "has the character U+001F"
    return text_problem(value, most_bytes)


def text_problem(value: object, most_bytes: int) -> str | None:
    """The reason why an index cannot hold it, as words after "it" ("is empty"); None if it can."""
    if not isinstance(value, str):
        return f"is of type {type(value).__name__}, not text"
    if not value:
        return "is empty"
    if "\0" in value:
        return "contains a NUL character"
    if value.isascii():
        size = len(value)
    else:
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            return "contains half a character (a lone surrogate)"
    return f"has {size:,} bytes and may have {most_bytes:,}" if size > most_bytes else None


def check_key(of: str, key: object, *, tells_apart: str) -> None:
    """Raise ConfigError, naming `of`, for a key that a database cannot store. None means no key, and passes."""
    problem = None if key is None else text_problem(key, MOST_KEY_BYTES)
    if problem is not None:
        raise ConfigError(
            f"{of}={shown(key)} cannot tell {tells_apart}: it {problem}. "
            f"Give a text of 1 to {MOST_KEY_BYTES:,} bytes, for example a digest of a longer one, or omit it."
        )
