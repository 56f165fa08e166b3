"""The arguments and results of steps, as people look at them."""

from __future__ import annotations

from typing import Any

import pytest

from segue import Segue, chain, group, shell, task, workflow
from segue.payloads.files import FilePayloads


@task
def add(x: int, y: int = 1) -> int:
    return x + y


@task
def lines(count: int) -> list[str]:
    return ["a line of text"] * count


@task
def total(counts: list[Any], *, unit: str = "kg") -> dict[str, Any]:
    return {"total": len(counts), "unit": unit}


@task
def refuse(x: int) -> int:
    raise ValueError(f"not {x}")


@workflow
def flow(x: int) -> Any:
    first = add(x)
    return total([first, add(first, y=5)], unit="g")


@pytest.fixture
def segue(database_url: str) -> Any:
    with Segue(database_url) as found:
        yield found


def test_arguments_hold_the_results_of_other_steps(segue: Segue) -> None:
    run = segue.start(flow, 3)
    assert run.step(0).info().arguments == [[3], {}]
    waiting = run.step("total").info()
    assert (waiting.arguments, waiting.result) == ([[[None, None]], {"unit": "g"}], None)
    segue.run(flow, 3, key="k")
    done = segue.start(flow, 3, key="k")
    info = done.step("total").info()
    assert (info.arguments, info.result) == ([[[4, 9]], {"unit": "g"}], {"total": 2, "unit": "g"})


def test_a_failed_step_keeps_its_arguments(segue: Segue) -> None:
    with pytest.raises(Exception, match="not 8"):
        segue.run(chain(add.s(7), refuse.s()), key="k")
    info = segue.get(segue.runs()[0].id).step("refuse").info()
    assert (info.arguments, info.result) == ([[8], {}], None)


def test_a_join_has_a_result_and_a_command_its_values(segue: Segue) -> None:
    segue.run(group(add.s(1), add.s(2)), key="k")
    run = segue.get(segue.runs()[0].id)
    [join] = [step for step in run.steps() if step.is_join] or [None]
    if join is not None:
        assert (run.step(join.step).info().arguments, run.step(join.step).info().result) == (None, [2, 3])
    segue.run(shell("echo {word}", word="hello"))
    info = segue.get(segue.runs()[0].id).step(0).info()
    assert "hello" in str(info.arguments)


def test_a_payload_stays_a_reference_with_its_size(database_url: str, tmp_path: Any) -> None:
    with Segue(database_url, payloads=FilePayloads(tmp_path), payload_threshold=8192) as segue:
        segue.run(chain(lines.s(1000), total.s()))
        run = segue.get(segue.runs()[0].id)
        reference = run.step("lines").info().result
        assert list(reference) == ["$segue.payload"]
        assert reference["$segue.payload"][2] == 1000 * 17 + 1
        assert run.step("total").info().arguments == [[reference], {}]


def test_many_steps_are_read_without_their_values(segue: Segue) -> None:
    segue.run(flow, 3)
    assert {step.result for step in segue.get(segue.runs()[0].id).steps()} == {None}
