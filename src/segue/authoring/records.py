"""Shapes of classes with fields: dataclasses, NamedTuple, TypedDict, msgspec.Struct, attrs classes, pydantic models."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from inspect import get_annotations
from types import SimpleNamespace
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from segue.authoring.shapes import Language, MisfitError, Shape, Unresolved, are_equal, changed, shown
from segue.errors import SerializationError
from segue.plan.writing import Fault, key_step, kind_of


class Field(NamedTuple):
    """A field of a record: its names in the class, in JSON, and as an argument of the class."""

    name: str
    key: str
    told_by: str | None  # None: it is set afterwards
    is_required: bool
    shape: Shape


class Record(Shape):
    """An object with fields, written as an object or (`is_list`) as a list of their values."""

    __slots__ = ("_is_open", "cls", "fields", "is_list", "tag")

    def __init__(self, annotation: Any, language: Language, cls: type, *, is_list: bool = False) -> None:
        super().__init__(annotation, language)
        self.cls = cls
        self.is_list = is_list
        self.fields: tuple[Field, ...] = ()  # filled in later, because a field may be of this very class
        config = getattr(cls, "__struct_config__", None)
        self.tag: tuple[str, Any] | None = None
        if config is not None and config.tag is not None:
            self.tag = (config.tag_field, config.tag)

    def children(self) -> Iterable[Shape]:
        return [field.shape for field in self.fields]

    def build(self, plain: Any) -> Any:
        told, later = {}, {}
        for field, found in self._found(plain):
            step = f".{field.name}"
            try:
                value = field.shape.read(found)
            except MisfitError as misfit:
                raise MisfitError(misfit.why, f"{step}{misfit.path}") from misfit
            if field.told_by is None:
                later[field.name] = value
            else:
                told[field.told_by] = value
        try:
            made = self.cls(**told)
            for name, value in later.items():
                object.__setattr__(made, name, value)
        except Exception as exc:
            raise MisfitError(f"{shown(plain)} does not make a {self.cls.__qualname__}: {exc}") from exc
        return made

    def has_all(self, plain: Any) -> bool:
        if not hasattr(self.cls, "__dataclass_fields__"):
            return True  # these are written with all of their defaults, or with none of them
        return all(field.key in plain for field in self.fields)

    def holds(self, value: Any) -> bool:
        if isinstance(value, dict) and is_typed_dict(self.cls):
            return True
        return isinstance(value, self.cls) if not is_typed_dict(self.cls) else False

    def differs(self, given: Any, back: Any) -> Fault | None:
        if isinstance(given, Mapping):
            known = {field.key: field for field in self.fields}
            for key, item in given.items():
                if key in known:
                    fault = known[key].shape.differs(item, part(back, known[key].name))
                elif self.tag is not None and key == self.tag[0]:
                    continue
                else:
                    fault = Fault("", f"{self.cls.__qualname__} has no such field, so it would be lost; leave it out")
                if fault is not None:
                    return Fault(f"{key_step(str(key))}{fault.path}", fault.why)
            return None
        if not isinstance(given, self.cls):
            return None if isinstance(given, (list, tuple)) and self.is_list else changed(given, back)
        if type(given) is not type(back):
            return Fault("", f"a {kind_of(given)} would come back as a {kind_of(back)}; annotate it as what it is")
        for field in self.fields:
            fault = field.shape.differs(part(given, field.name), part(back, field.name))
            if fault is not None:
                return Fault(f".{field.name}{fault.path}", fault.why)
        return None

    def _found(self, plain: Any) -> list[tuple[Field, Any]]:
        """The fields that are present, each with its plain value."""
        if self.is_list and isinstance(plain, list):
            items = plain if self.tag is None else plain[1:]
            if self.tag is not None and plain[:1] != [self.tag[1]]:
                raise MisfitError(f"{shown(plain)} is not a {self.cls.__qualname__}: expected the tag {self.tag[1]!r}")
            if len(items) > len(self.fields):
                raise MisfitError(f"{shown(plain)} has more items than {self.cls.__qualname__} has fields")
            missing = [field.name for field in self.fields[len(items) :] if field.is_required]
            found = list(zip(self.fields, items, strict=False))
        elif not self.is_list and isinstance(plain, dict):
            if self.tag is not None and plain.get(self.tag[0]) != self.tag[1]:
                raise MisfitError(f"{shown(plain)} is not a {self.cls.__qualname__}: expected the tag {self.tag[1]!r}")
            missing = [field.name for field in self.fields if field.is_required and field.key not in plain]
            found = [(field, plain[field.key]) for field in self.fields if field.key in plain]
        else:
            kind = "a list" if self.is_list else "an object"
            raise MisfitError(
                f"{shown(plain)} does not fit its annotation: expected {kind} for {self.cls.__qualname__}"
            )
        if missing:
            raise MisfitError(f"{shown(plain)} is not a {self.cls.__qualname__}: it has no {', '.join(missing)}")
        return found


class Model(Shape):
    """A pydantic model, which reads its own values."""

    __slots__ = ()

    is_built = True

    def build(self, plain: Any) -> Any:
        ways: list[Callable[[], Any]] = [
            lambda: self._validate(plain, by_name=True),  # as Segue writes it
            lambda: self._validate(self._typed(plain), by_name=True),  # an enum of tuples, which are lists in JSON
            lambda: self._validate(plain, by_name=False),  # with its aliases, if Segue did not write it
        ]
        first: Exception | None = None
        for way in ways:
            try:
                return way()
            except Exception as exc:  # noqa: BLE001 - validators are the user's code
                first = first or exc
        what, path = str(first), ""
        errors = getattr(first, "errors", None)
        if errors is not None and (found := errors()):
            what = str(found[0]["msg"])
            path = "".join(f"[{key}]" if isinstance(key, int) else key_step(str(key)) for key in found[0]["loc"])
        raise MisfitError(f"{shown(plain)} is not a {self.annotation.__qualname__}: {what}", path) from first

    def _validate(self, plain: Any, *, by_name: bool) -> Any:
        validate = self.annotation.model_validate
        return validate(plain, by_name=True, by_alias=False) if by_name and _reads_by_name() else validate(plain)

    def _typed(self, plain: Any) -> Any:
        fields = self.annotation.model_fields
        read = self.language.ask
        return {name: read(fields[name].annotation, item) if name in fields else item for name, item in plain.items()}

    def holds(self, value: Any) -> bool:
        return isinstance(value, self.annotation)

    def differs(self, given: Any, back: Any) -> Fault | None:
        if isinstance(given, (Mapping, *_JSON)) and not self.holds(given):
            return None
        if type(given) is not type(back):
            return Fault("", f"a {kind_of(given)} would come back as a {kind_of(back)}; annotate it as what it is")
        if are_equal(given, back):
            return None
        for name in type(given).model_fields:
            one, other = part(given, name), part(back, name)
            if not are_equal(one, other):
                fault = changed(one, other)
                return Fault(f".{name}", fault.why)
        return changed(given, back)


_JSON = (str, int, float, bool, list, tuple, type(None))


def dumped(model: Any) -> Any:
    """The JSON value of a pydantic model: its fields by name, or by alias if pydantic cannot read names."""
    plain = model.model_dump(mode="json", round_trip=True, by_alias=not _reads_by_name(), warnings=False)
    if "**********" in repr(plain):  # pydantic's text for a secret
        raise SerializationError(
            f"a {kind_of(model)} contains a secret, which pydantic does not write; pass its location instead"
        )
    return plain


def schema_of_model(model: Any, ref_template: str) -> dict[str, Any]:
    """The JSON Schema of a pydantic model, as `dumped` writes it. Raises pydantic's error if there is none."""
    schema: dict[str, Any] = model.model_json_schema(by_alias=not _reads_by_name(), ref_template=ref_template)
    return schema


