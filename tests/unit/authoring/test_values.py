"""Values as JSON and back: every type that annotations may name, and errors that say where and what."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from segue.authoring import chain, decode_arguments, decode_result, encode, task
from segue.authoring.values import decode, fill
from segue.errors import SerializationError
from segue.model import Gather, Hole, Mapping, Ref, Span, Value
from segue.plan.codec import encode_holes

if TYPE_CHECKING:
    from nowhere import Missing  # type: ignore[import-not-found]

pytestmark = pytest.mark.unit


class Colour(Enum):
    RED = "red"


@dataclass
class Box:
    size: Decimal
    when: datetime
    tags: set[str]


class Options(TypedDict):
    depth: int


class Pair(NamedTuple):
    left: int
    right: str


class Model(BaseModel):
    name: str
    at: datetime


class Other(BaseModel):
    number: int


NOW = datetime(2026, 11, 20, 3, 4, 5, tzinfo=UTC)
MODEL = Model(name="m", at=NOW)


@task
def typed(
    box: Box,
    ident: UUID,
    colour: Colour | None,
    options: Options,
    models: list[Model],
    either: Model | Other,
    by_number: dict[int, date],
    path: Path,
    pair: Pair,
    *rest: timedelta,
    word: Literal["a", "b"] = "a",
    limited: Annotated[int, msgspec.Meta(ge=0)] = 0,
    maybe: int = None,  # type: ignore[assignment]  # noqa: RUF013 - as older code is written
    unresolved: Missing = None,
    queue: deque[int] | None = None,
    **more: Decimal,
) -> list[Box]:
    return [box]


ARGS: list[Any] = [
    Box(Decimal("1.10"), NOW, {"x"}),
    UUID(int=7),
    Colour.RED,
    {"depth": 3},
    [MODEL],
    Other(number=4),
    {3: date(2026, 1, 2)},
    Path("a/b"),
    Pair(1, "r"),
    timedelta(seconds=90),
]
KWARGS: dict[str, Any] = {"word": "b", "limited": 2, "maybe": None, "unresolved": {"x": 1}, "extra": Decimal("0.1")}


def test_arguments_come_back_as_their_annotations_say() -> None:
    assert decode_arguments(typed, encode([ARGS, KWARGS]), None, {}) == (ARGS, KWARGS)


def test_results_come_back_as_the_annotation_says() -> None:
    assert decode_result(list[Box], encode([ARGS[0]])) == [ARGS[0]]
    assert decode_result(Any, "[1]") == [1]
    with pytest.raises(SerializationError, match="Box"):
        decode_result(Box, "[1]")


@pytest.mark.parametrize(
    "change, found",
    [
        ({0: 5}, r"argument box of .*typed: 5 \(int\)"),
        ({1: "no"}, "argument ident of .*'no'"),
        ({4: [{"name": "x"}]}, r"argument models\[0\]\.at of"),
        ({9: "soon"}, r"argument \*9 of"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(change: dict[int, Any], found: str) -> None:
    args = [change.get(index, value) for index, value in enumerate(ARGS)]
    with pytest.raises(SerializationError, match=found):
        decode_arguments(typed, encode([args, {}]), None, {})


def test_a_class_that_cannot_be_built_says_what_to_do() -> None:
    @task(name="test.opaque")
    def opaque(thing: SerializationErrorHolder) -> None: ...

    with pytest.raises(SerializationError, match="dataclass"):
        decode_arguments(opaque, "[[1],{}]", None, {})


class SerializationErrorHolder:
    """A class that JSON knows nothing about."""


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_plain_values_come_back_as_they_were(value: Any) -> None:
    assert decode(encode(value)) == value


@pytest.mark.parametrize("value", [range(3), deque([0, 1, 2]), {0: 0, 1: 1, 2: 2}.keys(), (0, 1, 2)])
def test_what_is_like_a_list_is_written_as_one(value: object) -> None:
    assert encode(value) == "[0,1,2]"


def test_what_is_no_json_is_refused_by_name() -> None:
    class Strange: ...

    circular: list[Any] = []
    circular.append(circular)
    for value, name in [
        (Strange(), "Strange"),
        (1j, "complex"),
        (circular, "contains itself"),
        ({(1, 2): 3}, r"the key \(1, 2\)"),
        ({1j: 3}, "complex"),
        (typed, r"task\.s"),
        ([chain(typed.s())], r"chain\(\.\.\.\)"),
        (open, "builtin"),
    ]:
        with pytest.raises(SerializationError, match=name):
            encode(value)


def test_holes_are_filled_with_what_the_steps_gave() -> None:
    holes = (
        Hole((0, 0), Ref(1, ("a", 0))),
        Hole((0, 1, 1), Span(1, 3)),
        Hole((1, "k", "deep"), Gather((Ref(2), Value(msgspec.Raw(b"7")), Mapping(("x",), (Ref(9),))))),
    )
    args, kwargs = fill('[[null,[0,null]],{"k":{"deep":null}}]', holes, {1: '{"a":[5]}', 2: '"two"'})
    assert args == [5, [0, [{"a": [5]}, "two", None]]]
    assert kwargs == {"k": {"deep": ["two", 7, {"x": None}]}}


def test_holes_are_typed_like_other_arguments() -> None:
    holes = encode_holes((Hole((0, 0), Ref(3)),))
    args, _ = decode_arguments(takes_box, "[[null],{}]", holes, {3: encode(ARGS[0])})
    assert args == [ARGS[0]]


@task
def takes_box(box: Box) -> None: ...


@pytest.mark.parametrize("path", [("b",), ("a", 3), (0,), ("a", "x")])
def test_a_path_that_leads_nowhere_is_named(path: tuple[str | int, ...]) -> None:
    with pytest.raises(SerializationError, match=r"step 1 was asked for \["):
        fill("[[null],{}]", (Hole((0, 0), Ref(1, path)),), {1: '{"a":[5]}'})


@task
def resize(path: str, width: date, *, height: int = 1) -> None: ...


@task
def note(text: str, /, **more: str) -> None: ...


def test_a_name_counts_before_the_place_it_also_stands_in() -> None:
    """As when somebody who does not know the task gives one of its arguments another value."""
    text = '[["a.png", "2026-11-20"], {"width": "2026-11-21", "height": 2}]'
    assert decode_arguments(resize, text, None, {}) == (["a.png", date(2026, 11, 21)], {"height": 2})


def test_a_name_that_is_no_place_stays_a_name() -> None:
    assert decode_arguments(note, '[["a"], {"text": "b"}]', None, {}) == (["a"], {"text": "b"})
