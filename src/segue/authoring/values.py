"""Values as JSON and back, typed by annotations. No pickle, and no library is imported for a type that is not used.

`encode` writes arguments and results; `decode_arguments` fills the holes of a step's arguments and builds the types of
the task's annotations: dataclasses, datetime, UUID, Decimal, Enum, TypedDict, pydantic models, lists and unions of
them. Every value comes back equal, by the annotation of the function that takes it, or is refused when it is passed:
`encode` refuses values that are not JSON, `Converters.find_changed` refuses values that would come back different.
"""

from __future__ import annotations

from collections import UserString, abc, deque
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from inspect import Parameter, signature
from typing import Any, Protocol, assert_never

import msgspec

from segue.authoring.annotations import Shapes, annotation_of, annotations_of, is_model, is_path, returned
from segue.authoring.containers import Union
from segue.authoring.known import find_changed
from segue.authoring.records import dumped
from segue.authoring.secret import is_secret
from segue.authoring.shapes import JSON_LEAVES, Anything, MisfitError, Shape
from segue.errors import SerializationError
from segue.given import shown
from segue.model import Hole
from segue.plan.codec import NULL, decode_holes, evaluate
from segue.plan.frames import OPENING, has_frame, unknown_kind
from segue.plan.writing import Fault, Writer, kind_of

FillThrough = Callable[[str, tuple[Hole, ...], Mapping[int, str]], tuple[list[Any], dict[str, Any]]]


class Callee(Protocol):
    """The parts of a task that decoding needs."""

    @property
    def name(self) -> str:
        """The task's name, for messages."""
        ...

    @property
    def converters(self) -> Converters:
        """The converters of its arguments."""
        ...


def encode(value: object, what: str = "value") -> str:
    """A value as JSON text. Raises `SerializationError` that calls it `what`, and names the part at fault and a remedy.

    Example::

        encode({"day": date(2026, 11, 20)}, "result")
    """
    return _writer.write(value, what)


def key_text(key: object) -> str:
    """The text of a dict's key in JSON. Raises `SerializationError` for a key that JSON cannot have."""
    return _writer.key_text(key)


def decode(text: str) -> Any:
    """JSON text as plain Python values. Raises `SerializationError` if it is not JSON, or has a frame."""
    try:
        value = _decoder.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        raise SerializationError(f"not JSON that can be read: {exc}; it begins with {text[:60]!r}") from exc
    if "\\" in text and OPENING in text:  # `frames.has_frame`, without the call
        raise unknown_kind(text)
    return value