def _reads_by_name() -> bool:
    """Whether this version of pydantic can read fields by their names in spite of aliases (from 2.11 on)."""
    major, minor = sys.modules["pydantic"].VERSION.split(".")[:2]
    return (int(major), int(minor)) >= (2, 11)


def part(value: Any, name: str) -> Any:
    """A field of a record, or of a dict that is one; None if it does not exist."""
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def is_typed_dict(cls: Any) -> bool:
    """Whether a class is a TypedDict."""
    return isinstance(cls, type) and issubclass(cls, dict) and hasattr(cls, "__total__")


def record_of(annotation: Any, language: Language) -> Record | None:
    """The shape of a class with fields, which are filled in later; None for other annotations."""
    cls = get_origin(annotation) or annotation
    if not isinstance(cls, type):
        return None
    config = getattr(cls, "__struct_config__", None)
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return Record(annotation, language, cls, is_list=True)
    if config is not None:
        return Record(annotation, language, cls, is_list=config.array_like)
    if is_typed_dict(cls) or hasattr(cls, "__dataclass_fields__") or hasattr(cls, "__attrs_attrs__"):
        return Record(annotation, language, cls)
    return None


def fill_in(record: Record, shape_of: Callable[[Any], Shape]) -> None:
    """Give a record its fields."""
    cls: Any = record.cls
    made: list[tuple[str, str, str | None, bool]]
    hints = _hints(cls, get_args(record.annotation))
    if issubclass(cls, tuple):
        names: list[str] = list(cls._fields)
        made = [(name, name, name, name not in cls._field_defaults) for name in names]
    elif hasattr(cls, "__struct_config__"):
        made = [(each.name, each.encode_name, each.name, each.required) for each in msgspec.structs.fields(cls)]
    elif is_typed_dict(cls):
        made = [(name, name, name, name in cls.__required_keys__) for name in hints]
    elif hasattr(cls, "__attrs_attrs__"):
        made = [(each.name, each.name, each.alias if each.init else None, False) for each in cls.__attrs_attrs__]
        record.is_odd = any(name != told_by for name, _, told_by, _ in made)
    else:
        made = _of_dataclass(record, cls)
    record.fields = tuple(
        Field(name, key, told_by, is_required, shape_of(hints.get(name, Any)))
        for name, key, told_by, is_required in made
    )


