"""Values that make no sense, calls that are given them, and the judge of what came of it.

A call may work, or refuse what it was given: by an error of Segue's own tree, or a TypeError or ValueError that was
raised on purpose. Errors that merely came up from inside (a driver's, an AttributeError, a TypeError of `len`) say
nothing to the person who made the mistake.
"""

from __future__ import annotations

import inspect
import linecache
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from segue.errors import SegueError, StoreError


def _nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


class Odd:
    """No type that anybody expects."""

    def __repr__(self) -> str:
        return "<Odd>"


VALUES: dict[str, Any] = {
    "None": None, "True": True, "0": 0, "-1": -1, "10**20": 10**20, "10**5000": 10**5000, "1.5": 1.5,
    "nan": float("nan"), "-inf": float("-inf"), "1e300": 1e300, "Decimal NaN": Decimal("NaN"),
    "''": "", "' '": " ", "'30'": "30", "NUL": "a\0b", "surrogate": "caf\udce9", "emoji": "🦄", "newline": "a\nb",
    "4000 characters": "".join(chr(33 + i * 7 % 90) for i in range(4000)), "bytes": b"x",
    "[]": [], "[None]": [None], "['']": [""], "[surrogate]": ["\ud800"], "nested": _nested(2000), "set": {1},
    "generator": (i for i in ()), "{}": {}, "{1: 2}": {1: 2}, "{'a': surrogate}": {"a": "\ud800"},
    "{'a': nested}": {"a": _nested(2000)},
    "naive": datetime(2026, 1, 1), "year 9999": datetime.max.replace(tzinfo=UTC),  # noqa: DTZ001 - that is its fault
    "year 1": datetime.min.replace(tzinfo=UTC), "date": date(2026, 1, 1), "long": timedelta.max,
    "negative": timedelta(days=-1), "UUID": UUID(int=7), "Path": Path("x"), "Odd()": Odd(), "[Odd()]": [Odd()],
    "lambda": lambda: 0, "class": dict,
}  # fmt: skip


def outcome(call: Callable[[], Any]) -> str:
    """ "works", or the kind of error by which it was refused; "BAD: ..." for what nobody should have to read."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is judged
        return _judged(error)
    return "works"


def _judged(error: Exception) -> str:
    name = type(error).__name__
    if isinstance(error, SegueError) and type(error) is not SegueError and not isinstance(error, StoreError):
        return name if len(str(error)) < 20_000 else f"BAD: {name} with a message of {len(str(error))} characters"
    shown = f"BAD: {name}: {error}"[:200]
    if type(error) not in (TypeError, ValueError):
        return shown
    last = traceback.extract_tb(error.__traceback__)[-1]
    if "/tests/" in last.filename:  # the call itself does not fit the signature
        return name
    is_ours = "/segue/" in last.filename and "site-packages" not in last.filename
    return (
        name if is_ours and linecache.getline(last.filename, last.lineno or 0).strip().startswith("raise ") else shown
    )


def spoilt(good: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """For each parameter that is given in `good`: the same arguments, with each of the values in its place."""
    for name in good:
        for said, value in VALUES.items():
            yield f"{name}={said}", {**good, name: value}


def called(fn: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call by position where it must be, else by name. A name that begins with `*` gives more positional arguments."""
    positional: list[Any] = []
    named = dict(arguments)
    for parameter in inspect.signature(fn).parameters.values():
        if parameter.kind is parameter.POSITIONAL_ONLY and parameter.name in named:
            positional.append(named.pop(parameter.name))
        elif parameter.kind is parameter.VAR_POSITIONAL and f"*{parameter.name}" in named:
            positional.append(named.pop(f"*{parameter.name}"))
    return fn(*positional, **named)


def public_methods(kind: type) -> set[str]:
    """The names of what users call on it."""
    return {
        name
        for name, found in inspect.getmembers(kind)
        if not name.startswith("_") and (callable(found) or isinstance(found, property))
    }