def decode_result(annotation: Any, text: str) -> Any:
    """JSON text as a value of an annotation."""
    return _read_result(_shapes.of(annotation), text)


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
    task: Callee, args: str, holes: str | None, values: Mapping[int, str], *, through: FillThrough | None = None
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of one attempt, converted by the task's annotations.

    Where some of them lie in a payload store, `through` fills the holes, and reads the values (see `filling`).

    An argument that is given both by position and by name was changed by a person without the task's code: the name
    wins.

    Raises `SerializationError` that names the task, the argument, and the value that was found.
    """
    try:
        positional, named = decode(args) if holes is None else fill(args, decode_holes(holes), values)
    except SerializationError:
        if through is None or not (has_frame(args) or any(map(has_frame, values.values()))):
            raise
        positional, named = through(args, decode_holes(holes), values)
    if positional and named:
        task.converters.prefer_named(positional, named)
    return task.converters.apply(task.name, positional, named)


class Converters:
    """Converts the arguments and the result of one function. Annotations are resolved once, at the first use."""

    __slots__ = (
        "_either",
        "_filled",
        "_fn",
        "_hides_result",
        "_named",
        "_positional",
        "_ready",
        "_rest",
        "_rest_named",
        "_result",
        "_secret",
        "_secret_defaults",
    )

    def __init__(self, fn: Callable[..., Any], *, filled: str | None = None) -> None:
        self._fn = fn
        self._filled = filled  # the parameter that Segue fills
        self._ready = False
        self._positional: list[tuple[str, Shape]] = []
        self._either: dict[str, int] = {}  # parameters that may be given by position or by name, with their places
        self._named: dict[str, Shape] = {}
        self._rest = _ANYTHING
        self._rest_named = _ANYTHING
        self._result = _ANYTHING
        self._hides_result = False  # whether the return annotation is `Secret`
        self._secret: set[str] = set()  # parameters that are annotated with `Secret`; *args and **kwargs as * and **
        self._secret_defaults: dict[str, Any] = {}

    @property
    def has_secrets(self) -> bool:
        """Whether a parameter is annotated with `Secret`."""
        if not self._ready:
            self._resolve()
        return bool(self._secret)

    @property
    def hides_result(self) -> bool:
        """Whether the return annotation is `Secret`."""
        if not self._ready:
            self._resolve()
        return self._hides_result

    def secret_values(self, positional: abc.Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
        """The values of the parameters that are annotated with `Secret`; of those that are not given, the defaults."""
        found = [value for index, value in enumerate(positional) if self.is_secret_at(index)]
        found += [value for name, value in named.items() if self.is_secret_name(name)]
        given = {name for name, _ in self._positional[: len(positional)]} | set(named)
        return found + [value for name, value in self._secret_defaults.items() if name not in given]

    def is_secret_at(self, index: int) -> bool:
        """Whether the positional argument of this number is annotated with `Secret`."""
        if not self.has_secrets:
            return False
        return (self._at(index)[0] if index < len(self._positional) else "*") in self._secret

    def is_secret_name(self, name: str) -> bool:
        """Whether the argument of this name is."""
        return self.has_secrets and (name if name in self._named else "**") in self._secret

    def _hides(self, name: str) -> bool:
        """Whether the parameter of this name is; those of `*args` have the names `*0`, `*1` ..."""
        if name.startswith("*"):
            return "*" in self._secret
        return name in self._secret or (name not in self._named and "**" in self._secret)

    def apply(self, task: str, positional: list[Any], named: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The same arguments, each converted to the type of its annotation."""
        for index, value in enumerate(positional):
            name, shape = self._at(index)
            if shape is not _ANYTHING and shape.annotation is not type(value):
                positional[index] = _converted(shape, value, task, name)
        for name, value in named.items():
            shape = self._called(name)
            if shape is not _ANYTHING and shape.annotation is not type(value):
                named[name] = _converted(shape, value, task, name)
        return positional, named

    def find_changed(
        self,
        text: str | None,
        args: abc.Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        unknown: type | None = None,
        first: int = 0,
    ) -> list[tuple[str, Fault]]:
        """The arguments that would not come back equal: the name of each, and its fault.

        `text` is their JSON, if it exists already. Values of the type `unknown` are ignored, and so are positional
        arguments before the `first`.
        """
        doubtful: list[tuple[str, Shape, Any, int, int | str]] = []
        for index in range(first, len(args)):
            name, shape = self._at(index)
            if not shape.trusts(args[index]):
                doubtful.append((name, shape, args[index], 0, index))
        for name, value in kwargs.items():
            shape = self._called(name)
            if not shape.trusts(value):
                doubtful.append((name, shape, value, 1, name))
        if not doubtful:
            return []
        plain = decode(encode((args, kwargs), "arguments") if text is None else text)
        faults = [
            (name, find_changed(shape, value, plain[part][key], unknown)) for name, shape, value, part, key in doubtful
        ]
        return [(name, _UNTOLD if self._hides(name) else fault) for name, fault in faults if fault is not None]

    def find_misfit(self, args: abc.Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
        """What is wrong with the first text, number or boolean whose annotation names other kinds of these; None if all
        fit.

        Nothing is said of other values and annotations: a workflow is called with the very objects, which need not be
        JSON, and a text may well stand for a path or a date.
        """
        given = [(*self._at(index), value) for index, value in enumerate(args)]
        given += [(name, self._called(name), value) for name, value in kwargs.items()]
        for name, shape, value in given:
            if type(value) not in JSON_LEAVES or value is None or not _names_leaves(shape):
                continue
            try:
                shape.read(value)
            except MisfitError:
                what = "its value" if self._hides(name) else f"{shown(value)} ({kind_of(value)})"
                return f"argument {name}: {what} does not fit its annotation"
        return None

    def check(self, task: str, args: abc.Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise `SerializationError` for the first argument that would not come back equal."""
        for name, fault in self.find_changed(None, args, kwargs):
            raise SerializationError(f"argument {name}{fault.path} of {task}: {fault.why}")

    def check_result(self, task: str, value: Any, text: str) -> None:
        """Raise `SerializationError` if the result of the function, written as `text`, would come back changed."""
        if not self._ready:
            self._resolve()
        if self._result.trusts(value):
            return
        fault = self._result.verify(value, decode(text))
        if fault is not None:
            fault = _UNTOLD if self._hides_result else fault
            raise SerializationError(f"result{fault.path} of {task}: {fault.why}")

    def result_of(self, plain: Any) -> Any:
        """A plain value as a value of the function's return annotation."""
        if not self._ready:
            self._resolve()
        try:
            return _result_of(self._result, plain)
        except SerializationError:
            if not self._hides_result:
                raise
        raise SerializationError(f"the result cannot be read: {_UNTOLD.why}")

    def name_at(self, index: int) -> str:
        """The function's name for its positional argument of this number."""
        return self._at(index)[0]

    def prefer_named(self, positional: list[Any], named: dict[str, Any]) -> None:
        """Move arguments that are given by name as well into their places among the positional ones."""
        if not self._ready:
            self._resolve()
        for name in [name for name in named if self._either.get(name, len(positional)) < len(positional)]:
            positional[self._either[name]] = named.pop(name)

    def _at(self, index: int) -> tuple[str, Shape]:
        if not self._ready:
            self._resolve()
        known = self._positional
        return known[index] if index < len(known) else (f"*{index}", self._rest)

    def _called(self, name: str) -> Shape:
        if not self._ready:
            self._resolve()
        return self._named.get(name, self._rest_named)

    def _resolve(self) -> None:
        hints = annotations_of(self._fn)
        positional: list[tuple[str, Shape]] = []
        for parameter in signature(self._fn).parameters.values():
            if parameter.name == self._filled:
                continue
            annotation = annotation_of(parameter, hints)
            shape = shape_of(annotation)
            if is_secret(annotation):
                self._secret.add(_STARS.get(parameter.kind, parameter.name))
                if parameter.default is not Parameter.empty:
                    self._secret_defaults[parameter.name] = parameter.default
            match parameter.kind:
                case Parameter.VAR_POSITIONAL:
                    self._rest = shape
                case Parameter.VAR_KEYWORD:
                    self._rest_named = shape
                case Parameter.KEYWORD_ONLY:
                    self._named[parameter.name] = shape
                case Parameter.POSITIONAL_OR_KEYWORD | Parameter.POSITIONAL_ONLY:
                    if parameter.kind is Parameter.POSITIONAL_OR_KEYWORD:
                        self._either[parameter.name] = len(positional)
                        self._named[parameter.name] = shape
                    positional.append((parameter.name, shape))
                case unknown:
                    assert_never(unknown)
        self._positional = positional
        annotation = returned(hints.get("return", Any))
        self._result, self._hides_result = shape_of(annotation), is_secret(annotation)
        self._ready = True


def shape_of(annotation: Any) -> Shape:
    """The shape of an annotation, by which arguments and results are read."""
    if annotation is Parameter.empty:
        return _ANYTHING
    shape = _shapes.of(annotation)
    return _ANYTHING if isinstance(shape, Anything) else shape


def _converted(shape: Shape, value: Any, task: str, name: str) -> Any:
    try:
        return shape.read(value)
    except MisfitError as misfit:
        raise SerializationError(
            f"argument {name}{misfit.path} of {task}: {misfit.why}; give a value of that type, or change the annotation"
        ) from misfit


class _Language:
    """How shapes write values, and how msgspec calls them back."""

    def spell(self, value: Any) -> str:
        return _writer.write(value)

    def ask(self, wanted: Any, plain: Any) -> Any:
        return _shapes.of(wanted).build(plain)


def _names_leaves(shape: Shape) -> bool:
    """Whether an annotation names nothing but texts, numbers, booleans and None."""
    if isinstance(shape, Union):
        return all(_names_leaves(member) for member in shape.members)
    return shape.annotation in JSON_LEAVES


_GENERAL_REMEDY = (
    "use JSON types, dataclasses, datetime, UUID, Decimal, Enum or pydantic models, or store it and pass its location"
)


def plain_of(value: Any) -> Any:
    """The JSON of a value that msgspec does not know."""
    kind = type(value)
    remedy = getattr(kind, "_json_remedy", None)  # Segue's own classes say what to do instead
    if remedy is not None:
        raise SerializationError(f"a value of type {kind.__name__} cannot be written as JSON; {remedy}")
    if is_model(kind):
        return dumped(value)
    if is_path(kind):
        return str(value)
    if isinstance(value, (list, tuple, dict, set, frozenset, bool, type(None))):  # as the keys of a dict
        raise SerializationError(f"a dict has a {kind_of(value)} as a key; JSON has only text and numbers as keys")
    for base, exact in _EXACT.items():
        if base in kind.__mro__ and kind is not base:
            return exact(value)
    if isinstance(value, UserString):
        return value.data
    if isinstance(value, abc.Mapping):
        return dict(value)
    if isinstance(value, (range, deque, abc.KeysView, abc.ValuesView, abc.Sequence, abc.Set)):
        return list(value)
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        raise SerializationError(
            f"a value of type {kind_of(value)} cannot be written as JSON; pass the result of its .tolist()"
        )
    raise SerializationError(f"a value of type {kind_of(value)} cannot be written as JSON; {_GENERAL_REMEDY}")


def _moment(value: datetime) -> datetime:
    parts = (value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond)
    return datetime(*parts, tzinfo=value.tzinfo, fold=value.fold)


_EXACT: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    bytes: lambda value: bytes(memoryview(value)),
    bytearray: lambda value: bytes(memoryview(value)),
    datetime: _moment,
    date: lambda value: date(value.year, value.month, value.day),
    time: lambda value: time(value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold),
    timedelta: lambda value: timedelta(value.days, value.seconds, value.microseconds),
    Decimal: lambda value: Decimal(value.as_tuple()),
}
"""For a class derived from one of these, converts a value to the base class."""


def _read_result(shape: Shape, text: str) -> Any:
    return _result_of(shape, decode(text))


def _result_of(shape: Shape, plain: Any) -> Any:
    try:
        return shape.read(plain)
    except MisfitError as misfit:
        name, where = _spell(shape.annotation), f", at {misfit.path}" if misfit.path else ""
        raise SerializationError(f"the result cannot be read as {name}{where}: {misfit.why}") from misfit


def _spell(annotation: Any) -> str:
    return getattr(annotation, "__qualname__", None) or str(annotation)


_UNTOLD = Fault("", "its value does not fit the annotation, and is not shown because it is secret")
_STARS: dict[Any, str] = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}
_writer = Writer(plain_of)
_decoder = msgspec.json.Decoder()
_shapes = Shapes(_Language())
_ANYTHING: Shape = Anything(Any, _Language())
__all__ = [
    "NULL", "Converters", "annotations_of", "decode", "decode_arguments", "decode_result", "encode", "fill", "key_text",
    "plain_of", "shape_of",
]  # fmt: skip