def _of_dataclass(record: Record, cls: Any) -> list[tuple[str, str, str | None, bool]]:
    missing = sys.modules["dataclasses"].MISSING
    made: list[tuple[str, str, str | None, bool]] = []
    for field in cls.__dataclass_fields__.values():
        if field._field_type.name == "_FIELD":
            is_required = field.default is missing and field.default_factory is missing
            made.append((field.name, field.name, field.name if field.init else None, is_required and field.init))
        elif field._field_type.name == "_FIELD_INITVAR":
            record.is_odd = True
    is_plain = cls.__dataclass_params__.init and all(told_by is not None for _, _, told_by, _ in made)
    record.is_odd = record.is_odd or not is_plain or hasattr(cls, "__pydantic_validator__")
    return made


def _hints(cls: type, args: tuple[Any, ...]) -> dict[str, Any]:
    """The annotations of a class, those of a generic one with its arguments filled in."""
    try:
        hints = get_type_hints(cls, include_extras=True)
    except Exception:  # noqa: BLE001 - annotations are arbitrary code; one that fails only loses its own type
        hints = {}
        for base in reversed(cls.__mro__):
            for name, annotation in get_annotations(base).items():
                hints[name] = _resolved(base, name, annotation)
    given = dict(zip(getattr(cls, "__parameters__", ()), args, strict=False))
    return {name: _filled(hint, given) for name, hint in hints.items()} if given else hints


def _resolved(cls: type, name: str, annotation: Any) -> Any:
    alone = SimpleNamespace(__annotations__={name: annotation})
    names = vars(sys.modules.get(cls.__module__, SimpleNamespace()))
    try:
        return get_type_hints(alone, globalns=names, localns={cls.__name__: cls}, include_extras=True)[name]
    except Exception:  # noqa: BLE001 - as above
        return Unresolved


def _filled(hint: Any, given: dict[Any, Any]) -> Any:
    if hint in given:
        return given[hint]
    open_ones = getattr(hint, "__parameters__", ())
    return hint[tuple(given.get(each, each) for each in open_ones)] if open_ones and get_args(hint) else hint
