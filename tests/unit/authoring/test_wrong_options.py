"""What is written in code, given values that make no sense: it works, or an error of Segue's says what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import segue
from segue import (
    Limit,
    Retry,
    Schedule,
    chain,
    checkpoint,
    container,
    group,
    notify,
    shell,
    sleep,
    task,
    wait_for,
    webhook,
    workflow,
)
from segue.authoring import declared, to_plan
from segue.authoring.options import PolicyOptions, StepOptions, TaskOptions
from segue.authoring.workflow import WorkflowOptions
from segue.errors import DefinitionError
from segue.plan.graph import Plan
from segue.plan.pushed import Resources
from tests.contract.hostile import VALUES, called, outcome, spoilt

pytestmark = pytest.mark.usefixtures("no_other_executors")

STEP = {
    "name": "n", "queue": "q", "priority": 5, "delay": 1, "run_at": datetime(2030, 1, 1, tzinfo=UTC),
    "rule": "all_done", "when": True, "after": [], "metadata": {"a": 1}, "sla_start": 5, "sla_end": 9,
    "limits": [Limit("api")], "cost": 1, "retries": 1, "retry_delay": 1, "retry_factor": 2, "retry_max_delay": 60,
    "retry_jitter": 0.5, "timeout": 5, "lost_retries": 1, "may_fail": False, "schedule_to_start": 5,
    "executor": None, "resources": Resources(cpu=1), "push": {"partition": "short"},
}  # fmt: skip
OF_TASKS = {
    "retry_on": OSError, "give_up_on": (KeyError,), "transactional": False, "schedule": "@daily", "timezone": "UTC",
    "concurrency": 1, "rate": "1/s", "burst": 1, "fair_by": "x", "fair_weights": {"a": 1.0}, "title": "T",
    "description": "What it does",
}  # fmt: skip
OF_STEPS = ("run_at", "rule", "when", "after", "sla_start", "sla_end")
OF_WORKFLOWS = {
    "name": "w", "schedule": "@daily", "timezone": "UTC", "on_success": None, "on_failure": None, "finally_": None,
    "fail_fast": False, "queue": "q", "priority": 5, "tags": ["t"], "deadline": 60, "sla_start": 5, "sla_end": 9,
    "executor": None, "concurrency": 1, "concurrency_key": "x", "fair_by": "x", "fair_weights": {"a": 1.0},
    "title": "T", "description": "What it does",
}  # fmt: skip


def body(x: Any = None) -> Any:
    return x


@task(name="wrong_options.one")
def one(x: Any = None) -> Any:
    return x


def plan_of(work: Any) -> Plan:
    return to_plan(work)


def define_task(**options: Any) -> Any:
    defined = task(**{"name": "wrong_options.task", **options})(body)
    return plan_of(defined.s(1))


def define_workflow(**options: Any) -> Any:
    defined = workflow(**{"name": "wrong_options.workflow", **options})(lambda_free)
    return plan_of(defined)


def lambda_free(x: int = 1) -> Any:
    return one(x)


CALLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "task": (define_task, {**{k: v for k, v in STEP.items() if k not in OF_STEPS}, **OF_TASKS}),
    "task.options": (lambda **options: plan_of(one.options(**options).s(1)), STEP),
    "signature.options": (lambda **options: plan_of(one.s(1).options(**options)), STEP),
    "workflow": (define_workflow, OF_WORKFLOWS),
    "task.map": (lambda **given: plan_of(called(one.map, given)), {"xs": [1], "batch": 2}),
    "task.starmap": (lambda **given: plan_of(called(one.starmap, given)), {"xs": [[1]], "batch": 2}),
    "chain": (lambda first, second: plan_of(chain(first, second)), {"first": one.s(1), "second": one.s()}),
    "group": (lambda first, second: plan_of(group(first, second)), {"first": one.s(1), "second": one.s(2)}),
    "group of a list": (lambda members: plan_of(group(members)), {"members": [one.s(1)]}),
    "argument": (lambda value: plan_of(one.s(value)), {"value": 1}),
    "sleep": (lambda **given: plan_of(called(sleep, given)), {"seconds": 5}),
    "sleep until": (lambda **given: plan_of(sleep(**given)), {"until": datetime(2030, 1, 1, tzinfo=UTC)}),
    "wait_for": (lambda **given: plan_of(called(wait_for, given)), {"name": "n", "timeout": 5, "default": 1}),
    "checkpoint": (lambda name: checkpoint(name, body, 1), {"name": "n"}),
    "shell": (lambda **given: plan_of(called(shell.s, given)), {"command": "true"}),
    "container": (
        lambda image, command, **given: plan_of(container.s(image, command, **given)),
        {"image": "blast:2", "command": ["true"], "executor": "hpc", "env": {"A": "1"}, "secrets": {"B": "b"},
         "result": "json", "check": True, "tail_bytes": 9, "cwd": "/"},
    ),
    "webhook": (lambda **given: plan_of(called(webhook.s, given)), {"url": "https://example.org/"}),
    "notify": (lambda **given: plan_of(called(notify.s, given)), {"url": "json://localhost"}),
    "Limit": (Limit, {"name": "n", "concurrency": 1, "rate": "1/s", "burst": 1, "key": "k", "cost": 1}),
    "Schedule": (
        Schedule,
        {
            "expression": "@daily", "timezone": "UTC", "starts_at": datetime(2026, 1, 1, tzinfo=UTC),
            "ends_at": datetime(2030, 1, 1, tzinfo=UTC), "jitter": timedelta(seconds=5), "overlap": "skip",
            "catch_up": "all", "catch_up_window": 60,
        },
    ),
    "Resources": (Resources, {"cpu": 1, "memory": "8GiB", "gpu": 1, "gpu_type": "a100", "tmp": 2**30}),
    "on": (lambda kind: segue.on(kind), {"kind": "run.failed"}),
    "add_middleware": (lambda middleware: segue.add_middleware(middleware), {"middleware": segue.Middleware()}),
    "on a function": (lambda function: segue.on("run.failed")(function), {"function": body}),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_options_that_make_no_sense_are_refused(name: str) -> None:
    call, good = CALLS[name]
    came = outcome(lambda: call(**good))
    assert came == "works" or name == "task", came
    wrong = []
    for said, arguments in spoilt(good):
        if said.startswith("when=") and "nested" in said:
            continue  # a condition may hold handles at any depth, so it is walked when it is laid out
        # One at a time, because some options exclude each other.
        changed = next(key for key in good if arguments[key] is not good[key] or said.startswith(f"{key}="))
        alone = arguments if name not in ("task", "workflow") else {changed: arguments[changed]}
        if name == "task" and changed in ("burst", "timezone", "fair_weights"):
            alone = {"rate": "1/s", "schedule": "@daily", "fair_by": "x", **alone}
        came = outcome(lambda alone=alone: call(**alone))  # type: ignore[misc]
        if came.startswith("BAD"):
            wrong.append(f"{name}.x({said}): {came}")
    assert not wrong, "\n".join(wrong)


def test_every_option_is_tried() -> None:
    tried = {*CALLS["task"][1], *CALLS["task.options"][1]}
    assert {*TaskOptions.__annotations__, *StepOptions.__annotations__, *PolicyOptions.__annotations__} <= tried
    assert WorkflowOptions.__annotations__.keys() <= CALLS["workflow"][1].keys()


def test_every_public_name_is_tried_or_takes_nothing() -> None:
    """A new public function belongs into `CALLS`, or into the contract test of what touches the database."""
    elsewhere = {
        "Abort", "AsyncRun", "AsyncSegue", "Context", "Debounce", "Ended", "Event", "Handle", "Middleware", "Outcome",
        "Retry", "Run", "RunOutcome", "Secret", "Segue", "Signature", "Skip", "StepHandle", "Task", "Workflow",
        "__version__", "current", "errors", "progress",
    }  # fmt: skip
    assert set(segue.__all__) - elsewhere <= {name.partition(" ")[0].partition(".")[0] for name in CALLS}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_reason_may_be_anything(value: Any) -> None:
    assert not outcome(lambda: Retry(value)).startswith("BAD")


@pytest.mark.parametrize("bad", ["a\0b", "half \ud800"])
@pytest.mark.parametrize("decorator", [task, workflow])
def test_a_name_that_no_database_holds_is_refused_where_it_is_written(decorator: Any, bad: str) -> None:
    def named_otherwise() -> None: ...

    named_otherwise.__qualname__ = f"named_otherwise {bad}"
    for define in (lambda: decorator(name=bad)(body), lambda: decorator(named_otherwise)):
        with pytest.raises(DefinitionError, match=r"NUL|surrogate"):
            define()
    with pytest.raises(DefinitionError, match=r"NUL|surrogate"):
        one.options(queue=bad)
    assert not any(bad in name for name in (*declared.tasks, *declared.workflows))
