"""pydantic models, and classes that are made in unusual ways: they come back equal, or it is said why they cannot."""

from __future__ import annotations

import dataclasses
import enum
import subprocess
import sys
from collections import Counter, UserList, defaultdict, deque
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Generic, Literal, TypedDict, TypeVar
from zoneinfo import ZoneInfo

import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, RootModel, SecretStr, computed_field, field_validator
from typing_extensions import TypeAliasType

from segue.authoring.values import Converters, decode, decode_result, encode
from segue.errors import SerializationError

pytestmark = pytest.mark.unit

T = TypeVar("T")
DAY = date(2026, 11, 20)
PARIS = ZoneInfo("Europe/Paris")


class Aliased(BaseModel):
    first: int = Field(alias="firstName")
    day: date = DAY


class More(Aliased):
    more: int = 0


class InAndOut(BaseModel):
    a: int = Field(validation_alias="in", serialization_alias="out")


class Computed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def area(self) -> int:
        return self.width**2


class Root(RootModel[list[int]]):
    pass


class Private(BaseModel):
    x: int
    _y: int = PrivateAttr(default=1)


class Counting(BaseModel):
    x: int

    @field_validator("x")
    @classmethod
    def plus(cls, value: int) -> int:
        return value + 1


class Secret(BaseModel):
    word: SecretStr


class Wrapped(BaseModel, Generic[T]):
    value: T


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"


class Owner(BaseModel):
    pet: Cat | Dog = Field(discriminator="kind")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Sizes(enum.Enum):
    SMALL = (1, 2)


class Sized(BaseModel):
    sizes: list[Sizes] = Field(alias="all")


class Hiding(BaseModel):
    a: int
    hidden: int = Field(default=0, exclude=True)


class Rate(BaseModel):
    x: float | None


@pydantic.dataclasses.dataclass
class Mixed:
    x: int
    pets: list[Cat | Dog]


@dataclasses.dataclass
class Holder:
    one: Aliased
    paths: dict[str, Path | int]


@dataclasses.dataclass
class Seeded:
    a: int
    seed: dataclasses.InitVar[int] = 2
    b: int = dataclasses.field(init=False)

    def __post_init__(self, seed: int) -> None:
        self.b = self.a + seed


@dataclasses.dataclass
class Unseeded:
    a: int
    seed: dataclasses.InitVar[int]


@dataclasses.dataclass
class Drifting:
    x: int

    def __post_init__(self) -> None:
        self.x += 1


@dataclasses.dataclass
class Box(Generic[T]):
    value: T


@dataclasses.dataclass
class Small:
    a: int


@dataclasses.dataclass
class Large:
    a: int
    b: int = 0


@dataclasses.dataclass
class Lost:
    where: Elsewhere  # type: ignore[name-defined]  # noqa: F821 - as when it is imported for type checkers only
    day: date


@dataclasses.dataclass
class Growing(Generic[T]):
    inner: Growing[list[T]] | None = None


class Tree(TypedDict):
    value: int
    below: list[Tree]


Days = TypeAliasType("Days", list[date])


class Word(enum.Enum):
    ONE = "1"


def came_back(annotation: Any, value: Any) -> Any:
    def fn(x: Any) -> Any: ...

    fn.__annotations__ = {"x": annotation, "return": annotation}
    converters = Converters(fn)
    converters.check("fn", [value], {})
    text = encode(value)
    converters.check_result("fn", value, text)
    [[argument], _] = converters.apply("fn", *decode(encode([[value], {}])))
    assert type(argument) is type(value)
    assert decode_result(annotation, text) == argument
    return argument


@pytest.mark.parametrize(
    "annotation, value",
    [
        (Aliased, Aliased(firstName=1)),
        (list[More], [More(firstName=1, more=2)]),
        (InAndOut, InAndOut.model_validate({"in": 1})),
        (Computed, Computed(width=2)),
        (Root, Root([1, 2])),
        (Private, Private(x=1)),
        (Wrapped[date], Wrapped[date](value=DAY)),
        (Owner, Owner(pet=Dog())),
        (Cat | Dog, Dog()),
        (list[Small | Large], [Large(1), Small(2)]),
        (list[Large | Small], [Large(1), Small(2)]),
        (dict | Cat, Cat(lives=1)),
        (Open, Open.model_validate({"a": 1, "b": "z"})),
        (Hiding, Hiding(a=1)),
        (Sized, Sized(all=[Sizes.SMALL])),
        (Mixed, Mixed(1, [Dog(), Cat()])),
        (Holder, Holder(Aliased(firstName=1), {"a": Path("/a"), "b": 1})),
        (Seeded, Seeded(1, 7)),
        (Box[date], Box(DAY)),
        (list[Box[Path | int]], [Box(Path("x")), Box(1)]),
        (Tree, {"value": 1, "below": [{"value": 2, "below": []}]}),
        (str | Path, "a"),
        (Path | str, Path("a")),
        (date | str, DAY),
        (date | str, "today"),
        (str | bytes, "abcd"),
        (dict[date, Word], {DAY: Word.ONE}),
        (dict[int | str, int], {1: 1, "a": 2}),
        (Counter[str], Counter("aab")),
        (dict[str, Days], {"a": [DAY]}),
        (Lost, Lost("text", DAY)),
        (defaultdict[str, list[int]], defaultdict(list, a=[1])),
        (tuple[int, ...], (1, 2)),
        (list[int], [1, True]),
    ],
)
def test_it_comes_back_equal(annotation: Any, value: Any) -> None:
    assert came_back(annotation, value) == value


