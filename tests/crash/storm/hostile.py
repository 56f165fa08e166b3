"""Tasks that hand over what nobody can use, and workflows that must end well all the same."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NoReturn

from segue import Limit, Retry, checkpoint, current, progress, shell, sleep, task, wait_for, workflow
from tests.crash.crash_tasks import note, recorded
from tests.crash.fuzz import work

PROCESS_QUEUE = "process"  # only workers with processes serve it: what its tasks do would end any other


class Rude(Exception):  # noqa: N818 - it is no error of ours
    """Raises whenever it is looked at."""

    def __str__(self) -> NoReturn:
        raise RuntimeError("not my text")

    __repr__ = __str__

    def __getattr__(self, name: str) -> NoReturn:
        raise SystemExit(name)


class Text(str):
    __slots__ = ()


def _deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def _endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def _raise(exc: BaseException) -> NoReturn:
    raise exc


def _later(after: Any) -> NoReturn:
    raise Retry("later", after=after)


BEHAVIOURS: dict[str, Callable[[], Any]] = {
    "nan": lambda: float("nan"),
    "infinity": lambda: [1.0, float("inf")],
    "long number": lambda: 10**5000,
    "deep": lambda: _deep(3000),
    "endless": _endless,
    "object": object,
    "function": lambda: len,
    "generator": lambda: (number for number in range(3)),
    "text": lambda: Text("text"),
    "half a character": lambda: "\ud800",
    "nul": lambda: "a\0b",
    "bytes": lambda: b"\xff\0",
    "keys": lambda: {(1, 2): 3, None: 4},
    "large": lambda: "x" * (17 << 20),
    "rude": lambda: _raise(Rude()),
    "exit": lambda: sys.exit(3),
    "interrupt": lambda: _raise(KeyboardInterrupt()),
    "generator exit": lambda: _raise(GeneratorExit()),
    "stop iteration": lambda: _raise(StopIteration(3)),
    "cancelled": lambda: _raise(asyncio.CancelledError()),
    "recursion": lambda: _raise(RecursionError("too deep")),
    "memory": lambda: _raise(MemoryError()),
    "after for ever": lambda: _later(1e12),
    "after nan": lambda: _later(float("nan")),
    "after text": lambda: _later("30"),
    "after decimal": lambda: _later(Decimal("0.01")),
    "progress decimal": lambda: progress(1, Decimal(100)),
    "progress nan": lambda: progress(float("nan"), 5),
    "progress large": lambda: progress(2**70, 2**71),
    "progress text": lambda: progress("7", "8"),  # type: ignore[call-overload]
}
PROCESS_BEHAVIOURS: dict[str, Callable[[], Any]] = {
    "leave": lambda: os._exit(5),
    "close": lambda: os.closerange(0, 3),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "deaf": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "away": lambda: os.chdir("/"),
}


@task(may_fail=True, retries=1, retry_delay=0.0, lost_retries=1_000)
def poison(name: str) -> Any:
    """Does what is hostile; whatever comes of it, the run goes on."""
    with recorded():
        return (BEHAVIOURS | PROCESS_BEHAVIOURS)[name]()


@task(may_fail=True, retries=1, retry_delay=0.0, lost_retries=1_000)
async def async_poison(name: str) -> Any:
    with recorded():
        await asyncio.sleep(0)
        return BEHAVIOURS[name]()


PATIENT: dict[str, Any] = {"retries": 5, "retry_delay": 0.0, "lost_retries": 1_000}
"""Children are killed, which counts as a failed try, and workers, which counts as a loss."""


@task(**PATIENT)
def fetch() -> dict[str, int]:
    with recorded():
        return {"rows": 1}


@task(**PATIENT)
def inner() -> Any:
    """A plan whose result leads nowhere."""
    with recorded():
        return lost_part()


@workflow
def lost_part() -> Any:
    return fetch()["total"]


@task(**PATIENT, limits=[Limit("storm", concurrency=2), Limit("customer", key="customer", concurrency=1)])
def served(customer: int, seed: int) -> int:
    with recorded():
        return random.Random(seed).randrange(9)


@task(**PATIENT)
def count_down(left: int) -> Any:
    """A tail call, many deep."""
    with recorded():
        return count_down.s(left - 1) if left else 0


@workflow(finally_=note.options(**PATIENT).si())
def hostile(seed: int) -> Any:
    """Sound work beside poison: it succeeds."""
    chance = random.Random(seed)
    sound = [work(seed * 10 + number) for number in range(3)]
    bad = [poison(name) for name in chance.sample(sorted(BEHAVIOURS), 4)]
    bad += [async_poison(name) for name in chance.sample(sorted(BEHAVIOURS), 2)]
    if chance.random() < 0.3:
        name = chance.choice(sorted(PROCESS_BEHAVIOURS))
        bad.append(poison.options(queue=PROCESS_QUEUE)(name))
    conditional = note.options(when=poison(chance.choice(sorted(BEHAVIOURS))), may_fail=True, **PATIENT)()
    return note.options(name="last", **PATIENT, rule="all_done", after=[*bad, conditional])(*sound)


@workflow(on_success=note.options(**PATIENT).s())
def astray(seed: int) -> Any:
    """Results whose parts are not there, where tasks, hooks, plans and joins look for them: it fails."""
    way = seed % 4
    if way == 0:
        return fetch()["total"]
    if way == 1:
        return note.options(**PATIENT)(inner())
    if way == 2:
        part = fetch()["rows"]["deep"]["er"]
        return [note.options(**PATIENT)(part), note.options(**PATIENT)({"same": part})]
    return note.options(**PATIENT, when=fetch()["total"])()


@workflow
def limited(seed: int) -> Any:
    chance = random.Random(seed)
    return [served(chance.randrange(4), seed + number) for number in range(chance.randint(1, 6))]


@workflow
def asking(seed: int) -> Any:
    answer = wait_for("answer", timeout=20.0, default=0)
    return note.options(**PATIENT)(answer, work(seed))


@task(name="storm.wandering", retries=30, retry_delay=0.1, lost_retries=100)
def wandering(seed: int) -> int:
    """Records, sleeps and waits, in an order that chance chooses once. It has many attempts that are on no record."""
    kinds = checkpoint("kinds", random.Random(seed).choices, ["record", "sleep", "wait", "fail"], k=6)
    total = 0
    for number, kind in enumerate(kinds):
        if kind == "record":
            total += checkpoint(f"record {number}", random.Random(seed + number).randrange, 100)
        elif kind == "sleep":
            sleep(0.2)
        elif kind == "wait":
            total += wait_for("answer", timeout=1.0, default=0)
        elif current().failures < 2:
            raise OSError("wanders off")
    return total


@workflow
def wandering_off(seed: int) -> Any:
    return note.options(**PATIENT)(wandering(seed))


@workflow
def descending(seed: int) -> Any:
    return count_down(seed % 60)


@workflow
def commanding(seed: int) -> Any:
    text = random.Random(seed).choice(["it's", '"; exit 3; "', "$(exit 4)", "`exit 5`", "-n", "", "a\nb", "\\"])
    return shell("test {text} = {text} || test -n {text} || exit 0", text=f"x{text}", timeout=30)
