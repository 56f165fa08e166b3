"""Annotations and values of them, for tests of how values travel: every kind that the documentation names, nested."""

from __future__ import annotations

import dataclasses
import enum
import string
from collections import OrderedDict, defaultdict, deque
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple, NewType, TypedDict, Union
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import strategies as st

ZONES = [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=3)), ZoneInfo("Europe/Paris")]


class Kind(NamedTuple):
    """An annotation and values of it.

    Those that are not `is_certain` may be refused. One that `is_open` says nothing of a part: plain JSON comes back.
    """

    annotation: Any
    values: st.SearchStrategy[Any]
    is_certain: bool = True
    has_hash: bool = False
    is_open: bool = False


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Size(enum.Enum):
    SMALL = (1, 2)
    LARGE = (3, 4)


class Odd(enum.Enum):
    NOTHING = None
    HALF = 0.5
    DAY = date(2026, 1, 1)
    RAW = b"x"
    NESTED = (1, ("a", None))


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Right(enum.Flag):
    READ = 1
    WRITE = 2
    ALL = 3


class Mode(enum.IntFlag):
    R = 4
    W = 2


class Kept(enum.Flag, boundary=enum.KEEP):
    A = 1
    B = 2


Wide = enum.Flag("Wide", [f"F{number}" for number in range(8)], module=__name__)


@dataclasses.dataclass
class Placed:
    order: int


@dataclasses.dataclass
class Gone:
    order: int
    why: str = "lost"


@dataclasses.dataclass
class Later(Placed):
    at: datetime | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    source: Path | int
    size: Size
    tags: frozenset[str] = frozenset()


@dataclasses.dataclass
class Counted:
    items: list[int]
    total: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.total = sum(self.items)


@dataclasses.dataclass
class Chained:
    value: Decimal
    rest: Chained | None = None


class Tagged(msgspec.Struct, tag="tagged"):
    x: int


class Named(msgspec.Struct, tag="named", rename="camel"):
    first_name: str
    where: Path | None = None


class Listed(msgspec.Struct, array_like=True):
    a: int
    b: date


class Pair(NamedTuple):
    left: int
    right: Size


class Options(TypedDict, total=False):
    depth: int
    path: Path


Ident = NewType("Ident", int)

RESERVED = st.sampled_from(
    [
        "$segue.", "$segue.x", "$segue.payload", "$segue.$segue.x", "$segue", "\\u0024segue.x", '{"\\u0024segue.x":1}',
        '"$segue.x":', '{"$segue.x":', "\\", '{"',
    ]
)  # fmt: skip
"""Texts like those by which Segue tells its frames, and like their escapes."""
TEXT = st.text(st.characters(codec="utf-8"), max_size=6) | RESERVED
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
LIKE_FRAMES = st.recursive(
    st.builds(lambda key, value: {key: value}, st.sampled_from(["$segue.x", "$segue.payload", "\\u0024segue.x"]), JSON),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3) | st.dictionaries(RESERVED | TEXT, inner, min_size=1, max_size=3)
    ),
    max_leaves=4,
)
"""Values with dicts like frames, at some depth."""
INTEGERS = st.integers() | st.integers(10**30, 10**40) | st.integers(-(2**70), -(2**60))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)
MOMENTS = st.datetimes() | st.datetimes(timezones=st.sampled_from(ZONES))
NAMES = st.text(string.ascii_letters + ". ", min_size=1, max_size=3)
PATHS = st.lists(NAMES, max_size=3).map(lambda parts: Path(*parts))
SIZES = st.sampled_from(Size)


