"""Shapes: how values of an annotation are read from JSON, one class for each kind of annotation.

A shape reads the plain JSON of a value, and reports how a value would come back different. If msgspec reads an
annotation correctly, it does so; `build` does everything else, and finds the part that does not fit.
`segue.authoring.annotations` makes shapes of annotations; `segue.authoring.records` has the shapes with fields.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from enum import Flag
from typing import Any, Protocol

import msgspec

from segue.errors import SerializationError
from segue.given import shown as short
from segue.plan.writing import Fault, kind_of

JSON_LEAVES: frozenset[Any] = frozenset({str, int, float, bool, type(None)})
_TRUSTED = JSON_LEAVES | {bytes}
_decode = msgspec.json.Decoder().decode
_PLAIN = (str, int, float, bool, type(None))
_CONTAINERS = (list, tuple, dict, set, frozenset, deque, range)
_REMEDY = "give a value of that type, or change the annotation"


class Language(Protocol):
    """How values are written, and how msgspec reads types that it does not know itself."""

    def spell(self, value: Any) -> str:
        """A value as JSON text. Raises SerializationError."""
        ...

    def ask(self, wanted: Any, plain: Any) -> Any:
        """The value of an annotation, read from a plain value."""
        ...


class MisfitError(ValueError):
    """A plain value cannot be read as an annotation: the path in it ("[3].price"), and the reason."""

    def __init__(self, why: str, path: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.path = path


class Shape:
    """What one annotation names.

    A shape that is `is_built` is read by `build` everywhere: msgspec calls back for it. An `is_odd` one is read by
    msgspec, but incorrectly. For an `is_sly` one, == does not compare everything that it contains.
    """

    __slots__ = ("_has_sly_parts", "_is_native", "annotation", "is_odd", "language")

    is_built = False
    is_sly = False

    def __init__(self, annotation: Any, language: Language) -> None:
        self.annotation = annotation
        self.language = language
        self.is_odd = False
        self._is_native: bool | None = None
        self._has_sly_parts = False

    def children(self) -> Iterable[Shape]:
        """The shapes of its parts."""
        return ()

    def read(self, plain: Any) -> Any:
        """The value for this plain JSON. Raises MisfitError."""
        if self._is_native is None:
            self._survey()
        if self._is_native:
            try:
                return self.convert(plain)
            except (msgspec.ValidationError, ValueError, TypeError, RecursionError):
                pass  # the path is found below
        try:
            return self.build(plain)
        except MisfitError:
            raise
        except RecursionError:
            raise MisfitError("it is nested too deeply to be read") from None
        except Exception as exc:  # raised by the user's classes while they are built
            raise MisfitError(f"{shown(plain)} cannot be read as its annotation: {type(exc).__name__}") from exc

    def convert(self, plain: Any) -> Any:
        """The value that msgspec makes of plain JSON."""
        return msgspec.convert(plain, type=self.annotation, strict=True, str_keys=True, dec_hook=self.language.ask)

    def build(self, plain: Any) -> Any:
        """The same as `read`, without the help of msgspec."""
        raise NotImplementedError

    def verify(self, given: Any, plain: Any) -> Fault | None:
        """How a value, which is `plain` in JSON, would come back different; None if it would come back equal."""
        if self.trusts(given):
            return None
        try:
            back = self.read(plain)
        except MisfitError as misfit:
            return Fault(misfit.path, f"{misfit.why}; {_REMEDY}")
        if not self._has_sly_parts and type(given) is type(back) and are_equal(given, back):
            return None
        try:
            return self.differs(given, back)
        except Exception as exc:  # noqa: BLE001 - raised by the user's own methods during the comparison
            return Fault(
                "", f"{shown(given)} cannot be compared with what would come back: {type(exc).__name__}; {_REMEDY}"
            )

    def has_all(self, plain: Any) -> bool:
        """Whether plain JSON that was read contains every part, so that no default was used."""
        return True

    def trusts(self, value: Any) -> bool:
        """Whether a value is known to come back equal, without reading it."""
        return False

    def trusts_type(self, kind: type) -> bool:
        """The same, if it is known for all values of a type."""
        return False

    def holds(self, value: Any) -> bool:
        """Whether a value is of this type, regardless of its parts."""
        return True

    def differs(self, given: Any, back: Any) -> Fault | None:
        """How a value that was read differs from the given one; plain JSON may be given for any type."""
        if self.holds(given) or isinstance(given, _CONTAINERS):
            return self.compare(given, back)
        if not isinstance(given, _PLAIN):
            return changed(given, back)
        return changed(given, back) if isinstance(back, _PLAIN) and not are_equal(given, back) else None

    def compare(self, given: Any, back: Any) -> Fault | None:
        """The same, for a value of this type, or a container given for one."""
        return None if are_equal(given, back) else changed(given, back)

    def _survey(self) -> None:
        """Find out, once, whether msgspec reads all of it correctly, and whether == compares all of it."""
        reached: dict[int, Shape] = {}
        left: list[Shape] = [self]
        while left:
            shape = left.pop()
            if id(shape) not in reached:
                reached[id(shape)] = shape
                left.extend(shape.children())
        self._has_sly_parts = any(shape.is_sly for shape in reached.values())
        native = not self.is_built and not any(shape.is_odd for shape in reached.values())
        if native:
            try:
                msgspec.json.Decoder(self.annotation, dec_hook=self.language.ask)
            except Exception:  # noqa: BLE001 - TypeError mostly; annotations contain the user's code
                native = False
        self._is_native = native


class Anything(Shape):
    """Any value, as plain JSON."""

    __slots__ = ()

    def read(self, plain: Any) -> Any:
        return plain

    build = read

    def trusts(self, value: Any) -> bool:
        return True

    def trusts_type(self, kind: type) -> bool:
        return True

    def differs(self, given: Any, back: Any) -> Fault | None:
        """A value that came back must be plain: in a union another type may have read it."""
        try:
            plain = _decode(self.language.spell(given))
        except SerializationError as exc:
            return Fault("", str(exc))
        return None if are_equal(plain, back) else changed(given, back)


class Unresolved:
    """Stands for an annotation that cannot be resolved: its names are local, or imported only for type checkers."""


class Plain(Shape):
    """The shape of `Unresolved`: plain JSON, which comes back equal."""

    __slots__ = ()

    def read(self, plain: Any) -> Any:
        return plain

    build = read

    def trusts(self, value: Any) -> bool:
        return type(value) in JSON_LEAVES

    def trusts_type(self, kind: type) -> bool:
        return kind in JSON_LEAVES

    def differs(self, given: Any, back: Any) -> Fault | None:
        if are_equal(given, back):
            return None
        return Fault("", f"{changed(given, back).why}; its annotation cannot be resolved: import the type at the top")


class Leaf(Shape):
    """A single value of one of the types that msgspec knows."""

    __slots__ = ()

    def build(self, plain: Any) -> Any:
        if self.annotation is int and type(plain) is bool:
            return plain  # which is an int to Python, and equal to one
        try:
            return self.convert(plain)
        except (msgspec.ValidationError, ValueError, TypeError) as exc:
            raise MisfitError(f"{shown(plain)} does not fit its annotation: {exc}") from exc

    def trusts(self, value: Any) -> bool:
        return self.trusts_type(type(value))

    def trusts_type(self, kind: type) -> bool:
        return kind is self.annotation and kind in _TRUSTED

    def holds(self, value: Any) -> bool:
        return isinstance(value, self.annotation)

    def compare(self, given: Any, back: Any) -> Fault | None:
        if isinstance(given, datetime) and isinstance(back, datetime) and given.tzinfo and back.tzinfo:
            given_at, back_at = given.astimezone(UTC), back.astimezone(UTC)  # == is False in the hour that comes twice
            return None if given_at == back_at else changed(given, back)
        return super().compare(given, back)


class Member(Shape):
    """An enum's member, or one of the values of a Literal, identified by its JSON value."""

    __slots__ = ("_by_text",)

    @property
    def texts(self) -> list[str]:
        """The JSON text of each member."""
        return list(self._by_text)

    @property
    def values(self) -> list[Any]:
        """The members."""
        return list(self._by_text.values())

    def __init__(self, annotation: Any, language: Language, values: Sequence[Any]) -> None:
        super().__init__(annotation, language)
        self.is_odd = isinstance(annotation, type) and issubclass(annotation, Flag)
        self._by_text: dict[str, Any] = {}
        for value in values:
            try:
                text = language.spell(value)
            except SerializationError:
                continue
            self._by_text.setdefault(text, value)

    def build(self, plain: Any) -> Any:
        text = self.language.spell(plain)
        if text in self._by_text:
            return self._by_text[text]
        try:
            if isinstance(self.annotation, type):
                return self.annotation(plain)  # several flags, or a value that the enum's own `_missing_` accepts
        except Exception:  # noqa: BLE001 - `_missing_` is the user's code
            pass
        raise MisfitError(f"{shown(plain)} is none of {', '.join(self._by_text)}"[:400])

    def holds(self, value: Any) -> bool:
        if isinstance(self.annotation, type):
            return isinstance(value, self.annotation)
        return any(type(value) is type(member) and value == member for member in self._by_text.values())


