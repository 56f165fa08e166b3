"""Checks the arguments that callers pass: a `@guarded` class checks the arguments of its public methods.

Promises: a value of another kind than the annotation says, and a text, number or time that a database could not store,
raises a ConfigError that names the method and the argument, before anything is done; this is the same on both
databases. Arguments whose annotation is open (`Any`, and kinds that the method checks itself) are passed on unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import wraps
from math import isnan
from operator import index
from typing import Any, TypeVar
from uuid import UUID

from segue.errors import ConfigError
from segue.given import shown

MOST_LISTED = 2**31 - 1
T = TypeVar("T")
Check = Callable[[Any], Any]
"""Returns the value to pass on. Raises `_Wrong` with what was expected."""


class _Wrong(Exception):  # noqa: N818 - never leaves this module
    pass


def text(value: Any) -> str:
    """A text that every database can store."""
    if not isinstance(value, str):
        raise _Wrong("is not a text; write str(...) around it if that is meant")
    if "\0" in value:
        raise _Wrong("contains a NUL character, which no database can store")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Wrong("contains half a character (a lone surrogate), which no database can store") from None
    return "".join((value,))  # a plain str, also for a subclass such as an enum: drivers treat subclasses differently


def any_text(value: Any) -> str:
    """Any text: the method itself checks its content."""
    if not isinstance(value, str):
        raise _Wrong("is not a text; write str(...) around it if that is meant")
    return "".join((value,))


def any_whole(value: Any) -> int:
    """A whole number of any size: the method itself checks it."""
    return _whole_up_to(value, 2**127)


def texts(value: Any) -> list[str]:
    """Several texts. An iterator is read once, into a list."""
    if not _is_list(value):
        raise _Wrong("is not a list of texts")
    return [text(item) for item in value]


def keys(value: Any) -> list[str | None]:
    """Several texts or None. An iterator is read once, into a list."""
    if not _is_list(value):
        raise _Wrong("is not a list of texts")
    return [None if item is None else text(item) for item in value]


def id_or_beginning(value: Any) -> str:
    """The id of a run, or the beginning of it."""
    return str(value) if isinstance(value, UUID) else text(value)


def texts_or_ids(value: Any) -> list[str]:
    """Several texts; an id may also be a UUID."""
    return texts([str(item) if isinstance(item, UUID) else item for item in value] if _is_list(value) else value)


def whole(value: Any) -> int:
    """A whole number of 32 bits, also one of another library, such as numpy."""
    return _whole_up_to(value, MOST_LISTED)


def _whole_up_to(value: Any, most: int) -> int:
    try:
        found = None if isinstance(value, bool) else index(value)
    except TypeError:
        found = None
    if found is None or not -most - 1 <= found <= most:
        raise _Wrong(f"is not a whole number up to {most:,}")
    return found


def count(value: Any) -> int:
    """A count: 0 or more."""
    found = whole(value)
    if found < 0:
        raise _Wrong("is less than 0")
    return found


def number(value: Any) -> float:
    """A number, which may be infinity."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _Wrong("is not a number")
    try:
        if isnan(value):
            raise _Wrong("is not a number")
    except OverflowError:
        raise _Wrong("is too large") from None
    return value


def flag(value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise _Wrong("is not True or False")
    return value


def length(value: Any) -> timedelta:
    """A duration."""
    if not isinstance(value, timedelta):
        raise _Wrong("is not a duration; give a timedelta, for example timedelta(days=2)")
    return value


def moment(value: Any) -> datetime:
    """A point in time: a datetime with a time zone."""
    if not isinstance(value, datetime):
        raise _Wrong("is not a datetime")
    if value.utcoffset() is None:
        raise _Wrong("has no time zone; add one, for example tzinfo=UTC")
    if not 1 < value.year < 9999:
        raise _Wrong("is out of range")
    return value


def step(value: Any) -> str | int:
    """A step by its name or number. The run itself reports a number that does not exist."""
    return text(value) if isinstance(value, str) else _whole_up_to(value, 2**63 - 1)


def whole_id(value: Any) -> str:
    """The whole id of a run, or of another row, in its usual spelling."""
    if isinstance(value, UUID):
        return str(value)
    try:
        return str(UUID(text(value)))
    except ValueError:
        raise _Wrong("is not a whole id; lists show whole ids with --json") from None


def mapping(value: Any) -> Mapping[str, Any]:
    """A mapping with texts as keys."""
    if not isinstance(value, Mapping):
        raise _Wrong("is not a mapping")
    for name in value:
        text(name)
    return value


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping, type))


