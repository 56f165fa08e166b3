"""Workflows of Dramatiq whose side effects can be counted: see tallies.py.

`python -m dramatiq tests.executors.dramatiq.tallied:broker` reads where things are from TALLY_*.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import dramatiq
from dramatiq import Broker
from dramatiq.middleware import CurrentMessage

from segue import Segue
from segue import chain as chain_of
from segue import group as group_of
from segue.executors.dramatiq import Chain, Group, SegueMiddleware, flow, step
from tests.executors.dramatiq.unsteady import install_unsteady
from tests.executors.tallies import Tallied, write_line

SLOW_SECONDS = 1.5


def make_broker(url: str, segue: Segue, *, lease_seconds: float) -> Broker:
    """The broker with its actors, connected to a database."""
    broker: Any
    if url.startswith("redis"):
        from dramatiq.brokers.redis import RedisBroker

        broker = RedisBroker(url=url, heartbeat_timeout=10_000, socket_timeout=10)
    else:
        from dramatiq.brokers.rabbitmq import RabbitmqBroker

        broker = RabbitmqBroker(url=url.rstrip("/"))  # the default virtual host
    broker.add_middleware(CurrentMessage())
    broker.add_middleware(SegueMiddleware(segue, lease_seconds=lease_seconds))
    ledger = Path(os.environ.get("TALLY_LEDGER", os.devnull))

    def actor(name: str, **options: Any) -> Any:
        return dramatiq.actor(actor_name=name, broker=broker, **options)

    @actor("tally")
    def tally(number: int, word: str, received: Any = None) -> str:
        return write_line(ledger, number, word, received)

    @actor("slow")
    def slow(number: int, word: str, received: Any = None) -> str:
        time.sleep(random.random() * SLOW_SECONDS)
        token = write_line(ledger, number, word, received)
        time.sleep(random.random() * SLOW_SECONDS / 2)
        return token

    @actor("flaky", max_retries=50, min_backoff=200, max_backoff=400)
    def flaky(number: int, word: str, received: Any = None) -> str:
        message: Any = CurrentMessage.get_current_message()
        if message.options.get("retries", 0) < 2:
            raise OSError("not yet")
        return write_line(ledger, number, word, received)

    @actor("fails", max_retries=0)
    def fails(number: int, word: str, received: Any = None) -> None:
        write_line(ledger, number, word, received)
        raise ValueError(word)

    @actor("mourn")
    def mourn(number: int, word: str, outcome: Any = None) -> None:
        write_line(ledger, number, word, None)

    @actor("fan")
    def fan(number: int, word: str, received: Any = None) -> Any:
        token = write_line(ledger, number, word, received)
        inner = [tally.message(number, f"{word}.{place}", [token]) for place in range(3)]
        return chain_of(group_of(*map(_alone, inner)), tally.message(number, f"{word}.end"))

    return broker  # type: ignore[no-any-return]


def _alone(message: Any) -> Any:
    """A message that has all its arguments."""
    return step(message.copy(options={"pipe_ignore": True}))


def shapes(broker: Broker, number: int) -> dict[str, Callable[[], Tallied]]:
    """Workflows of every kind, by name, for the run of this number."""

    def m(actor: str, word: str) -> Any:
        return broker.get_actor(actor).message(number, word)

    def a_pipeline() -> Tallied:
        words = ["a", "b", "c", "d", "e"]
        work = m("tally", "a") | m("tally", "b") | m("tally", "c") | m("tally", "d") | m("tally", "e")
        return Tallied(work, {"a": ()} | {word: (words[at],) for at, word in enumerate(words[1:])}, ("e",))

    def a_diamond() -> Tallied:
        work = flow(
            Chain(m("tally", "a"), Group(*(m("tally", word) for word in "bcd")), m("slow", "e"), m("tally", "f")),
            pass_results=True,
        )
        parents = {"a": (), "b": ("a",), "c": ("a",), "d": ("a",), "e": ("b", "c", "d"), "f": ("e",)}
        return Tallied(work, parents, ("f",))

    def a_group_with_a_callback() -> Tallied:
        words = [f"m{place}" for place in range(10)]
        work = dramatiq.group([m("tally", word) for word in words], broker=broker)
        work.add_completion_callback(m("tally", "z"))
        return Tallied(work, dict.fromkeys([*words, "z"], ()), ("z",))

    def a_slow_group() -> Tallied:
        words = [f"g{place}" for place in range(3)]
        return Tallied(Group(*(m("slow", word) for word in words)), dict.fromkeys(words, ()), tuple(words))

    def a_retry() -> Tallied:
        work = m("tally", "a") | m("flaky", "b") | m("tally", "c")
        return Tallied(work, {"a": (), "b": ("a",), "c": ("b",)}, ("c",))

    def a_failure() -> Tallied:
        work = flow(
            Chain(m("tally", "a"), m("fails", "b"), m("tally", "c")), pass_results=True, on_failure=m("mourn", "x")
        )
        return Tallied(work, {"a": (), "b": ("a",), "x": ()}, never=frozenset("c"), fails=True)

    def chains_in_a_group() -> Tallied:
        chains = [Chain(m("tally", f"a{place}"), m("tally", f"b{place}")) for place in range(3)]
        parents = {f"a{place}": () for place in range(3)} | {f"b{place}": (f"a{place}",) for place in range(3)}
        work = flow(Chain(Group(*chains), m("tally", "z")), pass_results=True)
        return Tallied(work, parents | {"z": ("b0", "b1", "b2")}, ("z",))

    def a_replacement() -> Tallied:
        work = m("tally", "a") | m("fan", "b") | m("tally", "c")
        inner = {f"b.{place}": ("b",) for place in range(3)}
        parents = {"a": (), "b": ("a",), **inner, "b.end": tuple(inner), "c": ("b.end",)}
        return Tallied(work, parents, ("c",))

    made: Iterable[Callable[[], Tallied]] = (
        a_pipeline, a_diamond, a_group_with_a_callback, a_slow_group, a_retry, a_failure, chains_in_a_group,
        a_replacement,
    )  # fmt: skip
    return {make.__name__: make for make in made}


if "TALLY_BROKER" in os.environ:
    segue = Segue(os.environ["TALLY_DATABASE"])
    broker = make_broker(
        os.environ["TALLY_BROKER"], segue, lease_seconds=float(os.environ["TALLY_LEASE_SECONDS"])
    )  # fmt: skip
    dramatiq.set_broker(broker)
    if os.environ.get("TALLY_UNSTEADY"):
        install_unsteady(broker, os.environ["TALLY_UNSTEADY"])