@pytest.mark.parametrize(
    "annotation, value, said",
    [
        (list[Aliased], [More(firstName=1)], r"x\[0\] of fn: a .*More would come back as a .*Aliased"),
        (Counting, Counting(x=1), r"x\.x of fn: 2 \(int\) would come back as 3"),
        (Secret, Secret(word=SecretStr("x")), "contains a secret"),
        (Any, [Secret(word=SecretStr("x"))], r"\[0\]: a .*contains a secret"),
        (Rate, Rate(x=float("nan")), r"\.x: NaN"),
        (Hiding, Hiding(a=1, hidden=3), r"x\.hidden of fn"),
        (Unseeded, Unseeded(1, 2), "seed"),
        (list[Drifting], [Drifting(1)], r"x\[0\]\.x of fn: 2 \(int\) would come back as 3"),
        (str | Path, Path("a"), "JSON has the same for both"),
        (Path | str, "a", "JSON has the same for both"),
        (date | str, "2026-11-20", "JSON has the same for both"),
        (dict[str, str], {"day": Path("a")}, r"x\.day of fn: .*would come back as 'a'"),
        (float, True, "bool"),
        (float, 2**63 + 1, "would come back as"),
        (Tree, {"value": 1, "below": [], "typo": 1}, r"x\.typo of fn: Tree has no such field"),
        (deque[int], deque([1], maxlen=3), "maxlen=3 would be lost"),
        (defaultdict[str, int], defaultdict(list), "default_factory"),
        (datetime, datetime(2026, 1, 1, tzinfo=timezone(timedelta(seconds=561))), "would come back as"),
        (Literal["a"], "b", "none of"),
        (dict[str, Decimal], {"price": Decimal("NaN")}, r"\.price: NaN"),
        (Growing[int], Growing(None), "cannot be resolved"),
        (Lost, Lost(DAY, DAY), r"x\.where of fn: .*cannot be resolved"),
    ],
)
def test_what_would_change_is_refused(annotation: Any, value: Any, said: str) -> None:
    with pytest.raises(SerializationError, match=said):
        came_back(annotation, value)


def test_private_attributes_that_would_be_lost_are_refused() -> None:
    private = Private(x=1)
    private._y = 5
    with pytest.raises(SerializationError, match="would come back as"):
        came_back(Private, private)


def test_the_hour_that_comes_twice_comes_back() -> None:
    twice = datetime(2026, 10, 25, 2, 30, tzinfo=PARIS, fold=1)
    assert came_back(datetime | None, twice).timestamp() == twice.timestamp()


def test_aliases_are_read_when_another_program_wrote_them() -> None:
    assert decode_result(Aliased, '{"firstName":3}') == Aliased(firstName=3)


@pytest.mark.parametrize(
    "annotation, plain, made",
    [
        (set[int], [1, 1], {1}),
        (Path, "a", Path("a")),
        (Aliased, {"firstName": 1}, Aliased(firstName=1)),
        (float, 3, 3.0),
    ],
)
def test_plain_json_may_be_given_for_any_type(annotation: Any, plain: Any, made: Any) -> None:
    def fn(x: Any) -> None: ...

    fn.__annotations__ = {"x": annotation}
    Converters(fn).check("fn", [plain], {})
    assert decode_result(annotation, encode(plain)) == made


@pytest.mark.parametrize(
    "value, plain",
    [
        (UserList([1]), [1]),
        ({"a": (1, {2})}, {"a": [1, [2]]}),
        (DAY, "2026-11-20"),
        (Cat(), {"kind": "cat", "lives": 9}),
    ],
)
def test_without_an_annotation_plain_json_comes_back(value: Any, plain: Any) -> None:
    def fn(x) -> None: ...  # type: ignore[no-untyped-def]

    Converters(fn).check("fn", [value], {})
    assert decode(encode(value)) == plain


def test_nothing_of_it_needs_pydantic() -> None:
    code = """if True:
        import sys; sys.modules["pydantic"] = None
        from dataclasses import dataclass
        from pathlib import Path
        from segue.authoring.values import Converters, decode, encode
        @dataclass
        class Job: source: Path | str
        @dataclass
        class Gone: why: int
        def fn(x: list[Job | Gone]) -> None: ...
        given = [Job(Path("a")), Gone(1)]
        Converters(fn).check("fn", [given], {})
        [[back], _] = Converters(fn).apply("fn", *decode(encode([[given], {}])))
        assert back == given, back
    """
    subprocess.run([sys.executable, "-c", code], check=True)
