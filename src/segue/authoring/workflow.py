"""`@workflow`: a function that is run once, with its actual arguments, to collect a plan.

The function's calls of tasks become steps, and its return value becomes the result of the run.
`segue.authoring.planning` makes plans of workflows and of everything else that can be run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction, signature
from typing import Any, Concatenate, ParamSpec, TypedDict, TypeVar, Unpack, overload

import msgspec

from segue.authoring import foreign
from segue.authoring.compose import Element, as_element
from segue.authoring.definition import Definition, Result_co
from segue.authoring.drafts import Scope
from segue.authoring.elsewhere import OF_WORKFLOWS, unknown_options
from segue.authoring.handle import Handle
from segue.authoring.limits import Fairness, check_key, check_places, fairness, finder, key_expr, share_of
from segue.authoring.naming import name_of
from segue.authoring.options import Placement, Seconds, StepOptions, placed, seconds_of
from segue.authoring.place import say_where
from segue.authoring.registry import Registry, check_function
from segue.authoring.schedule import Schedule, declared
from segue.authoring.task import Task
from segue.authoring.titles import description_of, title_of
from segue.authoring.trace import MAX_DEPTH, Trace, current_trace
from segue.authoring.values import Converters, encode
from segue.errors import DefinitionError, SerializationError
from segue.given import shown
from segue.model import RUN, Expr, Hook, Ref, Value
from segue.plan.check import Parameters
from segue.plan.graph import FairShare, LimitTerms, LimitUse, Plan, RunTerms, Sla
from segue.plan.indexed import MOST_NAME_BYTES, name_problem
from segue.plan.labels import checked_tags

MAX_KEPT_BYTES = 2**20
"""Larger arguments of a run are not stored with the run; its steps have theirs."""

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")


class WorkflowOptions(TypedDict, total=False):
    """The options of `@workflow`."""

    name: str
    title: str
    description: str
    schedule: Schedule | str
    timezone: str
    on_success: Any
    on_failure: Any
    finally_: Any
    fail_fast: bool
    queue: str
    executor: str
    priority: int
    tags: tuple[str, ...] | list[str]
    deadline: Seconds
    sla_start: Seconds
    sla_end: Seconds
    concurrency: int
    concurrency_key: str
    fair_by: str
    fair_weights: dict[str, float]


class Workflow(Definition[P, R]):
    """A graph written as a function. Made by `@workflow`.

    Example::

        @workflow(schedule="0 2 * * *", timezone="Europe/Paris", on_failure=alert.s())
        def nightly(day: str) -> int:
            return total(count.map(extract(day)))

        segue.start(nightly, "2026-11-20")
    """

    _json_remedy = "in a workflow call it, as in flow(...), and pass on what that gives; a task returns flow.s(...)"
    _elsewhere = OF_WORKFLOWS

    def __init__(self, fn: Callable[P, R], name: str, options: WorkflowOptions) -> None:
        update_wrapper(self, fn)
        self.fn = fn
        self.name = name
        self.short_name = name.rpartition(".")[2]
        self.schedule = declared(f"@workflow {fn.__qualname__}", options.get("schedule"), options.get("timezone"))
        self.title = title_of(f"@workflow {fn.__qualname__}", options.get("title"), name)
        self.description = description_of(f"@workflow {fn.__qualname__}", options.get("description"), fn.__doc__)
        self.fail_fast = options.get("fail_fast", False)
        self.deadline, sla_start, sla_end = _times(f"@workflow {fn.__qualname__}", options)
        self.sla = None if sla_start is sla_end is None else Sla(sla_start, sla_end)
        self.queue = options.get("queue")
        self.executor = options.get("executor")
        self.priority = options.get("priority")
        self.tags = checked_tags(f"@workflow {fn.__qualname__}", options.get("tags", ()), error=DefinitionError)
        self.hooks = {
            hook: as_element(options[key], key)  # type: ignore[literal-required]
            for hook, key in _HOOK_OPTIONS.items()
            if options.get(key) is not None
        }
        self.parameters = Parameters.of(signature(fn))
        self.converters = Converters(fn)
        self.limit, self.limit_key = self._limit_of(options)
        self.fair = self._fairness(options)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        trace = current_trace.get()
        if trace is None:
            raise DefinitionError(
                f"the workflow {self.short_name} was called like a function; run it here with "
                f"segue.run({self.short_name}, ...) or start it with segue.start({self.short_name}, ...)"
            )
        handle: Any = self._inline(trace, args, kwargs)
        result: R = handle
        return result

    @overload
    def s(self, /, *args: P.args, **kwargs: P.kwargs) -> WorkflowSignature[R]: ...
    @overload
    def s(self: Workflow[Concatenate[Any, Q], R], /, *args: Q.args, **kwargs: Q.kwargs) -> WorkflowSignature[R]: ...
    def s(self, /, *args: Any, **kwargs: Any) -> Any:
        """The workflow with arguments; in a chain it receives the previous result before them."""
        return WorkflowSignature(self, args, kwargs, immutable=False)

    def si(self, /, *args: P.args, **kwargs: P.kwargs) -> WorkflowSignature[R]:
        """The workflow with all its arguments; in a chain it waits for the previous element and ignores its result."""
        return WorkflowSignature(self, args, kwargs, immutable=True)

    def plan(self, /, *args: P.args, **kwargs: P.kwargs) -> Plan:
        """The plan of a run with these arguments, as data. Raises `PlanError` with every problem found."""
        terms = self._terms(args, kwargs)  # before the function runs, which may modify its arguments
        trace = Trace(self.name, queue=self.queue, priority=self.priority, executor=self.executor)
        trace.scope.share = self._share(trace, args, kwargs)
        returned = self._run(trace, args, kwargs)
        result: Expr | None = None
        if returned is not None:
            result, _ = trace.lift(returned, "result")
            if isinstance(result, Value):
                self.converters.check_result(self.short_name, returned, bytes(result.json).decode())
        for hook, element in self.hooks.items():
            trace.hook = hook
            element._lay_out(trace, Handle(trace, Ref(RUN), ()))
        plan = trace.finish(result, fail_fast=self.fail_fast)
        limits = plan.limits if self.limit is None else (*plan.limits, self.limit)
        return msgspec.structs.replace(plan, terms=terms, limits=limits)

    def _inline(self, trace: Trace, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Handle:
        """Add this workflow's steps to another's trace, as a sub-workflow."""
        if self.hooks:
            raise DefinitionError(
                f"{self.short_name} has {', '.join(self.hooks)}, which only a separate run can have; "
                "start it as a run, or move those steps into the outer workflow"
            )
        if self.fail_fast:
            raise DefinitionError(
                f"{self.short_name} has fail_fast=True, which ends a whole run at the first failure; start it as "
                "a run, or give fail_fast to the outer workflow"
            )
        if self.deadline is not None or self.sla is not None:
            raise DefinitionError(
                f"{self.short_name} has a deadline or an SLA, which are about a whole run; start it as a run, or give "
                "them to the outer workflow, or options(sla_end=...) to a step"
            )
        if self.limit is not None:
            raise DefinitionError(
                f"{self.short_name} has a concurrency, which is about whole runs of it; start it as a run, or limit "
                "the tasks inside it"
            )
        outer = trace.scope
        if outer.depth >= MAX_DEPTH:
            raise DefinitionError(
                f"workflows call each other {MAX_DEPTH} deep at {self.short_name}; for a loop or recursion let a task "
                f"return {self.short_name}.s(...), which then replaces it while the run continues"
            )
        since = len(trace.drafts)
        trace.scope = Scope(self.short_name, outer, self.queue, self.priority, self.executor)
        trace.scope.share = self._share(trace, args, kwargs) or outer.share
        try:
            returned = self._run(trace, args, kwargs)
        finally:
            trace.scope = outer
        expr, needed = trace.lift(returned)
        ends = trace.ends(since)
        return Handle(trace, expr, needed or ends, trace.begins(since), ends)

    def _terms(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> RunTerms:
        """The terms of a run as a whole, if the workflow is started with these arguments."""
        kept = kept_arguments(args, kwargs)
        return RunTerms(
            arguments=kept, tags=self.tags, deadline=self.deadline, sla=self.sla, limit=self._place(args, kwargs)
        )  # fmt: skip

    def _limit_of(self, options: WorkflowOptions) -> tuple[LimitTerms | None, str | None]:
        label = f"@workflow {self.fn.__qualname__}"
        concurrency, key = options.get("concurrency"), options.get("concurrency_key")
        check_places(label, "concurrency", concurrency)
        if concurrency is None:
            if key is not None:
                raise DefinitionError(f"{label}: concurrency_key= needs concurrency=, the number of runs for each key")
            return None, None
        if key is not None:
            check_key(label, key, self.parameters)
        return LimitTerms(f"workflow:{self.name}", concurrency), key

    def _fairness(self, options: WorkflowOptions) -> Fairness | None:
        label = f"@workflow {self.fn.__qualname__}"
        fair = fairness(label, options.get("fair_by"), options.get("fair_weights"))
        if fair is not None:
            check_key(label, fair.by, self.parameters)
        return fair

    def _place(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> LimitUse | None:
        """The place among runs of the workflow that a run with these arguments needs."""
        if self.limit is None:
            return None
        key = None
        if self.limit_key is not None and self.parameters.mistake(len(args), kwargs.keys()) is None:
            lift = Trace(self.name).lift
            key = key_expr(self.limit_key, finder(self.parameters, args, kwargs), lambda value: lift(value)[0])
        return LimitUse(self.limit.name, key)

    def _share(self, trace: Trace, args: tuple[Any, ...], kwargs: dict[str, Any]) -> FairShare | None:
        """The fair share that the steps use, unless their tasks have one."""
        if self.fair is None or self.parameters.mistake(len(args), kwargs.keys()) is not None:
            return None
        share = share_of(self.fair, finder(self.parameters, args, kwargs), lambda value: trace.lift(value)[0])
        if not isinstance(share.key, Value):
            raise DefinitionError(
                f"{self.short_name}: its steps share the queue by {self.fair.by}, a result that is not known yet; "
                "start it as a run, or let a task return it"
            )
        return share

    def _run(self, trace: Trace, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        mistake = self.parameters.mistake(len(args), kwargs.keys())
        if mistake is not None:
            raise DefinitionError(
                f"the workflow {self.short_name} cannot start: {mistake}; "
                f"{self.parameters.remedy(self.short_name, [*self.parameters.positional[: len(args)], *kwargs])}"
            )
        misfit = self.converters.find_misfit(args, kwargs)
        if misfit is not None:
            raise DefinitionError(
                f"the workflow {self.short_name} cannot start: {misfit}; give a value of that type, or change the "
                f"annotation: {self.short_name}{self.parameters.text}"
            )
        since = trace.watch_signatures()
        token = current_trace.set(trace)
        try:
            returned = self.fn(*args, **kwargs)
        except DefinitionError as error:
            say_where(error)
            raise
        finally:
            current_trace.reset(token)
        if returned is None and trace.written is not None and len(trace.drafts) == since:
            raise DefinitionError(
                f"the workflow {self.short_name} adds no step: {trace.written}.s(...) only describes one; call the "
                f"task, as in {trace.written}(...), or return the signature"
            )
        return as_element(returned, "return")._lay_out(trace, None) if _is_work(returned) else returned

    def __repr__(self) -> str:
        return f"<Workflow {self.name}>"


class WorkflowSignature(Element[Result_co]):
    """A workflow with its arguments, not yet placed. Made by `workflow.s(...)` and `workflow.si(...)`."""

    __slots__ = ("args", "immutable", "kwargs", "placement", "workflow")

    def __init__(
        self,
        workflow: Workflow[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        immutable: bool,
        placement: Placement | None = None,
    ) -> None:
        self.workflow = workflow
        self.args = args
        self.kwargs = kwargs
        self.immutable = immutable
        self.placement = placement or Placement()

    def options(self, **changes: Unpack[StepOptions]) -> WorkflowSignature[Result_co]:
        """A copy whose first steps start later or under a condition: `when`, `after`."""
        refused = sorted(changes.keys() - {"when", "after"})
        if refused:
            raise DefinitionError(
                f"{self!r}: options {', '.join(refused)} are about steps; give them to the tasks inside the workflow, "
                "or to @workflow(queue=, priority=)"
            )
        placement = placed(self.placement, changes, of=self.workflow.short_name)
        return WorkflowSignature(self.workflow, self.args, self.kwargs, immutable=self.immutable, placement=placement)

    def _lay_out(self, trace: Trace, given: Handle | None) -> Handle:
        """Add the workflow's steps; each of its first steps waits for `given`."""
        first: tuple[Any, ...] = () if given is None or self.immutable else (given,)
        handle = self.workflow._inline(trace, (*first, *self.args), self.kwargs)
        if given is not None:
            trace.order(handle._roots, (given,), None)
            if not handle._roots:  # it has no steps, so the steps after it wait for those before it
                ends = given._ends
                handle = Handle(trace, handle._expr, handle._steps or ends, (), ends)
        if self.placement.after:
            trace.order(handle._roots, self.placement.after, None)
        if self.placement.when is not None:
            trace.condition(handle._roots, self.placement.when)
        return handle

    def __repr__(self) -> str:
        return f"{self.workflow.short_name}.{'si' if self.immutable else 's'}(...)"


