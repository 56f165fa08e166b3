"""Shapes of values that contain other values: lists, sets, tuples, dicts, and unions."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from segue.authoring.shapes import JSON_LEAVES, Anything, Language, Leaf, MisfitError, Shape, are_equal, changed, shown
from segue.errors import SerializationError
from segue.plan.writing import Fault, key_step

_FACTORIES: frozenset[Any] = frozenset({list, dict, set, int, float, str, bool, tuple})
_decode = msgspec.json.Decoder().decode


class Items(Shape):
    """A list, a set, a deque, a tuple of any length."""

    __slots__ = ("is_built", "is_sly", "item", "kind")

    def __init__(self, annotation: Any, language: Language, kind: Any, item: Shape) -> None:
        super().__init__(annotation, language)
        self.kind = kind
        self.item = item
        self.is_sly = issubclass(kind, deque)
        self.is_built = kind not in (list, tuple, set, frozenset)

    def children(self) -> Iterable[Shape]:
        return (self.item,)

    def build(self, plain: Any) -> Any:
        if not isinstance(plain, list):
            raise MisfitError(f"{shown(plain)} does not fit its annotation: expected a list")
        items = [read_at(f"[{index}]", self.item, item) for index, item in enumerate(plain)]
        try:
            return self.kind(items)
        except Exception as exc:
            raise MisfitError(f"{shown(plain)} does not make a {self.kind.__qualname__}: {exc}") from exc

    def trusts(self, value: Any) -> bool:
        return not self.is_built and type(value) is self.kind and _all_trusted(self.item, value)

    def trusts_type(self, kind: type) -> bool:
        return kind is self.kind and not self.is_built and isinstance(self.item, Anything)

    def holds(self, value: Any) -> bool:
        return isinstance(value, self.kind)

    def compare(self, given: Any, back: Any) -> Fault | None:
        if self.is_built and isinstance(given, self.kind) and type(given) is not type(back):
            return changed(given, back)
        if isinstance(given, deque) and isinstance(back, deque) and given.maxlen != back.maxlen:
            return Fault("", f"its maxlen={given.maxlen} would be lost; pass a list, and make the deque in the task")
        if isinstance(back, (set, frozenset)):
            same = not isinstance(given, (set, frozenset)) or are_equal(given, back)
            return None if same else changed(given, back)  # of a list, each item once
        if len(given) != len(back):
            return changed(given, back)
        return _first_fault(
            (f"[{index}]", self.item, *pair) for index, pair in enumerate(zip(given, back, strict=True))
        )


class Fixed(Shape):
    """A tuple with a type for each place."""

    __slots__ = ("places",)

    def __init__(self, annotation: Any, language: Language, places: tuple[Shape, ...]) -> None:
        super().__init__(annotation, language)
        self.places = places

    def children(self) -> Iterable[Shape]:
        return self.places

    def build(self, plain: Any) -> Any:
        if not isinstance(plain, list) or len(plain) != len(self.places):
            raise MisfitError(f"{shown(plain)} does not fit its annotation: expected a list of {len(self.places)}")
        pairs = enumerate(zip(self.places, plain, strict=True))
        return tuple([read_at(f"[{index}]", place, item) for index, (place, item) in pairs])

    def trusts(self, value: Any) -> bool:
        if type(value) is not tuple or len(value) != len(self.places):
            return False
        return all(place.trusts(item) for place, item in zip(self.places, value, strict=True))

    def holds(self, value: Any) -> bool:
        return isinstance(value, tuple)

    def compare(self, given: Any, back: Any) -> Fault | None:
        if not isinstance(given, (list, tuple)) or len(given) != len(back):
            return changed(given, back)
        triples = zip(self.places, given, back, strict=True)
        return _first_fault((f"[{index}]", *triple) for index, triple in enumerate(triples))


class Entries(Shape):
    """A dict, or a class built from one: defaultdict, Counter, OrderedDict."""

    __slots__ = ("is_built", "is_sly", "key", "kind", "value")

    def __init__(self, annotation: Any, language: Language, kind: Any, key: Shape, value: Shape) -> None:
        super().__init__(annotation, language)
        self.kind = kind
        self.key = key
        self.value = value
        self.is_sly = issubclass(kind, defaultdict)
        self.is_built = kind is not dict
        self.is_odd = isinstance(key, Union)  # msgspec reads a number among the keys as text

    def children(self) -> Iterable[Shape]:
        return (self.key, self.value)

    def build(self, plain: Any) -> Any:
        if not isinstance(plain, dict):
            raise MisfitError(f"{shown(plain)} does not fit its annotation: expected an object")
        found = {}
        for text, item in plain.items():
            step = key_step(text)
            found[self._key(text, step)] = read_at(step, self.value, item)
        try:
            if issubclass(self.kind, defaultdict):
                return self.kind(self._factory(), found)
            return self.kind(found) if self.is_built else found
        except Exception as exc:
            raise MisfitError(f"{shown(plain)} does not make a {self.kind.__qualname__}: {exc}") from exc

    def trusts(self, value: Any) -> bool:
        if type(value) is not dict or self.is_built:
            return False
        if not isinstance(self.key, Anything) and not (self.key.annotation is str and set(map(type, value)) <= {str}):
            return False
        return _all_trusted(self.value, value.values())

    def trusts_type(self, kind: type) -> bool:
        return (
            kind is dict and not self.is_built and isinstance(self.key, Anything) and isinstance(self.value, Anything)
        )

    def holds(self, value: Any) -> bool:
        return isinstance(value, self.kind)

    def compare(self, given: Any, back: Any) -> Fault | None:
        if not isinstance(given, Mapping) or (
            self.is_built and isinstance(given, self.kind) and type(given) is not type(back)
        ):
            return changed(given, back)
        if len(given) != len(back):
            return Fault("", f"two keys of {shown(given)} are the same in JSON; rename one")
        if isinstance(given, defaultdict) and isinstance(back, defaultdict):
            lost, made = given.default_factory, back.default_factory
            if lost is not made:
                return Fault(
                    "", f"its default_factory {lost!r} would be {made!r}; pass a dict, and make it in the task"
                )
        pairs = list(zip(given.items(), back.items(), strict=True))
        return _first_fault(
            part
            for (key, item), (back_key, back_item) in pairs
            for part in (
                (f" (the key {key!r})", self.key, key, back_key),
                (key_step(str(key)), self.value, item, back_item),
            )
        )

    def verify_key(self, given: Any, text: str) -> Fault | None:
        """How a key, spelt this way in JSON, would differ from the given one after it is read; None if it would not."""
        if isinstance(self.key, Anything):
            return None
        try:
            fault = self.key.differs(given, self._key(text, ""))
        except MisfitError as misfit:
            fault = Fault("", misfit.why)
        return None if fault is None else Fault(f" (the key {given!r})", fault.why)

    def _factory(self) -> Any:
        kind = self.value.annotation
        kind = getattr(kind, "__origin__", kind)
        return kind if isinstance(kind, type) and kind in _FACTORIES else None

    def _key(self, text: str, step: str) -> Any:
        """A key, which is always text in JSON: read as a number if the annotation allows it, otherwise as the text."""
        if not isinstance(self.key, Anything) and text[:1] in _BEGINS_NUMBER:
            try:
                number = _decode(text)
                if self.language.spell(number) == text:
                    return self.key.read(number)
            except (ValueError, SerializationError):
                pass
        return read_at(step, self.key, text)


class Union(Shape):
    """One of several types. The first wins that reads a plain value and writes it back the same."""

    __slots__ = ("_are_plain", "is_sly", "members")

    def __init__(self, annotation: Any, language: Language, members: tuple[Shape, ...]) -> None:
        super().__init__(annotation, language)
        self.members = members
        plain = sum(isinstance(member, Leaf) and member.annotation in JSON_LEAVES for member in members)
        self._are_plain = plain == len(members)
        self.is_odd = len(members) - plain > 1
        others = sum(member.annotation is not type(None) for member in members)
        self.is_sly = others > 1 and not self._are_plain  # 1 == Decimal(1), and {} == OrderedDict()

    def children(self) -> Iterable[Shape]:
        return self.members

    def build(self, plain: Any) -> Any:
        text, first, misfits = None, [], []
        for member in self.members:
            try:
                value = member.read(plain)
            except MisfitError as misfit:
                misfits.append(misfit)
                continue
            if type(value) is type(plain) and value is plain:
                return value
            text = text or self.language.spell(plain)
            try:
                if self.language.spell(value) == text and member.has_all(plain):
                    return value
            except SerializationError:
                continue
            first.append(value)
        if first:
            return first[0]
        inner = [misfit for misfit in misfits if misfit.path]
        if len(inner) == 1:
            raise inner[0]
        raise MisfitError(f"{shown(plain)} is none of {self.annotation}: {'; '.join(m.why for m in misfits)}"[:1000])

    def trusts(self, value: Any) -> bool:
        """Values of plain types cannot be mistaken for each other, and no value can be mistaken for None."""
        if value is None or self._are_plain:
            return any(isinstance(member, Leaf) and member.trusts(value) for member in self.members)
        others = [member for member in self.members if member.annotation is not type(None)]
        return len(others) == 1 and others[0].trusts(value)

    def _mistaken(self, given: Any, back: Any) -> Fault:
        return Fault(
            "",
            f"{shown(given)} would come back as {shown(back)}, because JSON has the same for both; annotate one type "
            f"instead of {self.annotation}, or tell them apart by a field",
        )

    def differs(self, given: Any, back: Any) -> Fault | None:
        fitting = [member for member in self.members if member.holds(given)]
        exact = [member for member in fitting if _class_of(member) is type(given)]
        if exact and type(back) is not type(given):
            return self._mistaken(given, back)
        fitting = exact or fitting
        faults = []
        for member in fitting or [member for member in self.members if member.holds(back)]:
            fault = member.differs(given, back) if member.holds(back) else self._mistaken(given, back)
            if fault is None:
                return None
            faults.append(fault)
        return faults[0] if faults else changed(given, back)


def _class_of(shape: Shape) -> Any:
    """The class of the values that it makes, if it is one class."""
    if isinstance(shape, (Entries, Items)):
        return shape.kind
    annotation = getattr(shape, "cls", shape.annotation)
    return getattr(annotation, "__origin__", annotation)


class Alias(Shape):
    """A name for an annotation, which may contain itself: `type Json = int | list[Json]`."""

    __slots__ = ("target",)

    def __init__(self, annotation: Any, language: Language) -> None:
        super().__init__(annotation, language)
        self.is_odd = True
        self.target: Shape = self  # filled in when its annotation is resolved

    def children(self) -> Iterable[Shape]:
        return (self.target,)

    def build(self, plain: Any) -> Any:
        return self.target.read(plain)

    def trusts(self, value: Any) -> bool:
        return type(value) in JSON_LEAVES and self.target.trusts(value)

    def holds(self, value: Any) -> bool:
        return self.target.holds(value)

    def differs(self, given: Any, back: Any) -> Fault | None:
        return self.target.differs(given, back)


class Constrained(Shape):
    """A type with bounds that msgspec checks: `Annotated[int, msgspec.Meta(ge=0)]`."""

    __slots__ = ("inner",)

    def __init__(self, annotation: Any, language: Language, inner: Shape) -> None:
        super().__init__(annotation, language)
        self.inner = inner

    def children(self) -> Iterable[Shape]:
        return (self.inner,)

    def build(self, plain: Any) -> Any:
        value = self.inner.read(plain)  # its error is the more precise one
        try:
            self.convert(plain)
        except msgspec.ValidationError as exc:
            raise MisfitError(f"{shown(plain)} does not fit its annotation: {exc}") from exc
        except Exception:  # noqa: BLE001 - bounds of types that msgspec does not know are not checked
            pass
        return value

    def holds(self, value: Any) -> bool:
        return self.inner.holds(value)

    def differs(self, given: Any, back: Any) -> Fault | None:
        return self.inner.differs(given, back)


def read_at(step: str, shape: Shape, plain: Any) -> Any:
    """A part of a value. A MisfitError contains its path."""
    try:
        return shape.read(plain)
    except MisfitError as misfit:
        raise MisfitError(misfit.why, f"{step}{misfit.path}") from misfit


def _all_trusted(shape: Shape, values: Collection[Any]) -> bool:
    """Whether each of some values is trusted; if the type decides it, each type is asked only once."""
    if isinstance(shape, Anything) or all(map(shape.trusts_type, set(map(type, values)))):
        return True
    return len(values) <= _FEW and all(map(shape.trusts, values))  # many values are read faster than checked


def _first_fault(parts: Iterable[tuple[str, Shape, Any, Any]]) -> Fault | None:
    for step, shape, given, back in parts:
        fault = shape.differs(given, back)
        if fault is not None:
            return Fault(f"{step}{fault.path}", fault.why)
    return None


_FEW = 8
_BEGINS_NUMBER = frozenset("-0123456789")
