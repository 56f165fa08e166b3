"""What is started comes out as Dramatiq and dramatiq-workflow document it, and it is durable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dramatiq import Message, group, pipeline

import segue
from segue import task
from segue.errors import DefinitionError, RunFailedError
from segue.executors.dramatiq import Chain, Group, WithDelay, flow, step
from tests.executors.dramatiq.conftest import Project, wait_until

Make = Callable[[Project], Any]


def piped(project: Project, *messages: Message[Any]) -> pipeline:
    return pipeline(messages, broker=project.broker)


def grouped(project: Project, *children: Any) -> group:
    return group(children, broker=project.broker)


def add(project: Project, *values: int) -> Message[Any]:
    return project.message("add", *values)


def same(project: Project, *values: Any, **named: Any) -> Message[Any]:
    return project.message("same", *values, **named)


SHAPES: dict[str, tuple[Make, Any]] = {
    "message": (lambda p: add(p, 1, 2), 3),
    "chain": (lambda p: Chain(add(p, 1, 2), add(p, 3, 4)), 7),
    "chain of one": (lambda p: Chain(add(p, 1)), 1),
    "empty chain": (lambda p: Chain(), None),
    "group": (lambda p: Group(add(p, 1), add(p, 2)), [1, 2]),
    "group of one": (lambda p: Group(add(p, 1)), [1]),
    "empty group": (lambda p: Group(), []),
    "empty ones inside": (lambda p: Chain(Group(), add(p, 5), Chain(), Group(), Chain(add(p, 6))), 6),
    "nested": (
        lambda p: Chain(
            add(p, 1),
            Group(Chain(add(p, 2), add(p, 5)), Chain(add(p, 4), Group(add(p, 6)))),
        ),
        [5, [6]],
    ),
    "groups in a row": (lambda p: Chain(Group(*(add(p, n) for n in range(4))), Group(add(p, 9))), [9]),
    "delayed": (lambda p: Chain(WithDelay(WithDelay(add(p, 1), 20), 30), WithDelay(Group(), 10)), None),
    "pipeline": (lambda p: piped(p, add(p, 1, 2), add(p, 3), add(p, 4)), 10),
    "result last": (lambda p: piped(p, same(p, "a"), same(p, "b", c=1)), [["b", "a"], {"c": 1}]),
    "null is passed": (lambda p: piped(p, same(p, None), same(p, 1)), [[1, None], {}]),
    "pipe_ignore": (lambda p: piped(p, add(p, 1), p.with_options("add", 2, pipe_ignore=True)), 2),
    "pipe_ignore of the sender": (lambda p: piped(p, p.message("ignoring", 1), add(p, 2)), 2),
    "message with a pipe_target": (lambda p: piped(p, add(p, 1), add(p, 2)).messages[0], 3),
    "dramatiq group": (lambda p: grouped(p, add(p, 1), piped(p, add(p, 1), add(p, 2))), [1, 3]),
    "group in a group": (lambda p: grouped(p, grouped(p, add(p, 1)), add(p, 2)), [[1], 2]),
    "other queue": (lambda p: Chain(p.message("other_queue", 1), add(p, 2)), 2),
    "results passed": (
        lambda p: flow(Chain(add(p, 1), Group(add(p, 1), add(p, 2)), p.message("total")), pass_results=True),
        5,
    ),
    "unicode": (lambda p: piped(p, same(p, "ä€😀"), same(p)), "ä€😀"),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_a_composition_has_the_value_that_is_documented(inner: Project, name: str) -> None:
    make, expected = SHAPES[name]
    assert inner.result(make(inner)) == expected


@pytest.mark.parametrize("name", ["nested", "pipeline", "dramatiq group", "results passed", "delayed"])
def test_the_same_on_redis_and_a_process_of_its_own(project: Project, name: str) -> None:
    make, expected = SHAPES[name]
    assert project.result(make(project)) == expected


def test_eight_tasks_run_in_the_order_of_the_drawing(inner: Project, tmp_path: Path) -> None:
    def number(n: int) -> Message[Any]:
        return inner.message("note", str(tmp_path / "order"), str(n))

    work = Chain(
        number(1),
        Group(Chain(number(2), number(5)), number(3), Chain(number(4), Group(number(6), number(7)))),
        number(8),
    )
    assert inner.ended(work).status == "succeeded"
    order = [int(line) for line in (tmp_path / "order").read_text().splitlines()]
    assert sorted(order) == list(range(1, 9))
    for first, then in [(1, 2), (1, 3), (1, 4), (2, 5), (4, 6), (4, 7), (5, 8), (3, 8), (6, 8), (7, 8)]:
        assert order.index(first) < order.index(then)


def test_completion_callbacks_follow_a_group_with_their_own_arguments(inner: Project, tmp_path: Path) -> None:
    outer = grouped(inner, grouped(inner, inner.message("add", 1)), inner.message("add", 2))
    outer.add_completion_callback(inner.message("note", str(tmp_path / "done"), "called"))
    assert inner.ended(outer).status == "succeeded"
    assert (tmp_path / "done").read_text() == "called\n"


def test_after_a_failure_nothing_follows_and_the_run_says_why(inner: Project, tmp_path: Path) -> None:
    path = str(tmp_path / "after")
    run = inner.ended(
        Chain(Group(inner.message("fail"), inner.message("add", 1)), inner.message("note", path, "never"))
    )
    assert run.status == "failed"
    with pytest.raises(RunFailedError, match="broken"):
        run.result()
    assert not Path(path).exists()


def test_hooks_get_how_the_run_ended_as_their_last_argument(inner: Project, tmp_path: Path) -> None:
    path = str(tmp_path / "hooks")
    work = flow(
        Chain(inner.message("fail"), inner.message("add", 1)), name="import",
        on_failure=inner.message("same"), finally_=inner.with_options("note", path, "finally", pipe_ignore=True),
        on_success=inner.message("note", path, "success"),
    )  # fmt: skip
    run = inner.ended(work)
    assert run.status == "failed"
    assert (tmp_path / "hooks").read_text() == "finally\n"
    by_name = {each.name: each for each in run.steps()}
    assert by_name["same"].status == "succeeded"
    assert run.info().workflow == "import"


def test_join_rules_are_options_of_steps(inner: Project, tmp_path: Path) -> None:
    path = str(tmp_path / "cleaned")
    work = Chain(
        Group(inner.message("fail"), inner.message("add", 1)), step(inner.message("note", path, "x"), rule="all_done")
    )
    assert inner.ended(work).status == "failed"
    assert Path(path).read_text() == "x\n"


@task
def double(value: int) -> int:
    return 2 * value


def test_own_steps_and_messages_are_in_one_plan(inner: Project) -> None:
    work = segue.chain(step(inner.message("add", 1, 2)), double.s(), inner.message("add", 10), double.s())
    assert inner.segue.run(work) == 32


def test_what_an_actor_returns_with_chain_replaces_it(inner: Project) -> None:
    assert inner.result(inner.message("returns_a_chain", 5)) == [6, 7]


def test_what_an_actor_has_sent_already_is_not_run_again(inner: Project, tmp_path: Path) -> None:
    path = tmp_path / "sent"
    assert inner.result(inner.message("sends_on", str(path))) is None
    wait_until(path.exists)
    inner.broker.join("default", fail_fast=False)  # type: ignore[attr-defined]
    assert path.read_text() == "sent\n"


@pytest.mark.parametrize("option", ["retries", "timeout", "queue"])
def test_options_that_dramatiq_has_are_refused_by_name(inner: Project, option: str) -> None:
    with pytest.raises(DefinitionError, match=f"{option}= has no effect"):
        step(inner.message("add", 1), **{option: 1})  # type: ignore[arg-type]


def test_results_of_dramatiq_are_stored_under_the_ids_that_the_caller_has(inner: Project) -> None:
    pipe = piped(inner, inner.message("stored", 41), inner.message("stored"))
    assert inner.ended(pipe).result() == 41
    assert list(pipe.get_results()) == [41, 41]
