"""Inspects what user code passes in, without trusting it: numbers, names, texts, exceptions.

Everything about such an object may run its own code: `__repr__`, `__getattr__`, `__class__`, a metaclass, a subclass of
`str`. Promise: no function here raises because of that code, even if it raises SystemExit. What cannot be determined is
described as such. Only an object that never returns cannot be handled.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from numbers import Number
from types import TracebackType
from typing import Any, NamedTuple

NAME_LIMIT_BYTES = 500
MESSAGE_LIMIT_BYTES = 4 * 1024
TRACEBACK_LIMIT_BYTES = 16 * 1024
SHOWN_CHARACTERS = 80

_UNQUALIFIED = ("builtins", "segue.errors")
_LONGEST_INT_BITS = 256  # about eighty digits; Python refuses to print very long ones

Frames = Callable[[TracebackType | None], TracebackType | None]


class Described(NamedTuple):
    """An exception as text, each part limited in length and storable in every database."""

    type: str
    message: str
    traceback: str


def finite(value: object) -> float | None:
    """A number of any type (int, Decimal, Fraction, numpy's) as a float; None for other values, NaN and infinity."""
    kind = type(value)
    if kind is float:
        return value if isfinite(value) else None  # type: ignore[arg-type, return-value]
    if kind is bool:
        return None
    try:
        if kind is not int and not issubclass(kind, Number):
            return None
        number = float(value)  # type: ignore[arg-type]
    except BaseException:  # noqa: BLE001 - too large, complex, a signalling NaN, or code of its own
        return None
    return number if isfinite(number) else None


def shown(value: object, limit: int = SHOWN_CHARACTERS) -> str:
    """`repr(value)`, cut to `limit` characters, for a message."""
    kind = type(value)
    if kind is int and value.bit_length() > _LONGEST_INT_BITS:  # type: ignore[attr-defined]
        return f"<an int of {value.bit_length():,} bits>"  # type: ignore[attr-defined]
    try:
        if kind in (str, bytes) and len(value) > limit:  # type: ignore[arg-type]
            value = value[:limit]  # type: ignore[index]
        text = str.__str__(repr(value))
    except BaseException:  # noqa: BLE001 - the `__repr__` of the user's class
        return f"<a {class_name(kind)} that cannot be shown>"
    if len(text) > limit:
        text = f"{text[: limit - 3]}..."
    return clean(text, NAME_LIMIT_BYTES)


def class_name(kind: type) -> str:
    """The name of a class with its module, whatever its metaclass does; builtins and Segue's errors lack it."""
    try:
        name = _text(_QUALNAME(kind))
        module = _MODULE(kind)
        if type(module) is str and module not in _UNQUALIFIED:
            name = f"{module}.{name}"
    except BaseException:  # noqa: BLE001 - only a class that C code has broken
        return "(a class without a name)"
    return clean(name, NAME_LIMIT_BYTES)


def is_a(value: object, *kinds: type) -> bool:
    """`isinstance` as `except` applies it: by the real base classes, ignoring what the object claims."""
    bases = _MRO(type(value))
    return any(base is kind for kind in kinds for base in bases)


def attribute(value: object, name: str, default: Any = None) -> Any:
    """An attribute, without calling `__getattr__`; `default` if it cannot be read."""
    try:
        return object.__getattribute__(value, name)
    except BaseException:  # noqa: BLE001 - AttributeError, or what a property raised
        return default


def described(exc: BaseException, frames: Frames | None = None) -> Described:
    """An exception as text: the name of its class, its message, its traceback.

    `frames` receives the traceback and returns where it should begin.
    """
    kind = type(exc)
    name = class_name(kind)
    message = _said(lambda: str(exc), "__str__")
    trace: TracebackType | None = None
    try:
        trace = _TRACEBACK(exc)
        trace = trace if frames is None else frames(trace)
        text = _formatted(kind, exc, trace)
    except BaseException as broken:  # noqa: BLE001 - `__cause__`, `__notes__`, `__str__` or a source file of the user's
        text = _plainly(trace, name, message, class_name(type(broken)))
    return Described(name, clean(message, MESSAGE_LIMIT_BYTES), clean(text, TRACEBACK_LIMIT_BYTES))


def clean(text: str, limit_bytes: int) -> str:
    """Text that every database can store, limited in length; the middle is cut out, because both ends tell most."""
    was_cut = len(text) > limit_bytes  # a character takes at least a byte: do not encode the part that is cut
    if was_cut:
        text = text[:limit_bytes] + text[-limit_bytes:]
    data = text.replace("\0", "\\x00").encode("utf-8", "backslashreplace")  # PostgreSQL cannot store NUL
    if len(data) <= limit_bytes and not was_cut:
        return data.decode()
    half = limit_bytes // 2 - 20
    head, tail = data[:half].decode("utf-8", "ignore"), data[-half:].decode("utf-8", "ignore")
    return f"{head}\n[... cut ...]\n{tail}"


def _said(say: Callable[[], str], what: str) -> str:
    try:
        return _text(say())
    except BaseException as broken:  # noqa: BLE001 - the user's code, whatever it raises
        return f"(its {what} raised {class_name(type(broken))})"


def _text(value: str) -> str:
    return str.__str__(value)  # for a subclass of `str`, a plain copy


def _formatted(kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> str:
    import traceback  # noqa: PLC0415 - takes milliseconds, and most processes describe nothing

    return "".join(traceback.format_exception(kind, exc, trace))


def _plainly(trace: TracebackType | None, name: str, message: str, broken: str) -> str:
    """Only the frames and the message, for an exception that the traceback module cannot format."""
    try:
        import traceback  # noqa: PLC0415 - as above

        frames = "".join(traceback.format_tb(trace))
    except BaseException:  # noqa: BLE001 - a source file that cannot be read, or no memory
        frames = ""
    return f"{frames}{name}: {message}\n(the rest of the traceback could not be written: {broken})\n"


_TRACEBACK = BaseException.__dict__["__traceback__"].__get__
_QUALNAME = type.__dict__["__qualname__"].__get__
_MODULE = type.__dict__["__module__"].__get__
_MRO = type.__dict__["__mro__"].__get__
