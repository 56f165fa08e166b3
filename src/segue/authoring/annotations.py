"""Makes shapes of annotations: resolves each annotation once.

An annotation that cannot be resolved, or that names no particular type, takes plain JSON.
"""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict, abc, defaultdict, deque
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import reduce
from inspect import Parameter
from operator import or_
from threading import RLock
from types import NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, ClassVar, Final, ForwardRef, Literal, TypeVar, get_args, get_origin, get_type_hints
from typing import Union as AnyOf
from uuid import UUID

import msgspec

from segue.authoring.containers import Alias, Constrained, Entries, Fixed, Items, Union
from segue.authoring.records import Model, fill_in, record_of
from segue.authoring.shapes import Anything, Derived, Language, Leaf, Member, Opaque, Plain, Shape, Unresolved

_LEAVES = (
    NoneType,
    bool,
    int,
    float,
    str,
    bytes,
    bytearray,
    memoryview,
    datetime,
    date,
    time,
    timedelta,
    UUID,
    Decimal,
)
_BASES = (str, int, float, bytes, bytearray, datetime, date, time, timedelta, UUID, Decimal)
_LISTS: dict[Any, type] = {
    list: list, set: set, frozenset: frozenset, tuple: tuple, deque: deque, abc.Set: set, abc.MutableSet: set,
    abc.Sequence: list, abc.MutableSequence: list, abc.Collection: list, abc.Iterable: list,
}  # fmt: skip
_DICTS: dict[Any, type] = {
    dict: dict, abc.Mapping: dict, abc.MutableMapping: dict, defaultdict: defaultdict, OrderedDict: OrderedDict,
    Counter: Counter,
}  # fmt: skip
_MADE = (list, set, frozenset, tuple, deque, dict, defaultdict, OrderedDict, Counter)
"""Classes that are derived from these are built from a list or a dict."""
_WRAPPERS = frozenset({Annotated, ClassVar, Final})
_EXTRA_WRAPPERS = frozenset({"Required", "NotRequired", "ReadOnly"})


_NOTHING: tuple[Any, Any] = (object(), None)

MAX_DEPTH = 60
"""The limit of nested annotations: far below Python's own limit, also when called from deep recursion."""