def _or_none(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


_BY_ANNOTATION: dict[str, Check] = {
    "str": text, "str | None": _or_none(text), "int": whole, "int | None": _or_none(whole), "bool": flag,
    "float | None": _or_none(number), "timedelta": length, "datetime": moment, "datetime | None": _or_none(moment),
    "str | int": step, "str | int | None": _or_none(step), "Iterable[str]": texts, "Sequence[str]": texts,
    "Iterable[str] | None": _or_none(texts), "Iterable[str | None] | None": _or_none(keys),
    "str | UUID": id_or_beginning, "Mapping[str, Any] | None": _or_none(mapping),
}  # fmt: skip
_BY_METHOD: dict[tuple[str, str], Check] = {
    ("Retention.remove", "workflow"): any_text, ("Schedules.ticks", "limit"): any_whole,
    ("Schedules.list", "workflow"): _or_none(any_text), ("Schedules.create", "tags"): lambda value: value,
} | {
    (f"Schedules.{method}", "name"): any_text for method in (
        "create", "get", "activate", "deactivate", "remove", "run_now", "next", "ticks", "update", "backfill",
    )
}  # fmt: skip
"""Methods that may be asked for a name that no database can store: they answer that it does not exist."""
_BY_NAME: dict[tuple[str, str], Check] = {
    ("limit", "int"): count, ("n", "int"): count, ("run_id", "str | None"): _or_none(whole_id),
    ("before", "str | None"): _or_none(whole_id),
}  # fmt: skip


def checked(of: str, name: str, value: T, check: Callable[[Any], Any] = text) -> Any:
    """The value to pass on. Raises ConfigError, naming `of` and `name`, for a value of another kind."""
    try:
        return check(value)
    except _Wrong as wrong:
        raise ConfigError(f"{of}: {name}={shown(value)} {wrong}.") from None


def guarded(kind: type[T]) -> type[T]:
    """Check the arguments of all public methods of a class by their annotations."""
    for name, method in list(vars(kind).items()):
        if callable(method) and not name.startswith("_") and hasattr(method, "__code__"):
            checks = _checks_of(method)
            if checks:
                setattr(kind, name, _guarded(method, checks))
    return kind


def _checks_of(method: Any) -> dict[str, Check]:
    annotations = method.__annotations__
    found = {}
    for name in method.__code__.co_varnames[1 : method.__code__.co_argcount + method.__code__.co_kwonlyargcount]:
        said = annotations.get(name, "Any")
        by_method = _BY_METHOD.get((method.__qualname__, name))
        check = by_method or _BY_NAME.get((name, said)) or _BY_ANNOTATION.get(said)
        if check is not None:
            found[name] = check
    return found


def _guarded(method: Any, checks: Mapping[str, Check]) -> Any:
    of = method.__qualname__
    positional = method.__code__.co_varnames[1 : method.__code__.co_argcount]
    only_positional = method.__code__.co_varnames[1 : method.__code__.co_posonlyargcount]
    by_name = {name: check for name, check in checks.items() if name not in only_positional}

    @wraps(method)
    def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if args:
            named = zip(positional, args, strict=False)
            given = [checked(of, name, value, checks[name]) if name in checks else value for name, value in named]
            args = (*given, *args[len(given) :])
        for name in kwargs:
            check = by_name.get(name)
            if check is not None:
                kwargs[name] = checked(of, name, kwargs[name], check)
        return method(self, *args, **kwargs)

    return call
