"""Values as JSON and back, typed by annotations. No pickle, and no library is imported for a type that is not used.

`encode` writes arguments and results; `decode_arguments` fills the holes of a step's arguments and builds what the
task's annotations name: dataclasses, datetime, UUID, Decimal, Enum, TypedDict, pydantic models, lists and unions of
them.
NaN and infinity are not JSON: they are written as null.
"""

from __future__ import annotations

import sys
from collections import abc, deque
from collections.abc import Callable, Collection, Mapping
from functools import partial
from inspect import Parameter, signature
from types import SimpleNamespace
from typing import Any, Protocol, get_origin, get_type_hints

import msgspec

from segue.errors import SerializationError
from segue.model import Hole
from segue.plan.codec import NULL, decode_holes, evaluate

Convert = Callable[[Any], Any]


class Callee(Protocol):
    """What decoding needs to know about a task."""

    @property
    def name(self) -> str:
        """The task's name, for messages."""
        ...

    @property
    def converters(self) -> Converters:
        """How its arguments are typed."""
        ...


def encode(value: object) -> str:
    """A value as JSON text; raises `SerializationError` that names the type and says what to do."""
    try:
        return _encoder.encode(value).decode()
    except SerializationError:
        raise
    except RecursionError:
        raise SerializationError(f"a {_kind(value)} holds itself, or is nested too deeply; flatten it") from None
    except (TypeError, ValueError, OverflowError) as exc:
        raise SerializationError(f"a {_kind(value)} cannot be written as JSON: {exc}; {_GENERAL_REMEDY}") from exc


def decode(text: str) -> Any:
    """JSON text as plain Python values; raises `SerializationError` when it is not JSON."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, ValueError) as exc:
        raise SerializationError(f"not JSON: {exc}; it begins with {text[:60]!r}") from exc


def decode_result(annotation: Any, text: str) -> Any:
    """JSON text as the type that an annotation names."""
    value = decode(text)
    convert = converter(annotation)
    if convert is None:
        return value
    try:
        return convert(value)
    except (msgspec.ValidationError, ValueError, TypeError) as exc:
        raise SerializationError(f"the result cannot be read as {_spell(annotation)}: {exc}") from exc


def fill(args: str, holes: tuple[Hole, ...], values: Mapping[int, str]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a step as plain values: the template with its holes filled from the results of other steps."""
    template = decode(args)
    for hole in holes:
        where = hole.where
        place = template
        for key in where[:-1]:
            place = place[key]
        place[where[-1]] = decode(evaluate(hole.what, values))
    return template[0], template[1]


