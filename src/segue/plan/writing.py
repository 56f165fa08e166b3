"""Writes values as JSON text that can be read back, or says which part of a value cannot be written, and why.

What msgspec writes without an error may differ from the value: NaN becomes null, two keys become one, an integer or a
nesting may be too large to be read. `Writer` finds such values. For plain values this costs little more than writing
them: a short text is read back and compared, a long one is searched for traces of such values.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from enum import Enum
from math import isfinite
from typing import Any, NamedTuple

import msgspec

from segue.errors import SerializationError
from segue.given import shown
from segue.plan.frames import unframed

MAX_NESTING = 250
"""How deep lists and dicts may be nested: a reader, which may itself be deep in calls, can follow this many levels."""

MAX_DIGITS = 4300
"""The digits of an integer that Python reads by default."""

PlainOf = Callable[[Any], Any]
"""Converts a value that msgspec does not know into JSON types. Raises SerializationError if that is impossible."""

_SHORT = 2048
_NOT_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")  # a float of MessagePack whose exponent is all ones
_BEYOND_DIGITS = 10**MAX_DIGITS
_STRINGS = re.compile(rb'"[^"]*"')
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_TOO_MANY_DIGITS = b"0" * (MAX_DIGITS + 1)
_decode = msgspec.json.Decoder().decode


class Fault(NamedTuple):
    """A part that cannot be written: its path ("[3].price", "" for the whole value), and why, with a remedy."""

    path: str
    why: str


class Writer:
    """Writes values; `plain_of` converts values that msgspec does not know.

    Example::

        Writer().write({"day": date(2026, 11, 20)}, "metadata")
    """

    __slots__ = ("_encode", "_pack", "_plain_of")

    def __init__(self, plain_of: PlainOf | None = None) -> None:
        self._plain_of = plain_of or _nothing_stands_for
        self._encode = msgspec.json.Encoder(enc_hook=self._plain_of).encode
        self._pack = msgspec.msgpack.Encoder(enc_hook=self._plain_of).encode

    def write(self, value: Any, what: str = "value") -> str:
        """Write a value as JSON text. Raises SerializationError, which names `what`, the part and a remedy."""
        kind = type(value)
        try:
            data = self._encode(value)
        except Exception as exc:
            raise SerializationError(self.complaint(value, what, exc)) from exc
        text = data.decode()
        if kind in _NEVER_ODD:
            return text
        if (  # for speed only: `is_odd` has the same result
            len(text) <= MAX_NESTING and "null" not in text and "N" not in text and "I" not in text
            and ("{" not in text or (kind is dict and text.rfind("{") == 0 and _has_text_keys(value, 1)))
        ):  # fmt: skip
            return text
        if self.is_odd(value, text):
            fault = self.find_fault(value) or (Fault("", _TOO_DEEP) if _nests_too_deeply(text) else None)
            if fault is not None:
                raise SerializationError(f"{what}{fault.path}: {fault.why}")
        return unframed(text)  # only a msgspec.Raw of the user's can look like a frame

    def complaint(self, value: Any, what: str, exc: Exception) -> str:
        """Why a value was refused, with the path to the part at fault."""
        fault = self.find_fault(value)
        if fault is not None:
            return f"{what}{fault.path}: {fault.why}"
        if isinstance(exc, SerializationError):
            return f"{what}: {exc}"
        return f"{what}: a value of type {kind_of(value)} cannot be written as JSON: {exc}"

    def is_odd(self, value: Any, text: str, *, braces: int | None = None) -> bool:
        """Whether the text may differ from the value or be unreadable. False is certain, except that keys may clash.

        A short text with more than `braces` objects is odd if it does not equal the value: keys may clash.
        """
        if len(text) <= _SHORT:
            found = text.count("{")
            try:
                if isinstance(value, (dict, list)) and _decode(text) == value:
                    return _nests_too_deeply(text)
            except (ValueError, RecursionError):
                return True
            except Exception:  # noqa: BLE001 - what the value's own __eq__ raises says nothing about it
                pass
            if not found or _has_text_keys(value, found):  # no text equals a record or a value that contains one
                return self.leaves_traces(value, text)
            if braces is None:
                braces = 0 if isinstance(value, (dict, list, tuple)) or parts_of(value) is None else 1
            if found > (braces or 0):
                return True
        return self.leaves_traces(value, text)

    def leaves_traces(self, value: Any, text: str) -> bool:
        """Whether a text has traces of NaN, large integers or deep nesting."""
        return (
            ("null" in text and self._has_nan(value))
            or ("N" in text and 'NaN"' in text)  # one letter is found much faster
            or ("I" in text and 'Infinity"' in text)
            or (
                len(text) > MAX_DIGITS
                and _writes_more_digits()
                and _TOO_MANY_DIGITS in text.encode().translate(_DIGITS_AS_ZEROS)
            )
            or (len(text) > MAX_NESTING and _nests_too_deeply(text))
        )

    def find_fault(self, value: Any) -> Fault | None:
        """The first part of a value that would not be read back as it is."""
        try:
            return self._look(value, "", ())
        except RecursionError:
            return Fault("", _TOO_DEEP)
        except Exception as exc:  # noqa: BLE001 - what the value's own methods raise
            return Fault("", f"a {kind_of(value)} cannot be examined: {type(exc).__name__}; {_REMEDY}")

    def key_text(self, key: Any) -> str:
        """The spelling of a dict's key in JSON. Raises SerializationError if it has none."""
        if type(key) is str:
            return key
        try:
            [text] = _decode(self._encode({key: None}))
        except Exception as exc:
            raise SerializationError(f"the key {shown(key)} ({kind_of(key)}): {_KEYS}") from exc
        return str(text)

    def _has_nan(self, value: Any) -> bool:
        try:
            return _NOT_FINITE.search(self._pack(value)) is not None
        except Exception:  # noqa: BLE001 - MessagePack has no large integers
            return True

    def _look(self, value: Any, path: str, above: tuple[int, ...]) -> Fault | None:
        why = _why_not(value)
        if why is not None:
            return Fault(path, why)
        if type(value) in _LEAVES:
            return None
        if isinstance(value, Enum):
            return self._look(value.value, path, above)
        if id(value) in above:
            return Fault(path, f"the {kind_of(value)} contains itself; take it out, or pass an identifier instead")
        if len(above) >= MAX_NESTING:
            return Fault(f"{path[:40]}...", _TOO_DEEP)
        above = (*above, id(value))
        if isinstance(value, dict):
            clash, parts = self._entries(value, path)
            if clash is not None:
                return clash
        else:
            found = parts_of(value)
            if found is None:
                return self._look_at_other(value, path, above)
            parts = found
        for step, part in parts:  # one frame for each level, because a value may have many
            fault = self._look(part, path + step, above)
            if fault is not None:
                return fault
        return None

    def _entries(self, value: dict[Any, Any], path: str) -> tuple[Fault | None, Iterable[tuple[str, Any]]]:
        """Check the keys of a dict, and return its items for checking."""
        seen: dict[str, Any] = {}
        for key in value:
            why = _why_not(key)
            if why is not None:
                return Fault(path, f"the key {shown(key)}: {why}"), ()
            try:
                text = self.key_text(key)
            except SerializationError as exc:
                return Fault(path, str(exc)), ()
            if text in seen:
                what = f"the keys {shown(seen[text])} and {shown(key)} are both spelt {shown(text)} in JSON; rename one"
                return Fault(path, what), ()
            seen[text] = key
        return None, zip(map(key_step, seen), value.values(), strict=True)

    def _look_at_other(self, value: Any, path: str, above: tuple[int, ...]) -> Fault | None:
        try:
            self._encode(value)
            text_only = True
        except Exception:  # noqa: BLE001 - examined below
            text_only = False
        try:
            plain = self._plain_of(value)
        except SerializationError as exc:
            return None if text_only else Fault(path, str(exc))  # datetime and similar types, which msgspec knows
        except Exception as exc:  # noqa: BLE001 - the user's own methods
            return Fault(
                path, f"a value of type {kind_of(value)} cannot be written as JSON: {type(exc).__name__}: {exc}"
            )
        return self._look(plain, path, above)