workflows: Registry[Workflow[..., Any]] = Registry("workflow")
"""The workflows of the imported code, by name."""


@overload
def workflow(fn: Callable[P, R], /) -> Workflow[P, R]: ...
@overload
def workflow(**options: Unpack[WorkflowOptions]) -> Callable[[Callable[P, R]], Workflow[P, R]]: ...
def workflow(fn: Any = None, /, **options: Unpack[WorkflowOptions]) -> Any:
    """Make a function a workflow: it is run once at the start of each run, and its task calls become steps.

    Its arguments have their actual values; results of tasks do not, they are handles that can only be passed on.
    `on_success`, `on_failure` and `finally_` are signatures that run after everything else has ended: `s(...)` receives
    the run's result (`on_success`) or a dict with run_id, workflow, status and error, `si(...)` nothing. `fail_fast`
    ends the run at the first failure, `deadline` after a time from its start; `sla_start` and `sla_end` raise an alert
    if it has not started or ended by then. `queue` and `priority` are for steps whose tasks do not set their own, and
    `executor` for those whose tasks set neither an executor nor a queue.

    Example::

        @workflow(on_failure=alert.s(), fail_fast=True)
        def nightly(day: str) -> int:
            return total(count.map(extract(day)))
    """
    if fn is not None:
        return _define(fn, options)
    return lambda function: _define(function, options)


