"""Mistakes of people who know other systems, or Python better than Segue: what the error tells them to write."""

from __future__ import annotations

import re
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

import segue
from segue import Segue, chain, checkpoint, group, shell, task, workflow
from segue.authoring.elsewhere import MODULE, OPTIONS
from segue.authoring.options import StepOptions, TaskOptions
from segue.authoring.planning import to_plan
from segue.authoring.workflow import WorkflowOptions
from segue.client.run import Run
from segue.config import _requirement, install_command
from segue.errors import DefinitionError, PlanError
from segue.plan.check import OPTION_WORDS, TAKEN_BY_START

pytestmark = pytest.mark.unit


@task
def add(a: int, b: int = 1) -> int:
    return a + b


@workflow
def flow(n: int) -> int:
    return add(n)


@workflow
def useless() -> None:
    add.s(1)


def plain(a: int) -> int:
    return a


def in_a_workflow(body: Callable[[], Any]) -> Callable[[], Any]:
    def traced() -> Any:
        return body()

    def start() -> Any:
        return to_plan(workflow(name="mistake")(traced))

    return start


SEGUE = Segue("sqlite:////nowhere/at/all.db")  # connects at the first use only
RUN = Run(SEGUE.engine, "01a22f1b-edbe-7191-bc8d-d20539b8cb54")

MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "task.delay": (lambda: add.delay(1), "no attribute 'delay'; to start it, write segue.start(add, ...)"),
    "task.apply_async": (lambda: add.apply_async((1,)), "segue.start(add, ...)"),
    "task.submit": (lambda: add.submit(1), "segue.start(add, ...)"),
    "task.send": (lambda: add.send(1), "segue.start(add, ...)"),
    "task.with_options": (lambda: add.with_options(retries=1), "add.options("),
    "task.expand": (lambda: add.expand(a=[1]), "add.map(items)"),
    "task.unknown": (lambda: add.colour, "'Task' object has no attribute 'colour'"),
    "signature.delay": (lambda: add.s(1).delay(), "segue.start(add.s(1), ...)"),
    "signature.set": (lambda: add.s(1).set(queue="x"), "add.s(1).options("),
    "chain.apply_async": (lambda: chain(add.s(1)).apply_async(), "segue.start(chain(add.s(1)), ...)"),
    "workflow.delay": (lambda: flow.delay(1), "segue.start(flow, ...)"),
    "workflow.map": (lambda: flow.map([1]), "segue.start_many(flow, "),
    "workflow.options": (lambda: flow.options(queue="x"), "@workflow(queue="),
    "run.get": (lambda: RUN.get(), "run.wait(timeout=60).result()"),
    "run.state": (lambda: RUN.state, "run.status"),
    "run.revoke": (lambda: RUN.revoke(), "run.cancel()"),
    "segue.enqueue": (lambda: SEGUE.enqueue(add, 1), "segue.start(task, ...)"),
    "segue.cancel": (lambda: SEGUE.cancel("x"), "segue.get(run_id).cancel(...)"),
    "segue.task": (lambda: SEGUE.task(plain), "from segue import task"),
    "module chord": (lambda: segue.chord, "chain(group(...), callback.s())"),
    "module flow": (lambda: segue.flow, "did you mean segue.workflow?"),
    "module typo": (lambda: segue.worfklow, "did you mean segue.workflow?"),
    "import of a typo": (lambda: exec("from segue import worfklow"), "did you mean segue.workflow?"),
    "import of flow": (lambda: exec("from segue import task, flow"), "did you mean segue.workflow?"),
    "option of Celery": (lambda: task(max_retries=3)(plain), "unknown option max_retries (did you mean retries?)"),
    "option bind": (lambda: task(bind=True)(plain), "segue.current()"),
    "typo of an option": (lambda: add.options(quee="x"), "unknown option quee (did you mean queue?)"),
    "option of Airflow": (lambda: add.options(trigger_rule="all_done"), "did you mean rule?"),
    "option of a workflow": (lambda: workflow(on_failure_callback=add)(plain), "did you mean on_failure?"),
    "forgotten @task": (lambda: to_plan(plain), "plain, which is no task; put @task above its def"),
    "forgotten @task, arguments": (lambda: to_plan(plain, 1), "plain, which is no task; put @task above its def"),
    "forgotten @task in a chain": (lambda: chain(plain, add.s()), "plain, which is no task; put @task above its def"),
    "called in place": (lambda: to_plan(add(1)), "write segue.start(task, 1) and not task(1)"),
    "called in a chain": (lambda: chain(add(1), add.s()), "write chain(task.s(1), ...) and not task(1)"),
    "name of a task": (lambda: to_plan("shop.add", 1), "import the function and give it itself"),
    "option for start": (lambda: to_plan(add, 1, queue="x"), "give options to the task: add.options(queue=...)"),
    "text for a number": (lambda: to_plan(flow, "1"), "argument n: '1' (str) does not fit its annotation"),
    "call of a misfit": (lambda: to_plan(add, "1"), "Call it as add(a: int, b: int = 1)"),
    "if": (in_a_workflow(lambda: add(1) if add(1) else 2), "<future result of add> was used as if it were known"),
    "result.options": (in_a_workflow(lambda: add(1).options(queue="x")), "before its call: add.options(...)(...)"),
    "result.get": (in_a_workflow(lambda: add(1).get()), "pass the result itself to the task that takes it"),
    "list of signatures": (in_a_workflow(lambda: [add.s(1)]), "in a workflow call it, as in task(...)"),
    "task as a value": (in_a_workflow(lambda: add), "in a workflow call it"),
    "set of results": (in_a_workflow(lambda: {add(1)}), "in a list, tuple or dict"),
    "shell without a value": (in_a_workflow(lambda: shell("echo {who}")), "no value for {who}"),
    "shell that begins": (lambda: to_plan(chain(shell.s("echo {}"), add.s())), "no value for {}"),
    "name for @task": (lambda: task("load"), "@task(name='load')"),
    "shell.options": (lambda: shell.options(queue="x"), "as in shell(..., queue=..., after=...)"),
    "order of Airflow": (in_a_workflow(lambda: add(1) >> add(2)), "second.options(after=first_result)(...)"),
    "order of tasks": (lambda: add >> add, "write chain(first, second)"),
    "order of lists": (lambda: [add.s(1)] >> add.s(2), "write chain(first, second)"),
    "map without a list": (in_a_workflow(lambda: add.map()), "write add.map(items)"),
    "map of two lists": (lambda: add.map([1], [2]), "add.starmap(zip(...))"),
    "signature without effect": (in_a_workflow(lambda: add.s(1) and None), "add.s(...) only describes one"),
    "sub-workflow without effect": (in_a_workflow(lambda: useless() or add(1)), "the workflow useless adds no step"),
    "checkpoint as a decorator": (lambda: checkpoint(plain), "checkpoint('plain', plain, ...)"),
    "checkpoint without a function": (lambda: checkpoint("load"), "checkpoint('load') was given no function"),
    "a run as a value": (in_a_workflow(lambda: RUN), "return run.id"),
    "classmethod": (lambda: task(classmethod(plain)), "a method, and a worker has no object to call it on"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_error_says_what_to_write_instead(mistake: str) -> None:
    do, said = MISTAKES[mistake]
    with pytest.raises((AttributeError, DefinitionError, ImportError, PlanError, TypeError), match=re.escape(said)):
        do()


def test_a_name_that_the_module_lacks_can_be_asked_for() -> None:
    assert not hasattr(segue, "worfklow")
    assert getattr(segue, "__wrapped__", None) is None


def test_errors_inside_a_workflow_name_the_line_once() -> None:
    @workflow(name="inner_mistake")
    def inner() -> int:
        return 1 + add(1)

    @workflow(name="outer_mistake")
    def outer() -> int:
        return inner()

    with pytest.raises(DefinitionError) as caught:
        to_plan(outer)
    line = inner.fn.__code__.co_firstlineno + 2
    assert re.findall(r"\(\S+, line \d+\)", str(caught.value)) == [
        f"({Path(__file__).relative_to(Path.cwd())}, line {line})"
    ]


def test_a_chain_takes_its_elements_one_by_one_or_as_a_list() -> None:
    assert to_plan(chain([add.s(1), add.s()])) == to_plan(chain(add.s(1), add.s()))
    assert to_plan(group([add.s(1)])) == to_plan(group(add.s(1)))


@pytest.mark.parametrize("work", [add.s(2), chain(add.s(1), add.s()), group(add.s(1), add.s(2))])
def test_a_workflow_may_return_a_signature_a_chain_or_a_group(work: Any) -> None:
    def called() -> Any:
        return work()

    def returned() -> Any:
        return work

    plans = [workflow(name="same")(each).plan() for each in (called, returned)]
    assert plans[0] == plans[1]


def test_two_definitions_of_one_name_in_one_place_are_refused_and_a_new_one_later_is_not() -> None:
    def define() -> None:
        @task(name="twice.defined")
        def one(a: int) -> None: ...

    def clash() -> None:
        @task(name="twice.clash")
        def one(a: int) -> None: ...

        @task(name="twice.clash")
        def two(a: int) -> None: ...

    define()
    define()
    with pytest.raises(DefinitionError, match=r"two \(line \d+\), but .*one \(line \d+\) already has it"):
        clash()
    text = "from segue import task\n@task\ndef load(): ...\n"
    exec(text, {"__name__": "twice_module"})
    exec(text, {"__name__": "twice_module"})  # a reload
    with pytest.raises(DefinitionError, match="already has it"):
        exec(text + "@task\ndef load(day): ...\n", {"__name__": "twice_module_2"})


def test_the_words_are_words_of_segue() -> None:
    options = {*TaskOptions.__annotations__, *StepOptions.__annotations__, *WorkflowOptions.__annotations__}
    assert set(OPTIONS.values()) <= options
    assert not OPTIONS.keys() & options
    assert set(MODULE.values()) <= set(segue.__all__)
    assert set(StepOptions.__annotations__) == OPTION_WORDS | {"metadata"}, "metadata is one of start's own"
    taken = [each.name for each in signature(Segue.start).parameters.values() if each.kind is each.KEYWORD_ONLY]
    assert set(TAKEN_BY_START) == set(taken)


@pytest.mark.parametrize(
    "origin, wanted",
    [
        ({"url": "file:///home/ann/my%20segue", "dir_info": {"editable": True}}, "-e '/home/ann/my segue[aws]'"),
        ({"url": "file:///home/ann/segue", "dir_info": {}}, "'/home/ann/segue[aws]'"),
        ({}, "'segue[aws]'"),
    ],
)
def test_a_missing_extra_is_installed_from_where_segue_came(origin: dict[str, Any], wanted: str) -> None:
    assert _requirement("aws", origin) == wanted
    assert install_command("aws").startswith("python -m pip install ")
