"""Canvases whose side effects can be counted: see tallies.py.

`python -m celery -A tests.executors.celery.tallied worker` reads where things are from TALLY_*.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from celery import Celery, chain, chord, group

from segue import Segue
from segue.executors.celery import install
from tests.executors.celery.unsteady import install_unsteady
from tests.executors.tallies import Tallied, write_line

SLOW_SECONDS = 1.5
LONG_SECONDS = 5.0


def make_app(broker: str, backend: str | None, database_url: str, *, lease_seconds: float, fence: str) -> Celery:
    """The app, connected to a database."""
    app = Celery("tallied", broker=broker, backend=backend)
    app.conf.update(
        broker_connection_retry_on_startup=True, worker_prefetch_multiplier=2, result_extended=True,
        broker_transport_options={"visibility_timeout": 3600, "socket_timeout": 10},
        result_backend_transport_options={"retry_policy": {"timeout": 1.0}},
    )  # fmt: skip
    segue = Segue(database_url)
    install(app, segue, fence=fence, lease_seconds=lease_seconds)  # type: ignore[arg-type]
    app.segue = segue
    ledger = Path(os.environ.get("TALLY_LEDGER", os.devnull))

    def write(number: int, word: str, received: Any) -> str:
        return write_line(ledger, number, word, received)

    @app.task(name="tally", shared=False)
    def tally(received: Any, number: int, word: str) -> str:
        return write(number, word, received)

    @app.task(name="slow", shared=False)
    def slow(received: Any, number: int, word: str) -> str:
        time.sleep(random.random() * SLOW_SECONDS)
        token = write(number, word, received)
        time.sleep(random.random() * SLOW_SECONDS / 2)
        return token

    @app.task(name="long", shared=False)
    def long(received: Any, number: int, word: str) -> str:
        token = write(number, word, received)
        time.sleep(LONG_SECONDS)
        return token

    @app.task(name="flaky", shared=False, bind=True, max_retries=None)
    def flaky(self: Any, received: Any, number: int, word: str) -> str:
        if self.request.retries < 2:
            raise self.retry(countdown=0.3)
        return write(number, word, received)

    @app.task(name="fails", shared=False)
    def fails(received: Any, number: int, word: str) -> None:
        write(number, word, received)
        raise ValueError(word)

    @app.task(name="mourn", shared=False)
    def mourn(task_id: str, *, number: int, word: str) -> str:  # Celery 5.3 gives more to one with two places or more
        return write(number, word, None)

    @app.task(name="fan", shared=False, bind=True)
    def fan(self: Any, received: Any, number: int, word: str) -> Any:
        token = write(number, word, received)
        inner = [tally.s([token], number, f"{word}.{place}") for place in range(3)]
        return self.replace(chord(inner, tally.s(number, f"{word}.end")))

    return app


def shapes(app: Celery, number: int) -> dict[str, Callable[[], Tallied]]:
    """Canvases of every kind, by name, for the run of this number."""

    def s(task: str, word: str, *first: Any) -> Any:
        return app.tasks[task].s(*first, number, word)

    def a_chain() -> Tallied:
        words = ["a", "b", "c", "d", "e"]
        first, *rest = words
        canvas = chain(s("tally", first, None), *[s("tally", word) for word in rest])
        return Tallied(canvas, {"a": ()} | {word: (words[at],) for at, word in enumerate(rest)}, ("e",))

    def a_diamond() -> Tallied:
        canvas = chain(
            s("tally", "a", None), chord([s("tally", word) for word in "bcd"], s("slow", "e")), s("tally", "f")
        )
        parents = {"a": (), "b": ("a",), "c": ("a",), "d": ("a",), "e": ("b", "c", "d"), "f": ("e",)}
        return Tallied(canvas, parents, ("f",))

    def a_chord() -> Tallied:
        words = [f"m{place}" for place in range(10)]
        canvas = chord([s("tally", word, None) for word in words], s("tally", "z"))
        return Tallied(canvas, dict.fromkeys(words, ()) | {"z": tuple(words)}, ("z",))

    def a_slow_group() -> Tallied:
        words = [f"g{place}" for place in range(3)]
        return Tallied(group([s("slow", word, None) for word in words]), dict.fromkeys(words, ()), tuple(words))

    def a_retry() -> Tallied:
        canvas = chain(s("tally", "a", None), s("flaky", "b"), s("tally", "c"))
        return Tallied(canvas, {"a": (), "b": ("a",), "c": ("b",)}, ("c",))

    def a_failure() -> Tallied:
        canvas = chain(s("tally", "a", None), s("fails", "b"), s("tally", "c"))
        canvas.link_error(app.tasks["mourn"].s(number=number, word="m"))
        return Tallied(canvas, {"a": (), "b": ("a",), "m": ()}, never=frozenset("c"), fails=True)

    def chains_in_a_chord() -> Tallied:
        header = [chain(s("tally", f"a{place}", None), s("tally", f"b{place}")) for place in range(3)]
        parents = {f"a{place}": () for place in range(3)} | {f"b{place}": (f"a{place}",) for place in range(3)}
        return Tallied(chord(header, s("tally", "z")), parents | {"z": ("b0", "b1", "b2")}, ("z",))

    def a_replacement() -> Tallied:
        canvas = chain(s("tally", "a", None), s("fan", "b"), s("tally", "c"))
        inner = {f"b.{place}": ("b",) for place in range(3)}
        parents = {"a": (), "b": ("a",), **inner, "b.end": tuple(inner), "c": ("b.end",)}
        return Tallied(canvas, parents, ("c",))

    made: Iterable[Callable[[], Tallied]] = (
        a_chain, a_diamond, a_chord, a_slow_group, a_retry, a_failure, chains_in_a_chord, a_replacement,
    )  # fmt: skip
    return {make.__name__: make for make in made}


if "TALLY_BROKER" in os.environ:
    app = make_app(
        os.environ["TALLY_BROKER"], os.environ.get("TALLY_BACKEND") or None, os.environ["TALLY_DATABASE"],
        lease_seconds=float(os.environ["TALLY_LEASE_SECONDS"]), fence=os.environ["TALLY_FENCE"],
    )  # fmt: skip
    if "TALLY_VISIBILITY" in os.environ:  # seconds after which a message that is not acknowledged comes again
        app.conf.update(
            task_acks_late=True, broker_transport_options={
                "visibility_timeout": float(os.environ["TALLY_VISIBILITY"]), "unacked_restore_interval": 0.5,
                "unacked_restore_throttle": 1,
            },
        )  # fmt: skip
    if os.environ.get("TALLY_UNSTEADY"):
        install_unsteady(os.environ["TALLY_UNSTEADY"])
