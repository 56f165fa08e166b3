"""`@task`: what it takes, what it refuses, and that a task remains a function."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

import pytest

from segue.authoring import find_task, is_retryable, task, to_plan, workflow
from segue.errors import Abort, DefinitionError, PlanError, Retry, SerializationError, UnknownTaskError

pytestmark = pytest.mark.unit


@task
def plain(x: int, y: int = 2) -> int:
    """Adds."""
    return x + y


@task(
    retries=3,
    retry_delay=timedelta(seconds=2),
    timeout=60,
    queue="net",
    priority=9,
    retry_on=(OSError, ValueError),
    give_up_on=FileNotFoundError,
)
async def fetch(url: str) -> str:
    return url


def test_a_task_is_the_plain_function_outside_of_a_workflow() -> None:
    assert plain(1) == 3
    assert plain(1, y=5) == 6
    assert asyncio.run(fetch("x")) == "x"
    assert (plain.__name__, plain.__doc__) == ("plain", "Adds.")
    assert (plain.is_async, fetch.is_async) == (False, True)


def test_a_task_is_found_by_its_name() -> None:
    assert plain.name == f"{__name__}.plain"
    assert find_task(plain.name) is plain
    with pytest.raises(UnknownTaskError, match=r"did you mean .*\.plain'"):
        find_task(f"{__name__}.plane")


def test_options_become_policy_and_placement() -> None:
    assert (fetch.policy.retries, fetch.policy.retry_delay, fetch.policy.timeout) == (3, 2.0, 60.0)
    assert (fetch.placement.queue, fetch.placement.priority) == ("net", 9)
    changed = fetch.options(retries=0, queue="disk")
    assert (changed.policy.retries, changed.policy.timeout, changed.placement.queue) == (0, 60.0, "disk")
    assert fetch.policy.retries == 3


@pytest.mark.parametrize(
    "options",
    [
        {"priority": 10},
        {"priority": -1},
        {"priority": True},
        {"priority": "high"},
        {"retries": -1},
        {"retries": 1.5},
        {"timeout": 0},
        {"timeout": "60"},
        {"timeout": float("nan")},
        {"retry_delay": -1},
        {"retry_factor": 0.5},
        {"retry_jitter": 1.5},
        {"retry_on": "OSError"},
        {"retry_on": KeyboardInterrupt},
        {"give_up_on": [OSError]},
        {"queue": ""},
        {"may_fail": 1},
        {"name": " "},
        {"delay": float("inf")},
    ],
)
def test_options_that_make_no_sense_are_named(options: dict[str, Any]) -> None:
    (key,) = options
    with pytest.raises(DefinitionError, match=rf"@task .*plain.*{key}="):
        task(**options)(plain.fn)


def test_unknown_options_are_listed_with_those_that_exist() -> None:
    with pytest.raises(DefinitionError, match=r"unknown option retry \(did you mean retries\?\); there are .*retries"):
        task(retry=3)(plain.fn)  # type: ignore[call-overload]
    with pytest.raises(DefinitionError, match=r"unknown option colour; there are .*queue"):
        plain.options(colour="red")  # type: ignore[call-arg]


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(DefinitionError, match="time zone"):
        plain.s(1).options(run_at=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the mistake
    with pytest.raises(DefinitionError, match="all_succeeded, all_done"):
        plain.s(1).options(rule="sometimes")


def test_functions_that_a_worker_cannot_import_are_refused() -> None:
    def inner() -> None: ...

    class Thing: ...

    def yielding() -> Any:
        yield 1

    with pytest.raises(DefinitionError, match="top of its module"):
        task(inner)
    with pytest.raises(DefinitionError, match="lambda"):
        task(lambda: 1)
    with pytest.raises(DefinitionError, match="a class"):
        task(Thing)
    with pytest.raises(DefinitionError, match="write a function"):
        task(len)
    with pytest.raises(DefinitionError, match="yields"):
        task(name="test.yielding")(yielding)
    with pytest.raises(DefinitionError, match="twice"):
        task(plain)
    assert task(name="test.inner_task")(inner).name == "test.inner_task"


def test_two_functions_cannot_have_one_name_but_a_reload_may() -> None:
    assert task(plain.fn).name == plain.name
    with pytest.raises(DefinitionError, match="already has it"):
        task(name=plain.name)(fetch.fn)


def test_what_may_be_tried_again() -> None:
    assert is_retryable(plain, KeyError("x"))
    assert not is_retryable(plain, Abort("never"))
    assert not is_retryable(plain, SerializationError("the same value again"))
    assert is_retryable(fetch, ConnectionError())
    assert not is_retryable(fetch, FileNotFoundError())
    assert not is_retryable(fetch, KeyError("x"))
    assert is_retryable(fetch, Retry(after=3))


def test_a_batch_asks_the_mapped_task_what_may_be_tried_again() -> None:
    from segue.authoring.builtin import map_batch, map_batch_async

    @task(name="test.picky", give_up_on=ValueError)
    def picky(x: int) -> int:
        raise ValueError(x) if x else KeyError(x)

    told: Any = {"target": "test.picky", "fixed": {}, "star": False}
    with pytest.raises(ValueError, match="1") as gave_up:
        map_batch.fn([1], **told)
    with pytest.raises(KeyError) as tries_again:
        map_batch.fn([0], **told)
    assert not is_retryable(map_batch, gave_up.value)
    assert is_retryable(map_batch, tries_again.value)
    assert map_batch_async.is_async
    assert picky.name == "test.picky"


@task
def words(self: int, key: int, name: int, task: int, fn: int, args: int, kwargs: int, work: int) -> list[int]:
    return [self, key, name, task, fn, args, kwargs, work]


@workflow
def words_of(self: int, key: int, fn: int, args: int, kwargs: int, work: int) -> Any:
    return words(self=self, key=key, name=0, task=0, fn=fn, args=args, kwargs=kwargs, work=work)


def test_a_parameter_may_have_any_name() -> None:
    every = {name: at for at, name in enumerate(words.parameters.positional)}
    some = {name: at for at, name in enumerate(words_of.parameters.positional)}
    assert words(**every) == list(range(8))
    plans = [
        to_plan(words.s(**every)), to_plan(words.si(**every)), to_plan(words_of, **{**some, "work": 1, "self": 2}),
        to_plan(words_of.s(**some)), to_plan(words_of.si(**some)), words_of.plan(**some),
    ]  # fmt: skip
    assert all('"kwargs":' in plan.nodes[0].args for plan in plans)


@pytest.mark.parametrize("work", [words, words_of])
def test_an_argument_that_a_start_keeps_for_itself_is_told_how_to_be_given(work: Any) -> None:
    given = {name: 0 for name in work.parameters.positional if name != "key"}
    with pytest.raises((PlanError, DefinitionError), match=r"not given key.*start it as \w+\.s\(key=\.\.\.\)"):
        to_plan(work, **given)
    with pytest.raises((PlanError, DefinitionError)) as caught:
        to_plan(work, 0, 0)  # key is given by position
    assert ".s(" not in str(caught.value)


@pytest.mark.parametrize("decorator", [task, workflow])
def test_a_method_is_refused_and_a_static_one_is_not(decorator: Any) -> None:
    class Shop:
        def method(self, x: int) -> int:
            return x

        def of_class(cls, x: int) -> int:  # noqa: N805 - as under @classmethod
            return x

        @wraps(method)
        def wrapped(*args: int, **kwargs: int) -> int:
            return 1

        def static(x: int) -> int:  # noqa: N805 - as under @staticmethod
            return x

    for fn in (Shop.method, Shop.of_class, Shop.wrapped):
        with pytest.raises(DefinitionError, match="a method, and a worker has no object"):
            decorator(name="test_task.method")(fn)
    assert decorator(name=f"test_task.static_{decorator.__name__}")(Shop.static).parameters.positional == ("x",)