class Derived(Shape):
    """A class derived from one of the plain types (`class Text(str)`), and pathlib's: built by calling it."""

    __slots__ = ("base",)

    is_built = True

    def __init__(self, annotation: Any, language: Language, base: Shape) -> None:
        super().__init__(annotation, language)
        self.base = base

    def build(self, plain: Any) -> Any:
        base = self.base.read(plain)
        try:
            if isinstance(base, datetime):
                parts = (base.year, base.month, base.day, base.hour, base.minute, base.second, base.microsecond)
                return self.annotation(*parts, tzinfo=base.tzinfo)
            if hasattr(base, "isoformat") or hasattr(base, "total_seconds"):
                args = [getattr(base, name) for name in _PARTS if hasattr(base, name)]
                return self.annotation(*args)
            return self.annotation(base)
        except Exception as exc:
            raise MisfitError(f"{shown(plain)} does not make a {self.annotation.__qualname__}: {exc}") from exc

    def holds(self, value: Any) -> bool:
        return isinstance(value, self.annotation)

    def compare(self, given: Any, back: Any) -> Fault | None:
        return super().compare(given, back) if type(given) is type(back) else changed(given, back)


_PARTS = ("year", "month", "day", "days", "hour", "minute", "second", "seconds", "microsecond", "microseconds")


