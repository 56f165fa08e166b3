"""Checks of a value before all of it is known: handles in it stand for future results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from segue.authoring.containers import Entries, Fixed, Items, Union
from segue.authoring.records import Record
from segue.authoring.shapes import Shape
from segue.plan.writing import Fault, key_step


def find_changed(shape: Shape, given: Any, plain: Any, unknown: type | None) -> Fault | None:
    """How a value, written as `plain`, would come back changed; parts of the type `unknown` are left out."""
    if unknown is None or not holds_unknown(given, unknown):
        return shape.verify(given, plain)
    if isinstance(shape, Entries) and isinstance(given, dict) and plain is not None:
        for key, text in zip(given, plain, strict=True):
            fault = shape.verify_key(key, text)
            if fault is not None:
                return fault
    for step, part_shape, part, part_plain in _parts(shape, given, plain):
        fault = find_changed(part_shape, part, part_plain, unknown)
        if fault is not None:
            return Fault(f"{step}{fault.path}", fault.why)
    return None


def holds_unknown(value: Any, unknown: type) -> bool:
    """Whether a value contains something unknown, or is unknown itself."""
    left, seen = [value], set()
    while left:
        item = left.pop()
        if isinstance(item, unknown):
            return True
        if isinstance(item, (list, tuple, dict)) and id(item) not in seen:
            seen.add(id(item))  # it may contain itself
            left.extend(item.values() if isinstance(item, dict) else item)
    return False


def _parts(shape: Shape, given: Any, plain: Any) -> Iterator[tuple[str, Shape, Any, Any]]:
    """The parts that have an annotation, each with the path step that leads to it."""
    if plain is None:  # it is unknown as a whole
        return
    if isinstance(shape, Union):
        wanted = (Entries, Record) if isinstance(given, dict) else (Items, Fixed)
        members = [member for member in shape.members if isinstance(member, wanted)]
        if len(members) == 1:
            yield from _parts(members[0], given, plain)
    elif isinstance(given, dict):
        fields = {field.key: field.shape for field in shape.fields} if isinstance(shape, Record) else {}
        for (key, part), part_plain in zip(given.items(), plain.values(), strict=True):
            inner = shape.value if isinstance(shape, Entries) else fields.get(key)
            if inner is not None:
                yield key_step(str(key)), inner, part, part_plain
    elif isinstance(given, (list, tuple)):
        for index, (part, part_plain) in enumerate(zip(given, plain, strict=True)):
            if isinstance(shape, Items):
                yield f"[{index}]", shape.item, part, part_plain
            elif isinstance(shape, Fixed) and index < len(shape.places):
                yield f"[{index}]", shape.places[index], part, part_plain
