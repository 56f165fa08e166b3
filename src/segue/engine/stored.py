"""Reads values that are only shown (errors, tags, metadata, times) from rows, without ever failing.

A row may contain anything: people write into tables, disks and restores damage them. A value that cannot be read is
shown as unreadable, so that one row never hides the others from a reader.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from segue.model import ErrorInfo, FailureInfo
from segue.plan.codec import UNREADABLE, unreadable
from segue.store.protocol import Conversions, Transaction

UNREADABLE_TYPE = "Unreadable"
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_error_decoder = msgspec.json.Decoder(ErrorInfo)
_failure_decoder = msgspec.json.Decoder(FailureInfo)
_names_decoder = msgspec.json.Decoder(tuple[str, ...])
_object_decoder = msgspec.json.Decoder(dict[str, Any])


def storable(text: str, *, limit: int = 4000) -> str:
    """A text in a form that every database can store: no NUL, no halves of a character, not too long."""
    return text[:limit].replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def error_of(text: str | None) -> ErrorInfo | None:
    """The error of a step or attempt."""
    if not text:
        return None
    try:
        return _error_decoder.decode(text)
    except UNREADABLE as why:
        return ErrorInfo(UNREADABLE_TYPE, str(unreadable("the error", text, why)))


def failure_of(text: str | None) -> FailureInfo | None:
    """The failure that decided how a run or scope ended."""
    if not text:
        return None
    try:
        return _failure_decoder.decode(text)
    except UNREADABLE as why:
        return FailureInfo("(unknown)", UNREADABLE_TYPE, str(unreadable("the failure", text, why)))


def names_of(text: str | None) -> tuple[str, ...]:
    """Tags, queues, tasks."""
    if not text:
        return ()
    try:
        return _names_decoder.decode(text)
    except UNREADABLE:
        return (f"({UNREADABLE_TYPE.lower()})",)


def object_of(text: str | None) -> dict[str, Any]:
    """Metadata, or the details of an event."""
    if not text:
        return {}
    try:
        return _object_decoder.decode(text)
    except UNREADABLE as why:
        return {f"({UNREADABLE_TYPE.lower()})": str(why) or type(why).__name__}


def arguments_of(text: str | None) -> list[Any] | None:
    """[args, kwargs]; None if they were not stored, or cannot be read."""
    if not text:
        return None
    try:
        found = msgspec.json.decode(text)
    except UNREADABLE:
        return None
    is_whole = isinstance(found, list) and len(found) == 2
    return found if is_whole and isinstance(found[0], list) and isinstance(found[1], dict) else None


def number_of(value: Any) -> int:
    """A count; 0 for any other value: SQLite stores any value in a column."""
    return value if isinstance(value, int) else 0


def length_of(value: Any) -> float | None:
    """Seconds, or another measure; None for any other value."""
    return value if isinstance(value, (int, float)) else None


def moment_of(tx: Conversions, value: Any) -> datetime | None:
    """A time; None if there is none, or the value is not a time."""
    try:
        return tx.datetime(value)
    except UNREADABLE:
        return None


def known_moment(tx: Transaction, value: Any) -> datetime:
    """A time in a column that is never empty; LONG_AGO for any other value."""
    return moment_of(tx, value) or LONG_AGO
