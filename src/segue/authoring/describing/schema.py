"""JSON Schema (2020-12) of annotations, made from the same shapes that read values: it accepts what `encode` writes.

The schema describes the JSON that Segue writes and reads, and is the same on every machine: it does not depend on
whether pydantic is installed, and only pydantic's own models are asked for their schema. A `format` is given if
everything that Segue writes conforms to it. A naive datetime has no RFC 3339 format, nor has a timedelta with
fractions: these have a pattern, and `x-segue-type` names their type.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Flag, FlagBoundary
from types import NoneType
from typing import Any
from uuid import UUID

import msgspec

from segue.authoring.annotations import is_path
from segue.authoring.containers import Alias, Constrained, Entries, Fixed, Items, Union
from segue.authoring.records import Model, Record, schema_of_model
from segue.authoring.shapes import Derived, Leaf, Member, Opaque, Shape
from segue.authoring.values import decode, encode, key_text
from segue.errors import SerializationError

Schema = dict[str, Any]

_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
_ZONE = "(Z|[+-][0-9]{2}:[0-9]{2})"
_DURATION = r"^-?P(?=.)([0-9]+D)?(T(?=.)([0-9]+H)?([0-9]+M)?([0-9]+(\.[0-9]+)?S)?)?$"
_UUID = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_BASE64 = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_INTEGER = "^(0|-?[1-9][0-9]*)$"
_NUMBER = r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
_DECIMAL = _NUMBER
_BYTES: Schema = {"type": "string", "contentEncoding": "base64", "pattern": _BASE64}
_LEAVES: dict[Any, Schema] = {
    NoneType: {"type": "null"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bytes: _BYTES,
    bytearray: _BYTES,
    memoryview: _BYTES,
    datetime: {"type": "string", "pattern": f"^{_DATE}T{_TIME}{_ZONE}?$", "x-segue-type": "datetime"},
    date: {"type": "string", "format": "date", "pattern": f"^{_DATE}$"},
    time: {"type": "string", "pattern": f"^{_TIME}{_ZONE}?$", "x-segue-type": "time"},
    timedelta: {"type": "string", "pattern": _DURATION, "x-segue-type": "timedelta"},
    UUID: {"type": "string", "format": "uuid", "pattern": _UUID},
    Decimal: {"type": "string", "pattern": _DECIMAL, "x-segue-type": "decimal"},
}
_KEYS: dict[Any, Schema] = {  # keys are text in JSON, whatever their type in Python
    NoneType: {"const": "null"},
    bool: {"enum": ["true", "false"]},
    int: {"pattern": _INTEGER},
    float: {"pattern": _NUMBER},
}
_NAMES: dict[str, dict[str, str]] = {  # the JSON Schema names of msgspec's bounds, by JSON type
    "": {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum",
         "multiple_of": "multipleOf", "pattern": "pattern", "title": "title", "description": "description"},
    "string": {"min_length": "minLength", "max_length": "maxLength"},
    "array": {"min_length": "minItems", "max_length": "maxItems"},
    "object": {"min_length": "minProperties", "max_length": "maxProperties"},
}  # fmt: skip
_SAMPLES: tuple[tuple[str, Any], ...] = (
    ("null", None), ("boolean", True), ("number", 1.5), ("integer", 1), ("string", ""), ("array", []), ("object", {}),
)  # fmt: skip
_FEW_FLAGS = 64
_NO_WORD = re.compile(r"[^A-Za-z0-9_.-]+")


class SchemaWriter:
    """Schemas that share their definitions: classes with fields, which may contain themselves, are in `defs`, by name.

    `problems` lists each type for which no schema exists. Example::

        writer = SchemaWriter()
        schema = writer.of(shape_of(list[Order]))  # {"type": "array", "items": {"$ref": "#/$defs/Order"}}
        schema["$defs"] = writer.defs
    """

    def __init__(self) -> None:
        self.defs: dict[str, Schema] = {}
        self.problems: list[str] = []
        self._refs: dict[int, tuple[Shape, str]] = {}

    def of(self, shape: Shape) -> Schema:
        """The schema of a shape."""
        write = next((write for kind, write in _WRITERS.items() if isinstance(shape, kind)), None)
        return {} if write is None else write(self, shape)  # Anything, and annotations that cannot be resolved

    def leaf(self, shape: Leaf) -> Schema:
        """Of a single value."""
        return dict(_LEAVES[shape.annotation])

    def member(self, shape: Member) -> Schema:
        """Of an enum or a Literal: the JSON values of its members."""
        cls = shape.annotation
        if isinstance(cls, type) and issubclass(cls, Flag):
            return _flags(cls)
        return {"enum": [decode(text) for text in shape.texts]}

    def derived(self, shape: Derived) -> Schema:
        """Of a class that is derived from a plain type, or a path."""
        schema = self.of(shape.base)
        return schema | {"x-segue-type": "path"} if is_path(shape.annotation) else schema

    def items(self, shape: Items) -> Schema:
        """Of a list or set."""
        schema: Schema = {"type": "array"}
        item = self.of(shape.item)
        if item:
            schema["items"] = item
        if issubclass(shape.kind, (set, frozenset)):
            schema["uniqueItems"] = True
        return schema

    def fixed(self, shape: Fixed) -> Schema:
        """Of a tuple with a type for each place."""
        return _places([self.of(place) for place in shape.places])

    def entries(self, shape: Entries) -> Schema:
        """Of a dict."""
        schema: Schema = {"type": "object"}
        value, keys = self.of(shape.value), self._keys(shape.key)
        if value:
            schema["additionalProperties"] = value
        if keys:
            schema["propertyNames"] = keys
        return schema

    def union(self, shape: Union) -> Schema:
        """Of a union: each schema once, in the order in which the types are tried."""
        schemas: list[Schema] = []
        for member in shape.members:
            schema = self.of(member)
            if not schema:
                return {}
            if schema not in schemas:
                schemas.append(schema)
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

    def alias(self, shape: Alias) -> Schema:
        """Of a name for an annotation."""
        return self._referred(shape, shape.annotation.__name__, lambda: self.of(shape.target))

    def constrained(self, shape: Constrained) -> Schema:
        """Of a type with bounds."""
        schema = self.of(shape.inner)
        for meta in shape.annotation.__metadata__:
            if isinstance(meta, msgspec.Meta):
                names = _NAMES[""] | _NAMES.get(schema.get("type", ""), {})
                found = {word: getattr(meta, name) for name, word in names.items() if getattr(meta, name) is not None}
                schema |= found | (meta.extra_json_schema or {})
        return schema

    def record(self, shape: Record) -> Schema:
        """Of a class with fields."""
        name = shape.cls.__name__ if shape.annotation is shape.cls else str(shape.annotation).rpartition(".")[2]
        return self._referred(shape, name, lambda: self._fields(shape))

    def model(self, shape: Model) -> Schema:
        """Of a pydantic model, as pydantic writes it."""

        def make() -> Schema:
            try:
                schema = schema_of_model(shape.annotation, f"#/$defs/{name}.{{model}}")
            except Exception as exc:  # noqa: BLE001 - validators and types of users, which pydantic may not know
                self.problems.append(f"pydantic has no JSON Schema for {shape.annotation.__qualname__}: {exc}")
                return {"type": "object"}
            for key, inner in schema.pop("$defs", {}).items():
                self.defs[f"{name}.{key}"] = _with_sorted_sets(inner)
            made: Schema = _with_sorted_sets(schema)
            return made

        name = self._free_name(shape.annotation.__name__)
        return self._referred(shape, name, make)

    def opaque(self, shape: Opaque) -> Schema:
        """Of an unknown class: the plain JSON that counts as an instance of it, if any does."""
        cls = shape.annotation
        if hasattr(cls, "_json_remedy"):  # Segue's own: a task may return a signature, which replaces its step
            return {}
        types = [word for word, sample in _SAMPLES if shape.holds(sample)]
        if len(types) == len(_SAMPLES):
            return {}
        if not types:
            self.problems.append(f"a {cls.__module__}.{cls.__qualname__} cannot be given as JSON")
            return {"not": {}}
        return {"type": types}

    def _keys(self, key: Shape) -> Schema:
        """Of the keys of a dict, which are text in JSON."""
        if isinstance(key, Member) and isinstance(key.annotation, type) and issubclass(key.annotation, Flag):
            values = _flags(key.annotation).get("enum")  # without it they are too many to list
            return _KEYS[int] if values is None else {"enum": [str(value) for value in values]}
        if isinstance(key, Member):
            texts = [text for value in key.values if (text := _key_text(value)) is not None]
            return {"enum": texts} if texts else {"not": {}}
        if isinstance(key, Derived):
            return self._keys(key.base)
        if isinstance(key, Union):
            schemas = [self._keys(member) for member in key.members]
            return {"anyOf": schemas} if all(schemas) else {}
        if not isinstance(key, Leaf) or key.annotation is str:
            return {}
        return _KEYS.get(key.annotation) or {
            word: said for word, said in _LEAVES[key.annotation].items() if not word.startswith("x-")
        }

    def _fields(self, shape: Record) -> Schema:
        tag = shape.tag
        if shape.is_list:
            places = [self.of(field.shape) for field in shape.fields]
            least = sum(field.is_required for field in shape.fields)
            if tag is not None:
                places, least = [{"const": tag[1]}, *places], least + 1
            return {"title": shape.cls.__name__, **_places(places, least=least)}
        properties: Schema = {field.key: self.of(field.shape) for field in shape.fields}
        required = [field.key for field in shape.fields if field.is_required]
        if tag is not None:
            properties, required = {tag[0]: {"const": tag[1]}, **properties}, [tag[0], *required]
        schema = {"title": shape.cls.__name__, "type": "object", "properties": properties}
        return schema | ({"required": required} if required else {}) | {"additionalProperties": False}

    def _referred(self, shape: Shape, name: str, make: Callable[[], Schema]) -> Schema:
        """A reference to a definition, which is made at the first reference, and may refer to itself."""
        if id(shape) not in self._refs:
            name = self._free_name(name)
            self._refs[id(shape)] = (shape, name)
            self.defs[name] = {}  # reserves its name, and its place
            self.defs[name] = make()
        return {"$ref": f"#/$defs/{self._refs[id(shape)][1]}"}

    def _free_name(self, name: str) -> str:
        name = _NO_WORD.sub("_", name)
        if name not in self.defs:
            return name
        return next(free for number in range(2, 10**6) if (free := f"{name}_{number}") not in self.defs)


_WRITERS: dict[type[Shape], Callable[[SchemaWriter, Any], Schema]] = {
    Leaf: SchemaWriter.leaf, Member: SchemaWriter.member, Derived: SchemaWriter.derived, Items: SchemaWriter.items,
    Fixed: SchemaWriter.fixed, Entries: SchemaWriter.entries, Union: SchemaWriter.union, Alias: SchemaWriter.alias,
    Constrained: SchemaWriter.constrained, Record: SchemaWriter.record, Model: SchemaWriter.model,
    Opaque: SchemaWriter.opaque,
}  # fmt: skip


def stable_json(value: Any) -> str:
    """A value as JSON that is the same in every process: values without an order are sorted.

    Raises SerializationError for a value that is not JSON.
    """
    return encode(_sorted(decode(encode(value)), value))


def _places(places: list[Schema], *, least: int | None = None) -> Schema:
    """Of a list with a schema for each place."""
    if not places:
        return {"type": "array", "maxItems": 0}
    least = len(places) if least is None else least
    return {"type": "array", "prefixItems": places, "items": False, "minItems": least, "maxItems": len(places)}


def _key_text(value: Any) -> str | None:
    """How a dict's key is written in JSON; None if it cannot be a key."""
    try:
        return key_text(value)
    except SerializationError:
        return None