class Shapes:
    """The shapes of annotations, each resolved once."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self._known: dict[Any, tuple[Any, Shape]] = {}
        self._making: dict[Any, tuple[Any, Shape]] = {}  # while their parts are resolved
        self._depth = 0
        self._lock = RLock()

    def of(self, annotation: Any) -> Shape:
        """The shape of an annotation."""
        shape: Shape
        try:
            known, shape = self._known.get(annotation, _NOTHING)
        except TypeError:  # Literal[[]] and the like cannot be kept
            return self._found_out(annotation)
        if known is annotation:  # equal annotations are not always the same: Path | str and str | Path
            return shape
        with self._lock:  # another thread must not see a record before it has its fields
            known, shape = self._making.get(annotation, _NOTHING)
            if known is not annotation:
                is_outermost, self._depth = self._depth == 0, self._depth + 1
                try:
                    if self._depth > MAX_DEPTH:
                        raise RecursionError
                    shape = self._found_out(annotation)
                except Exception:  # RecursionError for endlessly nested annotations; the rest is the user's code
                    if not is_outermost:
                        raise
                    self._making.clear()
                    shape = Plain(Unresolved, self._language)
                finally:
                    self._depth -= 1
                self._making[annotation] = (annotation, shape)
                if is_outermost:
                    self._known.update(self._making)
                    self._making.clear()
        return shape

    def _found_out(self, annotation: Any) -> Shape:
        origin, args = get_origin(annotation), get_args(annotation)
        if origin is Annotated and any(isinstance(each, msgspec.Meta) for each in args[1:]):
            return Constrained(annotation, self._language, self.of(args[0]))
        if origin in _WRAPPERS or getattr(origin, "_name", None) in _EXTRA_WRAPPERS:
            return self.of(args[0])
        if origin in (AnyOf, UnionType):
            return self._union(annotation, args)
        if origin is Literal:
            return Member(annotation, self._language, args)
        if isinstance(annotation, TypeVar):
            return self.of(annotation.__bound__ or reduce(or_, annotation.__constraints__ or (Any,)))
        if hasattr(annotation, "__supertype__"):  # NewType
            return self.of(annotation.__supertype__)
        if type(annotation).__name__ == "TypeAliasType":
            alias = Alias(annotation, self._language)
            self._making[annotation] = (annotation, alias)
            alias.target = self.of(annotation.__value__)
            return alias
        if annotation is None:
            return self.of(NoneType)
        if annotation is Unresolved or isinstance(annotation, (str, ForwardRef)):
            return Plain(Unresolved, self._language)
        cls = origin or annotation
        if not isinstance(cls, type) or cls is object or cls is Any:  # a class since Python 3.11
            return Anything(Any, self._language)
        return self._of_class(annotation, cls, args)

    def _of_class(self, annotation: Any, cls: type, args: tuple[Any, ...]) -> Shape:
        language = self._language
        if cls in _LEAVES:
            return Leaf(cls, language)
        if issubclass(cls, Enum):
            return Member(cls, language, list(cls.__members__.values()))
        if is_path(cls):
            return Derived(annotation, language, self.of(str))
        if is_model(cls):
            return Model(annotation, language)
        record = record_of(annotation, language)
        if record is not None:
            self._making[annotation] = (annotation, record)  # before its fields, which may be of the same class
            fill_in(record, self.of)
            return record
        return self._of_container(annotation, cls, args)

    def _of_container(self, annotation: Any, cls: type, args: tuple[Any, ...]) -> Shape:
        language = self._language
        if cls is tuple and args and args[-1] is not ...:
            return Fixed(annotation, language, tuple(self.of(arg) for arg in args if arg != ()))
        known = next((base for base in cls.__mro__ if base in _LISTS or base in _DICTS), None)
        if known in _LISTS and (known is cls or known in _MADE):
            kind = _LISTS[cls] if known is cls else cls
            return Items(annotation, language, kind, self.of(args[0] if args else Any))
        if known in _DICTS and (known is cls or known in _MADE):
            kind = _DICTS[cls] if known is cls else cls
            key, value = (args[0] if args else Any), (args[1] if len(args) > 1 else Any)
            return Entries(
                annotation, language, kind, self.of(key), self.of(int if issubclass(kind, Counter) else value)
            )
        base = next((base for base in _BASES if issubclass(cls, base)), None)
        if base is not None:
            return Derived(annotation, language, self.of(base))
        return Opaque(cls, language)

    def _union(self, annotation: Any, args: tuple[Any, ...]) -> Shape:
        members = sorted((self.of(arg) for arg in args), key=_rank)
        return members[0] if len(members) == 1 else Union(annotation, self._language, tuple(members))


def _rank(shape: Shape) -> int:
    """Shapes that determine a value more precisely are tried first; of equal ones, the first in the annotation."""
    if isinstance(shape, Leaf):
        kind = shape.annotation
        if kind in (str, bytes, bytearray, memoryview):
            return 2  # text of any kind, as paths are
        return -1 if kind is NoneType else 1  # null is None, not an enum member that is written as null
    if isinstance(shape, (Anything, Opaque, Plain)):
        return 5
    if isinstance(shape, Derived):
        return 2
    if isinstance(shape, (Items, Entries)):
        return 4 if any(isinstance(part, Anything) for part in shape.children()) else 3
    return 0


def is_path(cls: type) -> bool:
    """Whether it is one of pathlib's classes; without an import of pathlib there are none."""
    pathlib = sys.modules.get("pathlib")
    return pathlib is not None and issubclass(cls, pathlib.PurePath)


def is_model(cls: type) -> bool:
    """Whether it is a pydantic model."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and issubclass(cls, pydantic.BaseModel)


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


def returned(annotation: Any) -> Any:
    """The type that a function returns; for an awaitable, the type of its result."""
    if get_origin(annotation) in (abc.Awaitable, abc.Coroutine):
        return get_args(annotation)[-1]
    return annotation


def annotation_of(parameter: Parameter, hints: Mapping[str, Any]) -> Any:
    """The type of a parameter, including None if that is its default."""
    annotation = hints.get(parameter.name, Any)
    if parameter.default is None and annotation is not Any:
        try:
            return annotation | None
        except TypeError:
            return Any
    return annotation