def leaves() -> list[Kind]:
    """Annotations that hold no others."""
    return [
        Kind(None, st.none(), has_hash=True),
        Kind(bool, st.booleans(), has_hash=True),
        Kind(int, INTEGERS, has_hash=True),
        Kind(float, FLOATS, has_hash=True),
        Kind(str, TEXT, has_hash=True),
        Kind(bytes, st.binary(max_size=5), has_hash=True),
        Kind(bytearray, st.binary(max_size=5).map(bytearray)),
        Kind(date, st.dates(), has_hash=True),
        Kind(datetime, MOMENTS, is_certain=False, has_hash=True),  # Paris had an offset with seconds once
        Kind(datetime, st.datetimes(timezones=st.sampled_from(ZONES[:3])), has_hash=True),
        Kind(time, st.times(), has_hash=True),
        Kind(timedelta, st.timedeltas(timedelta(days=-(10**6)), timedelta(days=10**6)), has_hash=True),
        Kind(UUID, st.uuids(), has_hash=True),
        Kind(Decimal, DECIMALS, has_hash=True),
        Kind(Path, PATHS, has_hash=True),
        Kind(PurePosixPath, PATHS.map(PurePosixPath), has_hash=True),
        Kind(Size, SIZES, has_hash=True),
        Kind(Odd, st.sampled_from(Odd), has_hash=True),
        Kind(Colour, st.sampled_from(Colour), has_hash=True),
        Kind(Level, st.sampled_from(Level), has_hash=True),
        Kind(Right, st.sampled_from([Right.READ, Right.ALL, Right(0), Right.WRITE]), has_hash=True),
        Kind(Mode, st.sampled_from([Mode.R, Mode.R | Mode.W, Mode(0)]), has_hash=True),
        Kind(Kept, st.sampled_from([Kept.A, Kept(0), Kept(7), Kept(-1)]), has_hash=True),
        Kind(Wide, st.integers(0, 255).map(Wide), has_hash=True),
        Kind(Text, TEXT.map(Text), has_hash=True),
        Kind(Number, INTEGERS.map(Number), has_hash=True),
        Kind(Literal["a", 1, None, False], st.sampled_from(["a", 1, None, False]), has_hash=True),
        Kind(Literal[Colour.RED, b"x"], st.sampled_from([Colour.RED, b"x"]), has_hash=True),
        Kind(Annotated[int, msgspec.Meta(ge=0)], st.integers(0), has_hash=True),
        Kind(Annotated[Path, "where"], PATHS, has_hash=True),
        Kind(Ident, INTEGERS, has_hash=True),
        Kind(Any, JSON, is_open=True),
        Kind(dict, st.dictionaries(TEXT, JSON, max_size=3), is_open=True),
        Kind(list, st.lists(JSON, max_size=3), is_open=True),
        Kind(range, st.just(range(3)), is_certain=False),
        Kind(complex, st.just(1j), is_certain=False, has_hash=True),
        *records(),
    ]


def records() -> list[Kind]:
    """Classes with fields."""
    at = st.none() | MOMENTS
    jobs = st.builds(Job, source=PATHS | INTEGERS, size=SIZES, tags=st.frozensets(TEXT, max_size=2))
    chained = st.recursive(DECIMALS.map(Chained), lambda rest: st.builds(Chained, DECIMALS, rest), max_leaves=4)
    return [
        Kind(Placed, st.builds(Placed, INTEGERS)),
        Kind(Placed, st.builds(Later, INTEGERS, at), is_certain=False),
        Kind(Gone, st.builds(Gone, INTEGERS, TEXT)),
        Kind(Later, st.builds(Later, INTEGERS, st.none())),
        Kind(Job, jobs, has_hash=True),
        Kind(Counted, st.builds(Counted, st.lists(INTEGERS, max_size=3))),
        Kind(Chained, chained),
        Kind(Tagged, st.builds(Tagged, INTEGERS)),
        Kind(Named, st.builds(Named, TEXT, st.none() | PATHS)),
        Kind(Listed, st.builds(Listed, INTEGERS, st.dates())),
        Kind(Pair, st.builds(Pair, INTEGERS, SIZES), has_hash=True),
        Kind(Options, st.fixed_dictionaries({}, optional={"depth": INTEGERS, "path": PATHS})),
    ]