def decode_arguments(
    task: Callee, args: str, holes: str | None, values: Mapping[int, str]
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of one attempt, typed by the task's annotations.

    One that is given both by position and by name was changed by somebody who did not know the task: the name counts.

    Raises `SerializationError` that names the task, the argument, and what was found instead.
    """
    if holes is None:
        positional, named = decode(args)
    else:
        positional, named = fill(args, decode_holes(holes), values)
    if positional and named:
        task.converters.prefer_named(positional, named)
    return task.converters.apply(task.name, positional, named)


class Converters:
    """How the arguments of one function are typed. Annotations are resolved at the first use, once."""

    __slots__ = ("_either", "_filled", "_fn", "_named", "_positional", "_ready", "_rest", "_rest_named", "_wanted")

    def __init__(self, fn: Callable[..., Any], *, filled: str | None = None) -> None:
        self._fn = fn
        self._filled = filled  # the parameter that no caller gives
        self._ready = False
        self._positional: list[tuple[str, Convert | None]] = []
        self._either: dict[str, int] = {}  # what may be given by position or by name, with its place
        self._named: dict[str, Convert | None] = {}
        self._rest: Convert | None = None
        self._rest_named: Convert | None = None
        self._wanted = False  # whether anything needs converting at all

    def apply(self, task: str, positional: list[Any], named: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The same arguments, each converted to the type that its annotation names."""
        if not self._ready:
            self._resolve()
        if not self._wanted:
            return positional, named
        known = self._positional
        for index, value in enumerate(positional):
            name, convert = known[index] if index < len(known) else (f"*{index}", self._rest)
            if convert is not None:
                positional[index] = _converted(convert, value, task, name)
        for name, value in named.items():
            convert = self._named.get(name, self._rest_named)
            if convert is not None:
                named[name] = _converted(convert, value, task, name)
        return positional, named

    def prefer_named(self, positional: list[Any], named: dict[str, Any]) -> None:
        """Put what is given by name as well into its place among the positional ones."""
        if not self._ready:
            self._resolve()
        for name in [name for name in named if self._either.get(name, len(positional)) < len(positional)]:
            positional[self._either[name]] = named.pop(name)

    def _resolve(self) -> None:
        hints = annotations_of(self._fn)
        positional: list[tuple[str, Convert | None]] = []
        for parameter in signature(self._fn).parameters.values():
            if parameter.name == self._filled:
                continue
            convert = converter(_annotation(parameter, hints))
            match parameter.kind:
                case Parameter.VAR_POSITIONAL:
                    self._rest = convert
                case Parameter.VAR_KEYWORD:
                    self._rest_named = convert
                case Parameter.KEYWORD_ONLY:
                    self._named[parameter.name] = convert
                case _:
                    if parameter.kind is Parameter.POSITIONAL_OR_KEYWORD:
                        self._either[parameter.name] = len(positional)
                    positional.append((parameter.name, convert))
                    self._named[parameter.name] = convert
            self._wanted = self._wanted or convert is not None
        self._positional = positional
        self._ready = True


def annotations_of(fn: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function as types; one that cannot be resolved counts as `Any`."""
    try:
        return get_type_hints(fn, include_extras=True)
    except Exception:  # noqa: BLE001 - annotations are arbitrary code; one that fails only loses its own type
        names = getattr(fn, "__globals__", {})
        hints: dict[str, Any] = {}
        for name, annotation in getattr(fn, "__annotations__", {}).items():
            try:
                alone = SimpleNamespace(__annotations__={name: annotation})
                hints.update(get_type_hints(alone, globalns=names, include_extras=True))
            except Exception:  # noqa: BLE001 - as above
                hints[name] = Any
        return hints


def converter(annotation: Any) -> Convert | None:
    """What turns a plain value into the annotated type; None when there is nothing to do."""
    if annotation is Any or annotation is object or annotation is Parameter.empty or annotation is None:
        return None
    try:
        msgspec.json.Decoder(annotation, dec_hook=_build)
    except (TypeError, RuntimeError, AttributeError):
        return _pydantic_converter(annotation)
    return partial(msgspec.convert, type=annotation, strict=True, str_keys=True, dec_hook=_build)


def _pydantic_converter(annotation: Any) -> Convert | None:
    """For what msgspec does not know, such as a union of two models."""
    pydantic = sys.modules.get("pydantic")
    if pydantic is None:
        return None
    try:
        validate: Convert = pydantic.TypeAdapter(annotation).validate_python
    except Exception:  # noqa: BLE001 - not a type that pydantic knows either
        return None
    return validate


def _annotation(parameter: Parameter, hints: Mapping[str, Any]) -> Any:
    annotation = hints.get(parameter.name, Any)
    if parameter.default is None and annotation is not Any:
        try:
            return annotation | None
        except TypeError:
            return Any
    return annotation


def _converted(convert: Convert, value: Any, task: str, name: str) -> Any:
    try:
        return convert(value)
    except SerializationError as exc:
        raise SerializationError(f"argument {name!r} of {task}: {exc}") from exc
    except (msgspec.ValidationError, ValueError, TypeError) as exc:
        raise SerializationError(
            f"argument {name!r} of {task} was given {_shown(value)}, which does not fit its annotation: {exc}; "
            "give a value of that type, or change the annotation"
        ) from exc


def _build(wanted: Any, value: Any) -> Any:
    """Make what msgspec does not know, from the plain value that stands for it."""
    origin = get_origin(wanted) or wanted
    if not isinstance(origin, type) or isinstance(value, origin):
        return value
    validate = getattr(origin, "model_validate", None)
    if validate is not None:
        return validate(value)
    if _is_path(origin) and isinstance(value, str):
        return origin(value)
    if isinstance(value, list) and issubclass(origin, deque):
        return origin(value)
    raise SerializationError(
        f"a {origin.__module__}.{origin.__qualname__} cannot be built from {_shown(value)}; annotate a dataclass, "
        "a pydantic model or a plain JSON type, and build the object inside the task"
    )


_GENERAL_REMEDY = (
    "use JSON types, dataclasses, datetime, UUID, Decimal, Enum or pydantic models, or store it and pass where it is"
)


def _plain(value: Any) -> Any:
    """What stands in JSON for a value that msgspec does not know."""
    remedy = getattr(type(value), "json_remedy", None)  # our own objects say what to do instead
    if remedy is not None:
        raise SerializationError(f"a {type(value).__name__} cannot be written as JSON; {remedy}")
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and isinstance(value, pydantic.BaseModel):
        return value.model_dump(mode="json")
    if _is_path(type(value)):
        return str(value)
    if isinstance(value, (list, tuple, dict)):  # msgspec writes these itself, except as the keys of a dict
        raise SerializationError(f"a dict has the key {value!r}; JSON has only text and numbers as keys")
    if isinstance(value, abc.Mapping):
        return dict(value)
    if isinstance(value, (range, deque, abc.KeysView, abc.ValuesView, abc.Sequence, abc.Set)):
        return list(value)
    raise SerializationError(f"a {_kind(value)} cannot be written as JSON; {_GENERAL_REMEDY}")


def _kind(value: object) -> str:
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _spell(annotation: Any) -> str:
    return getattr(annotation, "__qualname__", None) or str(annotation)


def _shown(value: Any) -> str:
    text = repr(value)
    short = text if len(text) <= 80 else f"{text[:77]}..."
    size = f" of {len(value)}" if isinstance(value, Collection) and not isinstance(value, str) else ""
    return f"{short} ({type(value).__name__}{size})"


_encoder = msgspec.json.Encoder(enc_hook=_plain)
_decoder = msgspec.json.Decoder()
__all__ = ["NULL", "Converters", "converter", "decode", "decode_arguments", "decode_result", "encode", "fill"]


def _is_path(kind: type) -> bool:
    """Whether it is one of pathlib's, which nobody has who did not import that."""
    pathlib = sys.modules.get("pathlib")
    return pathlib is not None and issubclass(kind, pathlib.PurePath)