def _flags(cls: type[Flag]) -> Schema:
    """Of any combination of flags, including none: there are more values than members."""
    mask = 0
    for member in cls:
        mask |= int(member.value)
    if getattr(cls, "_boundary_", None) is FlagBoundary.KEEP:
        return {"type": "integer"}
    if mask < _FEW_FLAGS:
        return {"enum": [value for value in range(mask + 1) if value & ~mask == 0]}
    return {"type": "integer", "minimum": 0, "maximum": mask}


def _sorted(plain: Any, value: Any) -> Any:
    """Plain JSON of a value, in which sets are sorted by their texts."""
    if isinstance(value, (set, frozenset)):
        return sorted(plain, key=encode)
    if isinstance(value, dict) and isinstance(plain, dict):
        return {key: _sorted(item, inner) for (key, item), inner in zip(plain.items(), value.values(), strict=True)}
    if isinstance(value, (list, tuple)) and isinstance(plain, list) and len(plain) == len(value):
        return [_sorted(item, inner) for item, inner in zip(plain, value, strict=True)]
    if isinstance(plain, dict):  # an object: sort the values of its fields
        return {key: _sorted(item, getattr(value, key, None)) for key, item in plain.items()}
    return plain


def _with_sorted_sets(schema: Any) -> Any:
    """A schema of pydantic's, in which the default of a set has the order that it happens to have in this process."""
    if isinstance(schema, list):
        return [_with_sorted_sets(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _with_sorted_sets(item) for key, item in schema.items()}
    if made.get("uniqueItems") is True and isinstance(made.get("default"), list):
        made["default"] = sorted(made["default"], key=encode)
    return made
