"""The options of steps that run at an executor which is polled."""

from __future__ import annotations

from typing import Any

import pytest

from segue import Resources, chain, container, group, shell, sleep, task, workflow
from segue.authoring import to_plan
from segue.dispatcher.registry import executors
from segue.errors import DefinitionError, PlanError
from segue.plan.graph import Node, Plan
from segue.plan.pushed import PushSpec, decode_spec, size_of
from segue.testing import ScriptedPlatform

pytestmark = pytest.mark.usefixtures("no_other_executors")


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


@pytest.mark.parametrize(
    "given, size", [("8GiB", 8 * 2**30), ("500MB", 500 * 10**6), (" 1.5 g ", 1_500_000_000), (2**20, 2**20)]
)
def test_sizes(given: Any, size: int) -> None:
    assert size_of("memory", given) == size


@pytest.mark.parametrize(
    "wrong",
    [
        {"memory": "lots"}, {"memory": "8"}, {"memory": True}, {"cpu": 0}, {"cpu": 1.5}, {"gpu": -1}, {"gpu": None},
        {"memory_factor": 2}, {"memory": "1GiB", "memory_factor": 0.5}, {"memory": "2GiB", "memory_max": "1GiB"},
        {"gpu_type": "a100"}, {"gpu": 1, "gpu_type": "a 100"}, {"tmp": "1 parsec"},
    ],
)  # fmt: skip
def test_resources_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError):
        Resources(**wrong)


@pytest.fixture
def registered(no_other_executors: None) -> None:
    """An executor whose processes have files instead of the database."""
    executors["hpc"] = ScriptedPlatform("hpc")


@pytest.mark.usefixtures("registered")
def test_what_executors_cannot_do_is_a_problem_of_the_plan() -> None:
    both = task(name="pushed.both", executor="hpc", transactional=True)(write)
    for work, problem in (
        (container.s("blast:2", ["blastp"]), "it is a container, which needs an executor"),
        (own.options(executor="hcp").s(1), "no executor 'hcp'.*there are hpc"),
        (both.s(), "transactional.*'hpc'"),
        (Plan("waits", (Node("w", "segue.sleep", queue="@hpc", executor="hpc"),)), "Segue's own"),
    ):
        with pytest.raises(PlanError, match=problem):
            to_plan(work)
    assert nodes(own.options(executor="hpc").s(1))[0].executor == "hpc"


def test_a_workflow_has_a_default_executor_for_what_can_be_pushed() -> None:
    @workflow(name="pushed.inner")
    def inner() -> Any:
        return own(1)

    @workflow(name="pushed.default", executor="hpc")
    def flow() -> Any:
        sleep(1)
        container("blast:2", ["blastp"], executor="k8s")
        shell("true")
        inner()
        own.options(queue="here")(1)
        return own.map(own.map([1]))

    found = {node.name: (node.executor, node.queue) for node in nodes(flow.s())}
    assert found["container"] == ("k8s", "@k8s")
    assert [found[name] for name in ("shell", "default", "inner/own", "own[1]") if name in found] == [
        ("hpc", "@hpc")
    ] * 3
    assert (found["sleep"][0], found["own[0]"], found["own.map"][0]) == (None, (None, "here"), None)
    [fan] = [node for node in nodes(flow.s()) if node.task == "segue.map"]
    assert '"executor":"hpc"' in fan.args


def test_a_container_in_a_chain_gets_the_previous_result() -> None:
    made = chain(own.s(1), container.s("blast:2", ["blastp", "{}"], executor="hpc", env={"A": 1}, result=None))
    [_, second] = nodes(made)
    assert second.holes
    assert '"result":"nothing"' in second.args
    assert not nodes(chain(own.s(1), container.s("blast:2", ["blastp"], executor="hpc")))[1].holes


@pytest.mark.parametrize(
    "wrong",
    [
        {"image": ""}, {"image": 7}, {"command": []}, {"command": ["a", 1]}, {"command": " "}, {"command": "a '{x}'"},
        {"command": ["a", "{x"]}, {"result": "yaml"}, {"result": True}, {"env": {"A-B": "1"}}, {"env": "A=1"},
        {"env": {"A": ["1"]}}, {"secrets": {"TOKEN": ""}}, {"secrets": {"TOKEN": 7}}, {"check": "no"},
        {"tail_bytes": 0}, {"tail_bytes": 10**6}, {"cwd": 7}, {"x": "a\0b"}, {"executor": "Hpc"},
    ],
)  # fmt: skip
def test_containers_that_make_no_sense(wrong: dict[str, Any]) -> None:
    told = {"image": "blast:2", "command": ["a", "{x}"], "x": "1", "executor": "hpc"} | wrong
    with pytest.raises(DefinitionError):
        container.s(told.pop("image"), told.pop("command"), **told)


def test_a_value_that_cannot_be_a_secret_is_not_shown() -> None:
    with pytest.raises(DefinitionError) as caught:
        container.s("blast:2", ["a"], executor="hpc", secrets={"TOKEN": ["geheim"]})
    assert "geheim" not in str(caught.value)
