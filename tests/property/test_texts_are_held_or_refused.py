"""Names and keys of any length and any characters: both databases hold them, or both refuse them where they are given.

What only a database refused would fail the transaction that writes the text, with an error about an index.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue import Debounce, Limit, Segue, chain, task, wait_for, workflow
from segue.authoring import to_plan
from segue.client.run import Run
from segue.errors import SegueError, StoreError
from tests.servers import postgres

EVERYTHING = st.characters(codec=None)  # half characters, too


def noise(size: int, alphabet: str) -> str:
    """A text that no index makes smaller."""
    return "".join(random.Random(size).choices(alphabet, k=size))


odd = st.one_of(
    st.text(alphabet=EVERYTHING, max_size=8),
    st.sampled_from(["", "\0", "a\0b", "\ud800", "caf\udce9", "'\"\\", " ", "\n", "~", "?", "a:b", "workflow:x"]),
    st.builds(
        noise, st.sampled_from([101, 251, 501, 1001, 2800, 2800, 100_000]),
        st.sampled_from(["abcdefghijklmnopqrstuvwxyz0123456789", "éàüßñçøåæœ", "\U0001f600\U0001f680\U0001f9e0"]),
    ),
)  # fmt: skip


@task(name="texts.one")
def one(x: Any) -> Any:
    return x


@task(name="texts.many")
def many(xs: list[Any]) -> Any:
    return xs


@task(name="texts.keyed", limits=[Limit("texts", 1, key="x"), Limit("often", rate="9/s", key="x")], fair_by="x")
def keyed(x: Any) -> Any:
    return x


@task(name="texts.raises")
def raises(x: str) -> None:
    error = type("Odd", (Exception,), {})
    error.__qualname__ = x
    raise error("odd")


@workflow(name="texts.each", concurrency=1, concurrency_key="x")
def each(x: Any) -> Any:
    return one(x)


@workflow(name="texts.asks")
def asks(name: str) -> Any:
    return wait_for(name)


def named(segue: Segue, text: str) -> Run:
    plan = to_plan(one, 1)
    return segue.start(msgspec.structs.replace(plan, name=text))


def with_queue(segue: Segue, text: str) -> Run:
    return segue.start(one.options(queue=text).s(1))


GIVEN: dict[str, Callable[[Segue, str], Any]] = {
    "key": lambda segue, text: segue.start(one, 1, key=text),
    "debounce": lambda segue, text: segue.start(one, 1, debounce=Debounce(key=text, window=1)),
    "debounced item": lambda segue, text: segue.start(many, text, debounce=Debounce(key="k", window=1, keep="all")),
    "argument": lambda segue, text: segue.start(one, text),
    "key of limits": lambda segue, text: segue.run(keyed, text),
    "key by a result": lambda segue, text: segue.run(chain(one.s(text), keyed.s())),
    "type of an error": lambda segue, text: segue.run(raises, text),
    "key of a place": lambda segue, text: segue.start(each, text),
    "tag": lambda segue, text: segue.start(one, 1, tags=[text]),
    "metadata": lambda segue, text: segue.start(one, 1, metadata={text: text}),
    "name": named,
    "queue": with_queue,
    "step": lambda segue, text: segue.start(one.options(name=text).s(1)),
    "limit": lambda segue, text: segue.start(one.options(limits=[Limit(text, 1)]).s(1)),
    "size of a limit": lambda segue, text: segue.limits.set(text, concurrency=1),
    "weight": lambda segue, text: segue.limits.weight(text, 2.0, queue=text or "default"),
    "event": lambda segue, text: segue.start(asks, text),
    "message": lambda segue, text: segue.send(segue.start(asks, "go"), text, 1),
    "key of a message": lambda segue, text: segue.send(segue.start(asks, "go"), "go", 1, key=text),
    "retention": lambda segue, text: segue.retention.set(text or "w", max_age=5.0),
    "schedule": lambda segue, text: segue.schedules.create(text, one, 1, schedule="0 2 * * *"),
    "subscription": lambda segue, text: segue.subscriptions.add(text, events=["run.failed"], to=one),
    "annotation": lambda segue, text: segue.annotate(segue.start(one, 1), tags=[text], metadata={"k": text}),
}


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[list[Segue]]:
    made = postgres.create_database(request.getfixturevalue("postgres_server_url"))
    both = [Segue(f"sqlite:///{tmp_path_factory.mktemp('texts')}/segue.db"), Segue(made)]
    yield both
    for segue in both:
        segue.close()
    postgres.drop_database(made)


@pytest.mark.parametrize("what", sorted(GIVEN))
@settings(max_examples=settings.default.max_examples // 2)
@given(text=odd)
def test_both_hold_it_or_both_refuse_it(users: list[Segue], what: str, text: str) -> None:
    came = [_give(segue, what, text) for segue in users]
    assert came[0] == came[1]
    for segue in users:
        assert segue.start(one, 1).status == "pending"  # nothing else was hurt


def _give(segue: Segue, what: str, text: str) -> str:
    refused: SegueError | None = None
    try:
        GIVEN[what](segue, text)
    except SegueError as error:
        refused = error
    assert not isinstance(refused, StoreError), refused
    return type(refused).__name__
