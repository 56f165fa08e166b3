"""Values whose own methods raise: whatever they do, they are taken or refused by one of Segue's errors."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import pytest

from segue.authoring import task, to_plan
from segue.authoring.values import Converters, encode
from segue.errors import SegueError

pytestmark = pytest.mark.unit


class Broken(RuntimeError):  # noqa: N818 - what users call theirs
    pass


def broken(*_: Any) -> NoReturn:
    raise Broken


class Plain:
    __eq__ = __repr__ = __str__ = broken
    __hash__ = None  # type: ignore[assignment]


class Asked:
    __getattr__ = broken


class Classless:
    @property
    def __class__(self) -> NoReturn:  # type: ignore[override]
        raise Broken


class Items(Sequence[Any]):
    __getitem__ = broken

    def __len__(self) -> int:
        return 3


class Endless(Sequence[Any]):
    def __getitem__(self, index: Any) -> Any:
        if index > 2:
            raise IndexError
        return self

    def __len__(self) -> int:
        return 3


class Entries(Mapping[str, Any]):
    __getitem__ = broken

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        raise Broken


class Dict(dict[str, Any]):
    items = values = __iter__ = __len__ = __contains__ = broken  # type: ignore[assignment]


class Text(str):
    __slots__ = ()
    __eq__ = __str__ = __repr__ = encode = broken  # type: ignore[assignment]
    __hash__ = str.__hash__


class Number(int):
    __int__ = __lt__ = __gt__ = __index__ = __repr__ = broken  # type: ignore[assignment]


class Float(float):
    __float__ = __str__ = __repr__ = broken  # type: ignore[assignment]


@dataclasses.dataclass
class Record:
    a: Any
    __eq__ = broken


class Meta(type):
    __instancecheck__ = __subclasscheck__ = broken


class Checked(metaclass=Meta):
    pass


VALUES: dict[str, Callable[[], Any]] = {  # made in the test, because pytest looks at what it is given
    "plain": Plain,
    "asked": Asked,
    "classless": Classless,
    "items": Items,
    "endless": Endless,
    "entries": Entries,
    "dict": lambda: Dict(a=1),
    "dict with NaN": lambda: {"a": Dict(a=float("nan"))},
    "text": lambda: Text("x"),
    "half of a text": lambda: [Text("\ud800")],
    "key": lambda: {Text("k"): 1j},
    "number": lambda: Number(3),
    "float": lambda: Float(2),
    "NaN": lambda: Float("nan"),
    "record": lambda: Record(1),
    "record of plain": lambda: Record(Plain()),
    "checked": Checked,
    "iterator": lambda: iter([1]),
    "function": lambda: broken,
    "class": lambda: type,
    "ellipsis": lambda: ...,
    "set as key": lambda: {frozenset(): 1},
    "None as key": lambda: {None: 1},
    "exception": lambda: ValueError(Plain()),
    "view": lambda: {"a": 1}.items(),
    "every other byte": lambda: memoryview(b"ab")[::2],
}
ANNOTATIONS: list[Any] = [
    Any, int, str, list, list[int], dict, dict[str, int], Record, Checked, int | str, Record | dict, "Nowhere"
]  # fmt: skip


@task(name="hostile.take")
def take(x: Any) -> None: ...


@pytest.mark.parametrize("name", VALUES)
def test_it_is_taken_or_refused(name: str) -> None:
    value = VALUES[name]()
    for annotation in ANNOTATIONS:

        def fn(x: Any) -> Any: ...

        fn.__annotations__ = {"x": annotation, "return": annotation}
        converters = Converters(fn)
        for attempt in (
            lambda found=converters: found.check_result("fn", value, encode(value, "result")),
            lambda found=converters: found.check("fn", [value], {}),
        ):
            refused_properly(attempt)
    for attempt in (lambda: to_plan(take, value), lambda: to_plan(take.s([value])), lambda: to_plan(take.map([value]))):
        refused_properly(attempt)


def refused_properly(attempt: Any) -> None:
    with contextlib.suppress(SegueError):
        attempt()