def _is_work(returned: object) -> bool:
    """Whether a workflow returned a signature, a chain or a group: its steps are added, and give the result."""
    return isinstance(returned, Element) or foreign.is_returned_as_plan(returned)


def kept_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """The arguments of a run, as JSON `[args, kwargs]`; None if they are not JSON, or larger than the limit."""
    try:
        text = encode((args, kwargs))
    except SerializationError:
        return None  # a workflow may take any value, because it is run in this process
    return text if len(text) <= MAX_KEPT_BYTES else None


_HOOK_OPTIONS = {Hook.ON_SUCCESS: "on_success", Hook.ON_FAILURE: "on_failure", Hook.FINALLY: "finally_"}


def _define(fn: Callable[P, R], options: WorkflowOptions) -> Workflow[P, R]:
    if isinstance(fn, (Task, Workflow)):
        raise DefinitionError(f"@workflow was put on {shown(fn)}; decorate the plain function, and only once")
    function = check_function("workflow", fn, named="name" in options)
    label = f"@workflow {function.__qualname__}"
    if iscoroutinefunction(function) or isgeneratorfunction(function) or isasyncgenfunction(function):
        raise DefinitionError(
            f"{label} is async or yields, but it only describes a graph and is run once to collect it; "
            "write a plain def, the tasks in it may be async"
        )
    known = WorkflowOptions.__annotations__.keys()
    unknown = options.keys() - known
    if unknown:
        raise unknown_options(label, unknown, known)
    placed(
        Placement(),
        {key: options[key] for key in ("name", "queue", "priority", "executor") if key in options},
        of=label,
    )
    _check_words(label, options)
    name = options.get("name", name_of(function))
    problem = name_problem(name, MOST_NAME_BYTES)
    if problem is not None:
        raise DefinitionError(f"{label}: its name {shown(name)} {problem}; give it another one with name='...'")
    defined = Workflow(fn, name, options)
    workflows.register(defined)
    return defined


def _times(label: str, options: WorkflowOptions) -> tuple[float | None, float | None, float | None]:
    """The deadline, and the times by which a run should have started and ended, in seconds from its start."""
    deadline, start, end = (
        None if options.get(key) is None else seconds_of(label, key, options.get(key), above_zero=True)
        for key in ("deadline", "sla_start", "sla_end")
    )
    return deadline, start, end


def _check_words(label: str, options: WorkflowOptions) -> None:
    if not isinstance(options.get("fail_fast", False), bool):
        raise DefinitionError(f"{label}: fail_fast={shown(options['fail_fast'])} is not a boolean; write True or False")
