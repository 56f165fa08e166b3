"""Keys that are spelt alike in JSON are refused wherever they lie: no short cut overlooks them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

import msgspec
import pytest

from segue.errors import SerializationError
from segue.plan.writing import Writer

CLASH = {1: "a", "1": "b"}


class Sly(str):
    """A text that is equal to no other."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


class Plain(msgspec.Struct):
    held: Any


class Listed(msgspec.Struct, array_like=True):
    held: Any = None


class Brief(msgspec.Struct, omit_defaults=True):
    held: dict[str, int] = msgspec.field(default_factory=dict)


@dataclass
class Shared:
    KNOWN: ClassVar[dict[str, int]] = {"a": 1}
    held: Any = None


PLACES: dict[str, Any] = {
    "alone": CLASH,
    "behind a plain dict": [{"a": 1}, CLASH],
    "under a plain dict": {"a": {"b": [1, CLASH]}},
    "behind a brace in a text": ["{", CLASH],
    "in a tuple": ({"a": 1}, (CLASH,)),
    "in a record": Plain(CLASH),
    "behind a record": [Plain(1), CLASH],
    "behind a record that is a list": [Listed(), Listed(), CLASH],
    "behind a record that leaves its defaults out": [Brief(), CLASH],
    "behind a record with a variable of its class": [Shared(), CLASH],
    "in a record with a variable of its class": Shared(CLASH),
    "behind a number that msgspec writes as text": [Decimal(1), CLASH],
    "of texts that are equal to nothing": {Sly("a"): 1, "a": 2},
}


@pytest.mark.parametrize("value", PLACES.values(), ids=PLACES)
def test_keys_that_are_spelt_alike_are_refused(value: Any) -> None:
    def plain_of(other: Any) -> Any:
        return str.__str__(other)

    with pytest.raises(SerializationError):
        Writer(plain_of).write(value)


@pytest.mark.parametrize(
    "value", [[float("nan")], {"a": [1, {"b": float("inf")}]}, Plain(float("nan")), (None, float("nan"))]
)
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(SerializationError, match="not JSON"):
        Writer().write(value)


@pytest.mark.parametrize("depth", [250, 251])
@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}, lambda inner: (inner, "[")])
def test_nesting_has_its_limit(depth: int, wrap: Any) -> None:
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    if depth <= 250:
        assert msgspec.json.decode(Writer().write(value)) is not None
    else:
        with pytest.raises(SerializationError, match="nested more than 250 deep"):
            Writer().write(value)
