"""Tasks that hand over, in every way that a task has, objects whose own code does the worst that it can."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from segue.authoring import Cancelled, current, progress, task
from segue.errors import Abort, Retry, Skip

BLOWS: dict[str, type[BaseException]] = {
    "KeyError": KeyError,
    "SystemExit": SystemExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "RecursionError": RecursionError,
    "MemoryError": MemoryError,
    "CancelledError": asyncio.CancelledError,
    "Cancelled": Cancelled,
    "StopIteration": StopIteration,
}
"""What the code of a hostile object raises."""

LOOKS = (
    "__getattr__", "__getattribute__", "__str__", "__repr__", "__class__", "__cause__", "__context__", "__notes__",
    "__traceback__", "args", "__eq__", "__hash__", "__bool__", "__len__", "__iter__", "__reduce__", "segue_retryable",
    "after", "code", "exceptions", "__setattr__", "__suppress_context__", "__dict__", "__module__",
)  # fmt: skip
"""What may be looked at, and raises then."""

META_LOOKS = ("__qualname__", "__module__", "__name__", "__mro__", "__instancecheck__", "__subclasscheck__", "__eq__")
_PROPERTIES = frozenset(LOOKS) - {name for name in LOOKS if name.startswith("__") and name not in {
    "__class__", "__cause__", "__context__", "__notes__", "__traceback__", "__suppress_context__", "__dict__",
    "__module__"}}  # fmt: skip


def _blow(kind: type[BaseException]) -> Callable[..., Any]:
    def raise_it(*_: Any, **__: Any) -> Any:
        raise kind("from the object's own code")

    return raise_it


def hostile_class(base: type, look: str, blow: str) -> Any:
    """A subclass of `base` of which one look raises."""
    does = _blow(BLOWS[blow])
    return type("Hostile", (base,), {look: property(does) if look in _PROPERTIES else does})


def hostile_meta(base: type, look: str, blow: str) -> Any:
    """A subclass of `base` whose class itself raises at one look."""
    does = _blow(BLOWS[blow])
    dunder_of_type = look in ("__instancecheck__", "__subclasscheck__", "__eq__")
    body: dict[str, Any] = {look: does if dunder_of_type else property(does)}
    if look == "__eq__":
        body["__hash__"] = type.__hash__
    meta = type("Meta", (type(base),), body)
    return meta("HostileByClass", (base,), {})


class Wordy(str):
    """A text that does not behave like one."""

    def __str__(self) -> str:
        raise ValueError("no text")

    def __len__(self) -> int:
        raise ValueError("no length")

    def encode(self, *_: Any) -> bytes:
        raise ValueError("no bytes")

    def replace(self, *_: Any) -> str:
        raise ValueError("no replacement")


class Vague(float):
    """A number that does not behave like one."""

    def __float__(self) -> float:
        raise ValueError("no number")

    def __lt__(self, other: object) -> bool:
        raise ValueError("no order")


class Endless:
    """Something that is always one level deeper."""

    def __iter__(self) -> Iterator[Any]:
        return iter([Endless()])

    def __getattr__(self, name: str) -> Any:
        return Endless()


class BadAwaitable:
    def __await__(self) -> Any:
        return 7


def _deep(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels):
        found = [found]
    return found


def _knot() -> list[Any]:
    knot: list[Any] = []
    knot.append(knot)
    return knot


VALUES: dict[str, Callable[[], Any]] = {
    "nan": lambda: float("nan"), "inf": lambda: float("inf"), "-inf": lambda: float("-inf"), "1e300": lambda: 1e300,
    "1e12": lambda: 1e12, "2**64": lambda: 2**64, "-(2**70)": lambda: -(2**70), "10**5000": lambda: 10**5000,
    "True": lambda: True, "None": lambda: None, "'30'": lambda: "30", "b'30'": lambda: b"30", "nul": lambda: "a\0b",
    "surrogate": lambda: "\udcff", "long": lambda: "ä" * 100_000, "Decimal": lambda: Decimal(5),
    "Decimal NaN": lambda: Decimal("NaN"), "Decimal sNaN": lambda: Decimal("sNaN"),
    "Decimal 1e400": lambda: Decimal("1e400"), "Fraction": lambda: Fraction(1, 3), "complex": lambda: 1j,
    "timedelta": lambda: timedelta(seconds=1), "timedelta max": lambda: timedelta.max, "object": object,
    "class": lambda: type, "lambda": lambda: lambda: 1, "module": lambda: sys, "list": list, "dict": dict,
    "odd keys": lambda: {(1, 2): 3, None: 4, 1.5: 6}, "nan inside": lambda: {"a": [float("nan")]}, "knot": _knot,
    "deep": lambda: _deep(5000), "endless": Endless, "wordy": lambda: Wordy("x"), "vague": lambda: Vague(1.0),
    "bad awaitable": BadAwaitable, "generator": lambda: (x for x in [1]), "exception": lambda: ValueError("x"),
    "exception class": lambda: ValueError, "blank": lambda: "", "set": lambda: {1}, "mixed set": lambda: {1, "a"},
    **{
        f"{look} {blow}": lambda look=look, blow=blow: hostile_class(object, look, blow)()  # type: ignore[misc]
        for look in ("__getattr__", "__getattribute__", "__class__", "__repr__", "__eq__", "__len__", "__iter__")
        for blow in ("KeyError", "SystemExit", "KeyboardInterrupt", "Cancelled")
    },
}  # fmt: skip
"""What a task may hand over where something else is meant."""

BASES = {"Exception": Exception, "BaseException": BaseException, "Retry": Retry, "Skip": Skip, "Group": ExceptionGroup}


def _make_exception(kind: str) -> BaseException:
    match kind.split("/"):
        case ["look", base, look, blow]:
            cls = hostile_class(BASES[base], look, blow)
        case ["meta", base, look, blow]:
            cls = hostile_meta(BASES[base], look, blow)
        case _:
            return PLAIN[kind]()
    made: BaseException = cls("no", [ValueError("x")]) if base == "Group" else cls("no")
    return made


def _with_notes() -> BaseException:
    error = ValueError("x")
    error.__notes__ = 7  # type: ignore[assignment]
    return error


def _late_retry(value: Any) -> BaseException:
    error = Retry("later")
    error.after = value
    return error


class RetryWithoutInit(Retry):
    def __init__(self) -> None:
        Exception.__init__(self, "its own way")


PLAIN: dict[str, Callable[[], BaseException]] = {
    "SystemExit": lambda: SystemExit(object()), "KeyboardInterrupt": KeyboardInterrupt, "GeneratorExit": GeneratorExit,
    "StopIteration": StopIteration, "StopAsyncIteration": StopAsyncIteration, "RecursionError": RecursionError,
    "MemoryError": MemoryError, "asyncio": asyncio.CancelledError, "futures": concurrent.futures.CancelledError,
    "Cancelled": Cancelled, "BaseException": BaseException, "long": lambda: ValueError("x" * 5_000_000),
    "not a text": lambda: ValueError(object()), "nul": lambda: ValueError("\0\udcff"), "notes": _with_notes,
    "group": lambda: BaseExceptionGroup("x", [KeyboardInterrupt(), SystemExit()]),
    "wordy": lambda: ValueError(Wordy("x")),
    "retry": RetryWithoutInit, "abort": lambda: Abort(Wordy("x")), "timeout": TimeoutError,
}  # fmt: skip


def exception_kinds() -> list[str]:
    """Every exception that can be raised here, by name."""
    looks = [f"look/{base}/{look}/{blow}" for base in BASES for look in LOOKS for blow in BLOWS]
    metas = [
        f"meta/{base}/{look}/{blow}" for base in ("Exception", "BaseException") for look in META_LOOKS for blow in BLOWS
    ]
    return [*PLAIN, *looks, *metas]


def _hand_over(way: str, kind: str) -> Any:
    if way == "raise":
        raise _make_exception(kind)
    value = VALUES[kind]()
    match way:
        case "return":
            return value
        case "return plan":
            return fine.s(value)
        case "retry":
            raise Retry("busy", after=value)
        case "late retry":
            raise _late_retry(value)
        case "reason":
            raise Retry(value)
        case "done":
            for _, _ in zip(range(3), progress(value) or (), strict=False):
                pass
        case "total":
            progress(1, value)
        case "message":
            progress(1, 2, value)
        case "report":
            current().report(value, value, value)
        case "write":
            sys.stdout.write(value)
        case "print":
            print(value, file=sys.stderr)  # noqa: T201
        case "log":
            logging.getLogger("hostile").info("%d", value)
    return None


WAYS = (
    "return", "return plan", "retry", "late retry", "reason", "done", "total", "message", "report", "write", "print",
    "log",
)  # fmt: skip
"""How a value is handed over."""


@task
def strike(way: str, kind: str) -> Any:
    return _hand_over(way, kind)


@task
async def strike_async(way: str, kind: str) -> Any:
    await asyncio.sleep(0)
    return _hand_over(way, kind)


@task
def fine(value: Any = 1) -> int:
    return 1