@st.composite
def nested(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    """An annotation made of others."""
    make = draw(st.sampled_from(WAYS))
    one, other = _without_bare_none(draw(inner)), _without_bare_none(draw(inner))
    is_open = one.is_open or other.is_open
    if is_open and make is _union:
        make = _pair  # what is like a list or dict would come back as one
    return make(one, other)._replace(is_open=is_open)


def _without_bare_none(kind: Kind) -> Kind:
    return kind if kind.annotation is not None else Kind(type(None), kind.values, has_hash=True)


def _list(one: Kind, _: Kind) -> Kind:
    return Kind(list[one.annotation], _few(one), one.is_certain)


def _sequence(one: Kind, _: Kind) -> Kind:
    return Kind(Sequence[one.annotation], _few(one), one.is_certain)


def _tuple(one: Kind, _: Kind) -> Kind:
    return Kind(tuple[one.annotation, ...], _few(one).map(tuple), one.is_certain, one.has_hash)


def _pair(one: Kind, other: Kind) -> Kind:
    values = st.tuples(one.values, other.values)
    has_hash = one.has_hash and other.has_hash
    return Kind(tuple[one.annotation, other.annotation], values, one.is_certain and other.is_certain, has_hash)


def _deque(one: Kind, _: Kind) -> Kind:
    return Kind(deque[one.annotation], _few(one).map(deque), one.is_certain)


def _dict(one: Kind, _: Kind) -> Kind:
    return Kind(dict[str, one.annotation], st.dictionaries(TEXT, one.values, max_size=3), one.is_certain)


def _mapping(one: Kind, _: Kind) -> Kind:
    return Kind(Mapping[str, one.annotation], st.dictionaries(TEXT, one.values, max_size=3), one.is_certain)


def _ordered(one: Kind, _: Kind) -> Kind:
    values = st.dictionaries(TEXT, one.values, max_size=3).map(OrderedDict)
    return Kind(OrderedDict[str, one.annotation], values, one.is_certain)


def _default(one: Kind, _: Kind) -> Kind:
    values = st.dictionaries(TEXT, _few(one), max_size=2).map(lambda known: defaultdict(list, known))
    return Kind(defaultdict[str, list[one.annotation]], values, one.is_certain)


def _optional(one: Kind, _: Kind) -> Kind:
    is_certain = one.is_certain and one.annotation is not Odd  # a member of which is written as null
    return Kind(Union[one.annotation, None], st.none() | one.values, is_certain, one.has_hash)  # noqa: UP007 - of any type


def _union(one: Kind, other: Kind) -> Kind:
    has_hash = one.has_hash and other.has_hash
    return Kind(Union[one.annotation, other.annotation], one.values | other.values, False, has_hash)  # noqa: UP007


def _set(one: Kind, other: Kind) -> Kind:
    if not one.has_hash:
        return _list(one, other)
    return Kind(set[one.annotation], st.frozensets(one.values, max_size=3).map(set), one.is_certain)


def _frozenset(one: Kind, other: Kind) -> Kind:
    if not one.has_hash:
        return _list(one, other)
    return Kind(frozenset[one.annotation], st.frozensets(one.values, max_size=3), one.is_certain, True)


def _keyed(one: Kind, other: Kind) -> Kind:
    if not one.has_hash:
        return _dict(one, other)
    values = st.dictionaries(one.values, other.values, max_size=3)
    return Kind(dict[one.annotation, other.annotation], values, False)


def _few(kind: Kind) -> st.SearchStrategy[list[Any]]:
    return st.lists(kind.values, max_size=3)


def _dataclass(one: Kind, other: Kind) -> Kind:
    made: Any = dataclasses.make_dataclass("Made", [("one", one.annotation), ("other", other.annotation)])
    return Kind(made, st.builds(made, one.values, other.values), one.is_certain and other.is_certain)


def _struct(one: Kind, other: Kind) -> Kind:
    made: Any = msgspec.defstruct("Struct", [("one", one.annotation), ("other", other.annotation)], rename="upper")
    return Kind(made, st.builds(made, one.values, other.values), one.is_certain and other.is_certain)


def _named_tuple(one: Kind, other: Kind) -> Kind:
    made: Any = NamedTuple("Made", [("one", one.annotation), ("other", other.annotation)])
    return Kind(made, st.builds(made, one.values, other.values), one.is_certain and other.is_certain)


def _typed_dict(one: Kind, other: Kind) -> Kind:
    made: Any = TypedDict("Made", {"one": one.annotation, "other": other.annotation})
    values = st.fixed_dictionaries({"one": one.values, "other": other.values})
    return Kind(made, values, one.is_certain and other.is_certain)


WAYS = (
    _list, _sequence, _tuple, _pair, _deque, _dict, _mapping, _ordered, _default, _optional, _union, _union, _set,
    _frozenset, _keyed, _dataclass, _struct, _named_tuple, _typed_dict,
)  # fmt: skip
KINDS = st.recursive(st.sampled_from(leaves()), nested, max_leaves=6)


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of the same types, all through."""
    if type(one) is not type(other):
        return isinstance(one, (str, int)) and one == other and isinstance(one, bool) == isinstance(other, bool)
    if isinstance(one, datetime) and one.tzinfo is not None:
        return other.tzinfo is not None and one.astimezone(UTC) == other.astimezone(UTC)
    if isinstance(one, (list, tuple, deque)):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, dict):
        keys = {key: key for key in other}
        return one == other and all(is_same(key, keys[key]) and is_same(one[key], other[key]) for key in one)
    if dataclasses.is_dataclass(one) and not isinstance(one, type):
        return all(is_same(getattr(one, each.name), getattr(other, each.name)) for each in dataclasses.fields(one))
    if isinstance(one, msgspec.Struct):
        return all(is_same(getattr(one, name), getattr(other, name)) for name in one.__struct_fields__)
    return bool(one == other)
