"""Fan-outs of which a part fails: what the next step gets, and how the run ends, in each way of writing them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segue import Outcome, Segue, Skip, chain, task, workflow
from segue.errors import DefinitionError
from segue.model import RunStatus, StepStatus
from segue.payloads import FilePayloads
from segue.worker.inline import work_run


@task
def numbers(n: int) -> list[int]:
    return list(range(n))


@task
def odd(x: int) -> int:
    if x == 1:
        raise ValueError("one is wrong")
    if x == 3:
        raise Skip("three is nothing")
    return x


@task(may_fail=True)
def gentle(x: int) -> int:
    return odd.fn(x)


@task
def divide(x: int, by: int) -> int:
    return x // by


@task
def nested(x: int) -> Any:
    return chain(odd.s(x), odd.s())


collected: list[list[int | None]] = []


@task
def collect(found: list[int | None]) -> list[int | None]:
    collected.append(found)
    return found


@task
def outcomes(found: list[Outcome[int]]) -> list[Any]:
    return [
        [each.step, each.status, each.value, each.error and [each.error.type, each.error.message]] for each in found
    ]


@task
def lengths(found: list[Outcome[str]]) -> list[int]:
    return [len(each.value) if each.ok and each.value else -1 for each in found]


@task
def long_text(n: int) -> str:
    return "x" * (10_000 // n)


def flow(body: Callable[[], Any]) -> Any:
    def traced() -> Any:
        return body()

    return workflow(name="partial")(traced)


TOLERANT: dict[str, Any] = {
    "the task, a known list": flow(lambda: collect(gentle.map([0, 1, 2, 3]))),
    "the task, a future list": flow(lambda: collect(gentle.map(numbers(4)))),
    "its options, a known list": flow(lambda: collect(odd.options(may_fail=True).map([0, 1, 2, 3]))),
    "its options, a future list": flow(lambda: collect(odd.options(may_fail=True).map(numbers(4)))),
    "the map's options": chain(odd.map([0, 1, 2, 3]).options(may_fail=True), collect.s()),
    "the map's options, in a chain": chain(numbers.s(4), odd.map().options(may_fail=True), collect.s()),
    "with a rule": flow(lambda: collect.options(rule="all_done")(gentle.map([0, 1, 2, 3]))),
    "the result itself": flow(lambda: gentle.map([0, 1, 2, 3])),
}


@pytest.mark.parametrize("spelling", TOLERANT)
def test_members_that_may_fail_leave_none_in_the_list_and_the_run_succeeds(segue: Segue, spelling: str) -> None:
    assert segue.run(TOLERANT[spelling]) == [0, None, 2, None]


def test_a_batch_that_may_fail_leaves_none_for_each_of_its_items(segue: Segue) -> None:
    assert segue.run(chain(gentle.map([0, 1, 2, 4, 5], batch=2), collect.s())) == [None, None, 2, 4, 5]
    assert segue.run(chain(numbers.s(3), gentle.map(batch=2), collect.s())) == [None, None, 2]


@pytest.mark.parametrize("items", ["known", "future"])
def test_a_rule_lets_the_next_step_see_the_list_though_the_run_fails(segue: Segue, items: str) -> None:
    collected.clear()
    wanted = flow(lambda: collect.options(rule="all_done")(odd.map(numbers(3) if items == "future" else [0, 1, 2])))
    run = segue.start(wanted)
    work_run(segue.engine, run.id)
    assert run.status is RunStatus.FAILED
    assert collected == [[0, None, 2]]


ENDED = [
    ["odd[0]", "succeeded", 0, None],
    ["odd[1]", "failed", None, ["ValueError", "one is wrong"]],
    ["odd[2]", "succeeded", 2, None],
    ["odd[3]", "skipped", None, None],
]


@pytest.mark.parametrize(
    "work",
    [
        flow(lambda: outcomes(odd.map([0, 1, 2, 3], errors=True))),
        flow(lambda: outcomes(odd.map(numbers(4), errors=True))),
        chain(odd.map([0, 1, 2, 3], errors=True), outcomes.s()),
        chain(numbers.s(4), odd.map(errors=True), outcomes.s()),
    ],
    ids=["known list", "future list", "chain, known list", "chain, future list"],
)
def test_with_errors_the_next_step_sees_how_each_ended(segue: Segue, work: Any) -> None:
    assert segue.run(work) == ENDED


def test_with_errors_other_kinds_of_members_work_too(segue: Segue) -> None:
    assert segue.run(chain(divide.starmap([[4, 2], [1, 0]], errors=True), outcomes.s())) == [
        ["divide[0]", "succeeded", 2, None],
        ["divide[1]", "failed", None, ["ZeroDivisionError", "integer division or modulo by zero"]],
    ]
    assert segue.run(chain(nested.map([2, 1], errors=True), outcomes.s())) == [
        ["nested[0]", "succeeded", 2, None],
        ["nested[1]", "failed", None, ["ValueError", "in odd[0]: one is wrong"]],
    ]
    assert segue.run(chain(odd.map([1], errors=True), outcomes.s()))[0][1] == "failed"
    assert segue.run(flow(lambda: outcomes(odd.map(numbers(0), errors=True)))) == []


def test_a_member_that_is_retried_by_hand_is_seen_anew(segue: Segue) -> None:
    run = segue.start(chain(odd.map([0, 1], errors=True), outcomes.s()))
    work_run(segue.engine, run.id)
    run.step("odd[1]").edit(2)
    run.retry("odd[1]")
    work_run(segue.engine, run.id)
    assert [each[2] for each in run.wait(10).result()] == [0, 2]


def test_long_values_of_outcomes_go_through_a_payload_store(database_url: str, tmp_path: Path) -> None:
    segue = Segue(database_url, payloads=FilePayloads(tmp_path / "payloads"), payload_threshold=8192)
    assert segue.run(chain(long_text.map([1, 0, 500], errors=True), lengths.s())) == [10_000, -1, 20]


def test_workers_of_older_versions_do_not_take_steps_that_they_cannot_work(segue: Segue) -> None:
    run = segue.start(flow(lambda: outcomes(odd.map(numbers(1), errors=True))))
    work_run(segue.engine, run.id)
    assert {"segue.map_outcomes", "segue.outcomes"} < {step.task for step in run.steps()}
    assert all(step.status is StepStatus.SUCCEEDED for step in run.steps())


def test_errors_needs_a_step_for_each_item() -> None:
    with pytest.raises(DefinitionError, match="errors=True needs a step for each item"):
        odd.map([1], errors=True, batch=2)
    with pytest.raises(DefinitionError, match="errors=1 is not a boolean"):
        odd.map([1], errors=1)