def parts_of(value: Any) -> Iterator[tuple[str, Any]] | None:
    """The items of a list, tuple, set or record, each with the path step to it; None for other values."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return ((f"[{index}]", item) for index, item in enumerate(value))
    names = _names_of(type(value))
    if names is None:
        return None
    return ((f".{name}", getattr(value, name)) for name in names if hasattr(value, name))


def _has_text_keys(value: Any, braces: int) -> bool:
    """Whether all keys of all dicts in a value are texts, so that none clash. False says nothing.

    Its text has so many `braces`. Once all objects of a value were seen, the rest of it is not searched: that makes
    most values almost free.
    """
    try:
        left = _without_objects(value, braces)
    except Exception:  # noqa: BLE001 - a RecursionError, or what the value's own methods raise
        return False
    return left is not None


def _without_objects(value: Any, braces: int) -> int | None:
    """How many braces of the text remain after those of the objects in a value are subtracted.

    None for a key that is not text, and if it is unknown what was written.
    """
    kind = type(value)
    parts: Iterable[Any]
    if kind is dict:
        if not _TEXT.issuperset(map(type, value)):
            return None
        parts, braces = value.values(), braces - 1
    elif kind in _LISTS:
        parts = value
    elif kind in _PLAIN:
        return braces
    else:
        return braces - 1 if _is_record_of_text_keys(value, braces) else None
    left: int | None = braces
    for part in parts:
        if not left:
            break
        if type(part) not in _PLAIN:
            left = _without_objects(part, left)
    return left


def _is_record_of_text_keys(value: Any, braces: int) -> bool:
    """The same for an object with fields. Some fields may not be written, so none of their braces are counted."""
    names = _names_of(type(value))
    if names is None or not _is_object(type(value)):
        return False
    parts = [getattr(value, name) for name in names if hasattr(value, name)] if braces > 1 else ()
    return all(type(part) in _PLAIN or _without_objects(part, _COUNTLESS) is not None for part in parts)


def _is_object(record: type) -> bool:
    """Whether msgspec writes a record as an object with exactly its fields."""
    config = getattr(record, "__struct_config__", None)
    return not (config is not None and config.array_like) and not issubclass(record, _WRITTEN_BY_THEIR_BASE)


def _names_of(kind: type) -> Iterable[str] | None:
    """The fields of a record; None for any other class."""
    for attribute in ("__struct_fields__", "__dataclass_fields__"):
        names: Iterable[str] | None = getattr(kind, attribute, None)
        if names is not None:
            return names
    return [field.name for field in getattr(kind, "__attrs_attrs__", ())] or None


def key_step(key: str) -> str:
    """The path step to a key of a dict: ".price", "['unit price']"."""
    return f".{key}" if key.isidentifier() else f"[{shown(key)}]"


def kind_of(value: object) -> str:
    """The class of a value, as shown in messages."""
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


_REMEDY = "give texts, numbers and lists of them"
_TOO_DEEP = f"it is nested more than {MAX_NESTING} deep; flatten it, or store it and pass its location"
_TEXT = frozenset({str})
_LISTS = frozenset({list, tuple, set, frozenset})
_WRITTEN_BY_THEIR_BASE = (dict, list, tuple, set, frozenset, str, int, float, bytes, bytearray, Enum)
_COUNTLESS = sys.maxsize
_PLAIN = frozenset({str, int, float, bool, type(None), bytes, datetime, date, time, timedelta})
_NEVER_ODD = frozenset({str, bool, type(None)})
_LEAVES = frozenset({str, int, float, bool, type(None), bytes, bytearray})
_KEYS = "JSON has only text and numbers as keys; use those, or dates, UUIDs and enums that are written so"


def _why_not(value: Any) -> str | None:
    """Why a single value cannot be written; None if it can, or has parts."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as exc:
            half = value[exc.start : exc.end]
            return (
                f"the text has {half!a} at {exc.start}, half of a character, which no database stores; "
                "write it with errors='replace' or as bytes"
            )
    elif isinstance(value, int):
        if not -_BEYOND_DIGITS < value < _BEYOND_DIGITS:
            return (
                f"an integer has more than {MAX_DIGITS:,} digits, which Python does not read; pass it as hex(...) text"
            )
    elif isinstance(value, float) or (type(value).__module__ == "decimal" and hasattr(value, "is_finite")):
        is_finite = isfinite(value) if isinstance(value, float) else value.is_finite()
        if not is_finite:
            return f"{_named(value)} is not JSON; use None, or omit it"
    return None


def _named(value: Any) -> str:
    """The names of NaN and infinity."""
    text = str(value).lower()
    name = "NaN" if "nan" in text else "-infinity" if text.startswith("-") else "infinity"
    return name if type(value) is float else f"{name} ({kind_of(value)})"


def _writes_more_digits() -> bool:
    """Whether this process may write longer integers than others read; otherwise msgspec refuses them."""
    limit = sys.get_int_max_str_digits()
    return limit == 0 or limit > MAX_DIGITS


def _nests_too_deeply(text: str) -> bool:
    """Whether brackets are nested deeper than allowed."""
    if len(text) <= MAX_NESTING or text.count("[") + text.count("{") <= MAX_NESTING:
        return False
    data = text.encode()
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    left = data.translate(None, _ALL_BUT_BRACKETS).replace(b'""', b"")
    if b'"' in left:
        left = _STRINGS.sub(b"", left)
    for _ in range(MAX_NESTING):
        if not left:
            return False
        left = left.replace(b"[]", b"").replace(b"{}", b"")  # each pass removes the innermost pairs
    return bool(left)


def _nothing_stands_for(value: Any) -> Any:
    raise SerializationError(f"a value of type {kind_of(value)} cannot be written as JSON; {_REMEDY}")
