"""`to_plan`: makes a plan of anything that can be run. A task may return such a value, too, and is replaced by it.

A library whose compositions should be started, or returned by tasks, registers how they become plans::

    register_planner(lambda work: isinstance(work, celery.canvas.Signature), as_plan)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from segue.authoring import calls, foreign
from segue.authoring.compose import Chain, Element, Group, Signature, as_element
from segue.authoring.pushed import pushed_problems
from segue.authoring.task import Task, tasks
from segue.authoring.trace import Trace
from segue.authoring.workflow import Workflow, WorkflowSignature, kept_arguments
from segue.errors import DefinitionError, PlanError
from segue.given import shown
from segue.plan.check import Parameters, check
from segue.plan.graph import Plan, RunTerms


def register_planner(
    predicate: Callable[[Any], bool], make: Callable[[Any], Element | Plan], *,
    member: Callable[[Any], Element] | None = None,
) -> None:  # fmt: skip
    """Let `to_plan` and `is_plan` accept the compositions of another library.

    `predicate` says whether a value is one. It is called for every value that a task returns, so it should be quick,
    and it should not raise. `make` returns a chain, a group, a signature or a `Plan` for it. As a member of `chain` and
    `group`, the value becomes what `member` returns; without `member` it is what `make` returns, and a plan among
    other members gets no result of what is before it. The first registered planner that accepts a value wins. Type
    checkers accept the value if its class is derived from `segue.authoring.Composition`.

    Example::

        register_planner(lambda work: isinstance(work, Pipeline), lambda work: chain(*map(signature_of, work.parts)))
        segue.start(Pipeline(...))
    """
    foreign.register(predicate, make, member=member)


def to_plan(work: Any, /, *args: Any, **kwargs: Any) -> Plan:
    """The plan of anything that can be run: a workflow or task with its arguments, a signature, chain or group, a plan.

    Raises `PlanError` with every problem found, and `DefinitionError` for a value that cannot be run at all.

    Example::

        to_plan(nightly, "2026-11-20")
        to_plan(chain(extract.s("2026-11-20"), total.s()))
    """
    try:
        return _to_plan(work, args, kwargs)
    except RecursionError as error:
        raise DefinitionError(
            "the plan cannot be laid out: its workflows, groups or lists are nested deeper than Python's stack allows "
            f"here, or a function calls itself forever ({error}); let a task return the inner part"
        ) from error


def _to_plan(work: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Plan:
    if isinstance(work, Workflow):
        return work.plan(*args, **kwargs)
    if isinstance(work, Task):
        plan = calls.like_an_earlier_one(work, args, kwargs)
        if plan is None:
            plan = _plan_of(work.s(*args, **kwargs), work.name, RunTerms(kept_arguments(args, kwargs)))
            calls.remember(work, args, kwargs, plan)
        return plan
    if args or kwargs:
        if not isinstance(work, (Element, Plan)) and foreign.made_of(work) is None:
            as_element(work, "start")  # which says what it is
        raise DefinitionError(f"{shown(work)} has its arguments already; put these into its signature: task.s(...)")
    if isinstance(work, Plan):
        check(work, parameters=_takes)
        problems = list(pushed_problems(work.nodes))
        if problems:
            raise PlanError(work.name, problems)
        return work
    if isinstance(work, WorkflowSignature) and not work.placement.after and work.placement.when is None:
        return work.workflow.plan(*work.args, **work.kwargs)
    if isinstance(work, Signature):
        return _plan_of(work, work.task.name, RunTerms(kept_arguments(work.args, work.kwargs)))
    if isinstance(work, (Chain, Group)):
        return _plan_of(work, "chain" if isinstance(work, Chain) else "group")
    made = foreign.made_of(work)
    if isinstance(made, Plan):
        return _to_plan(made, (), {})
    element = as_element(work if made is None else made, "start")
    return _plan_of(element, element.plan_name)


def is_plan(value: object) -> bool:
    """Whether a task that returned this value is replaced by it."""
    return isinstance(value, (Element, Plan)) or foreign.is_returned_as_plan(value)


def _takes(task: str) -> Parameters | None:
    found = tasks.get(task)
    return None if found is None else found.parameters


def _plan_of(element: Element, name: str, terms: RunTerms | None = None) -> Plan:
    trace = Trace(name)
    expr = element._lay_out(trace, None)._expr
    plan = trace.finish(expr)
    return plan if terms is None else msgspec.structs.replace(plan, terms=terms)