class Opaque(Shape):
    """An unknown class: accepts only its instances."""

    __slots__ = ()

    is_built = True

    def build(self, plain: Any) -> Any:
        if self.holds(plain):
            return plain
        name = f"{self.annotation.__module__}.{self.annotation.__qualname__}"
        raise MisfitError(
            f"a {name} cannot be built from {shown(plain)}; annotate a dataclass, a pydantic model or a plain JSON "
            "type, and build the object inside the task"
        )

    def holds(self, value: Any) -> bool:
        try:
            return isinstance(value, self.annotation)
        except Exception:  # noqa: BLE001 - a Protocol that is only for type checkers, or a metaclass of the user's
            return True


def changed(given: Any, back: Any) -> Fault:
    """The fault that a value would come back as another one."""
    return Fault("", f"{shown(given)} would come back as {shown(back)}; {_REMEDY}, or pass plain JSON")


def are_equal(given: Any, back: Any) -> bool:
    """Whether two values are equal; False if they cannot be compared."""
    try:
        return bool(given == back)
    except Exception:  # noqa: BLE001 - the user's own __eq__
        return False


def shown(value: Any) -> str:
    """A value for messages: short, with its type."""
    size = ""
    if isinstance(value, _CONTAINERS):
        with suppress(Exception):  # the user's own __len__
            size = f" of {len(value)}"
    return f"{short(value)} ({kind_of(value)}{size})"
