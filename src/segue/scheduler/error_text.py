"""Errors of the user's code, as text that every database can store."""

from __future__ import annotations

REASON_LIMIT = 500  # characters


def text_of(error: BaseException, *, limit: int = REASON_LIMIT) -> str:
    """The message of an error, without characters that PostgreSQL cannot store (NUL, halves of a character)."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the user's __str__
        text = "(its message could not be read)"
    return text[:limit].replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def reason_of(error: BaseException) -> str:
    """An error as the reason why a tick was skipped, or why a schedule is stuck."""
    return f"{type(error).__name__}: {text_of(error)}"[:REASON_LIMIT]
