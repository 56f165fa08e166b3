"""The options of steps that run at an executor which is polled."""

from __future__ import annotations

from typing import Any

import pytest

from segue import Resources, chain, group, shell, task, workflow
from segue.authoring import to_plan
from segue.errors import DefinitionError
from segue.plan.graph import Node
from segue.plan.pushed import PushSpec, decode_spec, size_of


@task(name="pushed.fold", executor="hpc", resources=Resources(cpu=2, memory="1GiB"), push={"partition": "short"})
def fold(x: int = 0) -> int:
    return x


@task(name="pushed.own")
def own(x: int = 0) -> int:
    return x


def write(connection: Any) -> None: ...


def nodes(work: Any) -> list[Node]:
    return [node for node in to_plan(work).nodes if node.task is not None]


def test_a_pushed_step_waits_on_a_queue_of_its_own() -> None:
    [node] = nodes(fold.s(1))
    assert (node.executor, node.queue) == ("hpc", "@hpc")
    assert decode_spec(node.spec) == PushSpec(Resources(cpu=2, memory="1GiB"), {"partition": "short"})


def test_options_of_a_step_are_added_to_those_of_its_task() -> None:
    [node] = nodes(fold.options(resources=Resources(memory="2GiB"), push={"qos": "high"}).s(1))
    assert decode_spec(node.spec) == PushSpec(Resources(memory="2GiB"), {"partition": "short", "qos": "high"})
    [back] = nodes(fold.options(executor=None).s(1))
    assert (back.executor, back.queue, back.spec) == (None, "default", None)


def test_own_and_pushed_steps_mix() -> None:
    @workflow(name="pushed.flow", queue="mine")
    def flow() -> Any:
        return own(fold(own(1)))

    assert [(node.executor, node.queue) for node in nodes(flow.s())] == [
        (None, "mine"), ("hpc", "@hpc"), (None, "mine"),
    ]  # fmt: skip
    found = nodes(chain(fold.s(1), group(own.s(), shell.s("true", executor="hpc"))))
    assert [node.executor for node in found] == ["hpc", None, "hpc"]


def test_the_step_that_fans_out_is_not_pushed() -> None:
    [first, fan] = nodes(chain(own.s(1), fold.map()))
    assert (first.executor, fan.executor) == (None, None)
    assert '"executor":"hpc"' in fan.args


@pytest.mark.parametrize("name", ["", "Hpc", "a b", "@hpc", 7, "celery", "local"])
def test_names_that_are_no_executors(name: Any) -> None:
    with pytest.raises(DefinitionError, match="executor="):
        own.options(executor=name)


def test_what_cannot_be_together() -> None:
    with pytest.raises(DefinitionError, match="queue of its own"):
        fold.options(queue="fast")
    with pytest.raises(DefinitionError, match="transactional"):
        task(name="pushed.both", executor="hpc", transactional=True)(write)


@pytest.mark.parametrize(
    "given, size", [("8GiB", 8 * 2**30), ("500MB", 500 * 10**6), (" 1.5 g ", 1_500_000_000), (2**20, 2**20)]
)
def test_sizes(given: Any, size: int) -> None:
    assert size_of("memory", given) == size


@pytest.mark.parametrize(
    "wrong",
    [
        {"memory": "lots"}, {"memory": "8"}, {"memory": True}, {"cpu": 0}, {"cpu": 1.5}, {"gpu": -1}, {"gpu": None},
        {"gpu_type": "a100"}, {"gpu": 1, "gpu_type": "a 100"}, {"tmp": "1 parsec"},
    ],
)  # fmt: skip
def test_resources_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError):
        Resources(**wrong)
