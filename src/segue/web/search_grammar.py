"""What people type to find runs, and the query of the page that shows them: the same filters in two forms.

A search is words: `workflow:shop.nightly status:failed tag:eu meta.customer:42 arg.day:2026-11-20 newer:2d "a b"`.
A word without a qualifier is a tag. Promise: a word that is not understood is an error that names it, and is never
ignored.

Example::

    parsed("status:failed newer:2d")  # [("status", "failed"), ("newer_than", "2d")]
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from typing import Any

import msgspec

from segue.client.selection import RunFilters
from segue.model import RunStatus

NAMES = {
    "status": "status", "workflow": "workflow", "tag": "tag", "key": "key", "error": "error_type",
    "error_type": "error_type", "newer": "newer_than", "newer_than": "newer_than", "older": "older_than",
    "older_than": "older_than", "since": "since", "until": "until", "failed_since": "failed_since",
    "failed_until": "failed_until", "fork_of": "forked_from", "forked_from": "forked_from", "id": "id_prefix",
    "id_prefix": "id_prefix",
}  # fmt: skip
"""The qualifiers that people type, and the parameters that they mean."""

WORDS = {
    "error_type": "error", "newer_than": "newer", "older_than": "older", "forked_from": "fork_of", "id_prefix": "id",
}  # fmt: skip
"""How parameters are written, if not by their own names."""

SEVERAL = ("status", "tag")
KEYED = ("meta.", "arg.")
OTHERS = ("before", "format", "q", "verb", "ids", "newest", "reason", "all")
"""Parameters that are no filters."""

MOST = 50
_UNITS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGE = re.compile(r"(\d{1,9})\s*(s|min|m|h|d|w)")


class SearchError(ValueError):
    """A search that is not understood."""


Pairs = list[tuple[str, str]]


def parsed(text: str) -> Pairs:
    """What was typed, as parameters. Raises SearchError."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""
    try:
        words = list(lexer)
    except ValueError:
        raise SearchError("A quotation mark is open: close it.") from None
    found: Pairs = []
    for word in words:
        name, colon, value = word.partition(":")
        if not colon:
            found.append(("tag", word))
        elif name.startswith(KEYED) and len(name) > name.index(".") + 1:
            found.append((name, value))
        elif name in NAMES:
            found.append((NAMES[name], value))
        else:
            raise SearchError(f"{name}: is no qualifier. {_guess(name)}")
    return found


def written(pairs: Iterable[tuple[str, str]]) -> str:
    """Parameters as people type them; `parsed` reads it again."""
    return " ".join(_quoted(f"{WORDS.get(name, name)}:{value}") for name, value in pairs)


def _guess(name: str) -> str:
    near = get_close_matches(name, NAMES, n=1)
    known = sorted(WORDS.get(each, each) for each in set(NAMES.values()))
    return f"Did you mean {near[0]}:?" if near else f"There are {', '.join(known)}, meta.NAME and arg.NAME."


def _quoted(word: str) -> str:
    return word if word and not re.search(r"[\s'\"]", word) else '"' + word.replace('"', '"\'"\'"') + '"'


def filters_of(pairs: Sequence[tuple[str, str]], *, now: datetime, zone: tzinfo) -> RunFilters:
    """Parameters as the filters of `Segue.pages` and `Segue.select`. Raises SearchError for a value that is wrong."""
    found: dict[str, Any] = {}
    if len(pairs) > MOST:
        raise SearchError(f"There are {len(pairs)} filters, and at most {MOST} are possible.")
    for name, value in pairs:
        if not value:
            raise SearchError(f"{WORDS.get(name, name)}: has no value.")
        if name.startswith(KEYED):
            kind = "metadata" if name.startswith("meta.") else "arguments"
            found.setdefault(kind, {})[name.partition(".")[2]] = _scalar(value)
        elif name in SEVERAL:
            found.setdefault(name, []).append(_status(value) if name == "status" else value)
        elif name in found:
            raise SearchError(f"{WORDS.get(name, name)}: is there twice.")
        else:
            found[name] = _read(name, value, now, zone)
    return found  # type: ignore[return-value]


def _read(name: str, value: str, now: datetime, zone: tzinfo) -> Any:
    readers: dict[str, Callable[[], Any]] = {
        "newer_than": lambda: _age(value), "older_than": lambda: _age(value),
        "since": lambda: _moment(value, now, zone), "until": lambda: _moment(value, now, zone),
        "failed_since": lambda: _moment(value, now, zone), "failed_until": lambda: _moment(value, now, zone),
        "forked_from": lambda: value, "workflow": lambda: value, "key": lambda: value, "error_type": lambda: value,
        "id_prefix": lambda: value,
    }  # fmt: skip
    if name not in readers:
        raise SearchError(f"{name} is no filter.")
    return readers[name]()


def _status(value: str) -> str:
    if value not in tuple(RunStatus):
        raise SearchError(f"{value} is not a status of a run. There are {', '.join(RunStatus)}.")
    return value


def _age(value: str) -> timedelta:
    found = _AGE.fullmatch(value.strip())
    if found is None:
        raise SearchError(f"{value} is not a duration. Write 30s, 5min, 2h, 3d or 1w.")
    try:
        return timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    except OverflowError:
        raise SearchError(f"{value} is too long.") from None


def _moment(value: str, now: datetime, zone: tzinfo) -> datetime:
    """A moment, in the zone of the person if it names none; a duration means so long ago."""
    if _AGE.fullmatch(value.strip()):
        try:
            return now - _age(value)
        except OverflowError:
            raise SearchError(f"{value} is too long ago.") from None
    try:
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo is not None else found.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise SearchError(f"{value} is not a time. Write 2026-11-29, 2026-11-29T14:00 or 2h.") from None


def _scalar(value: str) -> Any:
    try:
        found = msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value
    return found if isinstance(found, (bool, int, float)) else value
