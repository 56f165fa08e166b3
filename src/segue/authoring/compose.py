"""Signatures, chains and groups: graphs written as values.

Each of them can add itself to a trace: given the handle of the preceding result (or None), it adds its steps and
returns the handle of its result. A chain's result is its last element's; a group's is the list of its members', for 0,
1, 2, ... members.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, Protocol, TypeVar, Unpack, overload, runtime_checkable

from segue.authoring import foreign
from segue.authoring.definition import Definition, Foreign, Result_co
from segue.authoring.elsewhere import OF_ELEMENTS, Unfamiliar
from segue.authoring.handle import Handle, gathered, share, steps_needed
from segue.authoring.options import Placement, StepOptions, placed
from segue.authoring.trace import Trace, current_trace
from segue.authoring.values import Converters
from segue.errors import DefinitionError
from segue.given import shown
from segue.model import Expr, Gather, Ref
from segue.plan.check import MAX_NESTING, Parameters
from segue.plan.graph import Plan

R = TypeVar("R")


class Target(Protocol):
    """The parts of a task that a signature needs."""

    @property
    def name(self) -> str:
        """The task's name: "package.module.function"."""
        ...

    @property
    def short_name(self) -> str:
        """The last part of it, for naming steps."""
        ...

    @property
    def parameters(self) -> Parameters | None:
        """Its parameters; None if they are not known here."""
        ...

    @property
    def converters(self) -> Converters | None:
        """The converters of its arguments; None if they are not checked here."""
        ...


@runtime_checkable
class _AsSignature(Protocol):
    def s(self) -> Element: ...


class Element(Unfamiliar, Generic[Result_co]):
    """Something that adds steps to a plan: a signature, a chain, a group, a workflow with its arguments."""

    __slots__ = ()

    depth = 0  # groups inside each other
    plan_name = "workflow"  # what a run is called that is started with it
    _json_remedy = (
        "in a workflow call it, as in task(...) or chain(...)(), and pass on what that gives; a task returns it alone, "
        "or inside chain(...) or group(...), so that it can be run"
    )
    _elsewhere = OF_ELEMENTS

    def _lay_out(self, trace: Trace, given: Handle | None) -> Handle:
        """Add the steps to a trace, the first of them after `given`."""
        raise NotImplementedError

    def options(self, **changes: Unpack[StepOptions]) -> Element[Result_co]:
        """A copy, each of whose steps has these options."""
        raise NotImplementedError

    def __call__(self) -> Result_co:
        """Inside a workflow: add the steps, and return the handle of the result."""
        trace = current_trace.get()
        if trace is None:
            raise DefinitionError(
                f"{self!r} was called outside of a workflow; start it with segue.start(...) or segue.run(...), "
                "or return it from a task"
            )
        handle: Any = self._lay_out(trace, None)
        result: Result_co = handle
        return result

    def __or__(self, other: Element[R] | Definition[..., R]) -> Chain[R]:
        return Chain((self, other))

    def __ror__(self, other: Any) -> Chain[Result_co]:
        return Chain((other, self))


class Signature(Element[Result_co]):
    """A task with its arguments, not yet placed. Made by `task.s(...)` and `task.si(...)`.

    In a chain, `s` receives the previous result as its first positional argument and `si` does not.

    Example::

        chain(extract.s("2026-11-20"), group(count.s(), archive.s()), done.si())
    """

    __slots__ = ("args", "immutable", "kwargs", "placement", "task")

    def __init__(
        self, task: Target, args: tuple[Any, ...], kwargs: dict[str, Any], placement: Placement, immutable: bool
    ) -> None:
        self.task = task
        self.args = args
        self.kwargs = kwargs
        self.placement = placement
        self.immutable = immutable

    def options(self, **changes: Unpack[StepOptions]) -> Signature[Result_co]:
        """A copy with other options.

        Example::

            count.s("a.txt").options(queue="disk", retries=5, delay=10)
        """
        placement = placed(self.placement, changes, of=self.task.short_name)
        return type(self)(self.task, self.args, self.kwargs, placement, self.immutable)

    def _lay_out(self, trace: Trace, given: Handle | None) -> Handle:
        """Add the one step."""
        number = self._add_to(trace, given)
        return Handle(trace, Ref(number), (number,))

    def _add_to(self, trace: Trace, given: Handle | None) -> int:
        """Add the one step, and return its number."""
        task = self.task
        number = trace.add(
            task=task.name,
            base=self.placement.name or task.short_name,
            parameters=task.parameters,
            args=self.args,
            kwargs=self.arguments(trace),
            placement=self.placement,
            given=None if self.immutable else given,
            converters=task.converters,
        )
        if given is not None and self.immutable:
            trace.wait(number, given)
        return number

    def arguments(self, trace: Trace) -> dict[str, Any]:
        """The named arguments, completed with options of the trace."""
        return self.kwargs

    def __repr__(self) -> str:
        args = [repr(arg) for arg in self.args] + [f"{key}={value!r}" for key, value in self.kwargs.items()]
        return f"{self.task.short_name}.{'si' if self.immutable else 's'}({', '.join(args)})"


class Chain(Element[Result_co]):
    """Elements that run one after another, each given the result of the one before."""

    __slots__ = ("depth", "elements")

    def __init__(self, elements: Iterable[Any]) -> None:
        flat: list[Element] = []
        for item in elements:
            element = as_element(item, "chain")
            if isinstance(element, Chain):
                flat.extend(element.elements)
            else:
                flat.append(element)
        if not flat:
            raise DefinitionError("chain() of nothing has no result; give it at least one signature")
        self.elements: tuple[Element, ...] = tuple(flat)
        self.depth = max(element.depth for element in flat)

    def options(self, **changes: Unpack[StepOptions]) -> Chain[Result_co]:
        """A copy, each of whose steps has these options; options for the start (delay, when, ...) go to the first."""
        every, first = _split(changes)
        elements = [element.options(**every) for element in self.elements]
        elements[0] = elements[0].options(**first)
        return Chain(elements)

    def _lay_out(self, trace: Trace, given: Handle | None) -> Handle:
        """Add the elements, each after the one before."""
        since = len(trace.drafts)
        roots: tuple[int, ...] | None = None
        for element in self.elements:
            given = element._lay_out(trace, given)
            if roots is None and len(trace.drafts) > since:
                roots = given._roots
        assert given is not None  # a chain has an element
        return Handle(trace, given._expr, given._steps, roots or (), given._ends)

    def __repr__(self) -> str:
        return f"chain({_shown(self.elements)})"


class Group(Element[Result_co]):
    """Members that run concurrently; the result is the list of their results, in order."""

    __slots__ = ("depth", "members")

    def __init__(self, members: Iterable[Any]) -> None:
        self.members = tuple([as_element(item, "group") for item in members])
        self.depth = 1 + max([member.depth for member in self.members], default=0)
        if self.depth > MAX_NESTING:
            raise DefinitionError(
                f"groups are nested more than {MAX_NESTING} deep; let a task return the inner ones, which then replace "
                "it while the run continues"
            )

    def options(self, **changes: Unpack[StepOptions]) -> Group[Result_co]:
        """A copy, each of whose members has these options."""
        return type(self)(member.options(**changes) for member in self.members)

    def _lay_out(self, trace: Trace, given: Handle | None) -> Handle:
        """Add the members, each after `given`."""
        if not self.members:
            return Handle(trace, Gather(()), () if given is None else given._steps, ())
        if given is not None and len(self.members) > 1:
            share(given)
        exprs: list[Expr] = []
        steps: list[int] = []
        ends: list[int] = []
        roots: list[int] = []
        for member in self.members:
            if isinstance(member, Signature):
                number = member._add_to(trace, given)
                exprs.append(Ref(number))
                steps.append(number)
                ends.append(number)
                roots.append(number)
            else:
                handle = member._lay_out(trace, given)
                exprs.append(handle._expr)
                steps.extend(handle._steps)
                ends.extend(handle._ends)
                roots.extend(handle._roots)
        whole = tuple(dict.fromkeys(steps))
        return Handle(
            trace, gathered(exprs), whole, tuple(roots), tuple(dict.fromkeys(ends)) if ends != steps else whole
        )

    def __repr__(self) -> str:
        return f"group({_shown(self.members)})"


class Embedded(Element[Any]):
    """The steps of a plan of another library. They wait for what is before them, and get no result of it."""

    __slots__ = ("plan",)

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def options(self, **changes: Unpack[StepOptions]) -> Embedded:
        """Refused: the other library has said what the options of its steps are."""
        raise DefinitionError(f"{self!r} takes no options ({', '.join(changes)}); give them in its own library")

    def _lay_out(self, trace: Trace, given: Handle | None) -> Handle:
        """Add its steps, the first of them after `given`."""
        first = len(trace.drafts)
        expr = trace.embed(self.plan)
        roots = trace.begins(first)
        if given is not None:
            if len(roots) > 1:
                share(given)
            for number in roots:
                trace.wait(number, given)
        ends = trace.ends(first)
        return Handle(trace, expr, steps_needed(expr) or ends, roots, ends)

    def __repr__(self) -> str:
        return f"the plan of {self.plan.name}"


AnyWork = Element[Any] | Definition[..., Any] | Foreign


@overload
def chain(*elements: *tuple[*tuple[AnyWork, ...], Element[R] | Definition[..., R]]) -> Chain[R]: ...
@overload
def chain(elements: Iterable[AnyWork], /) -> Chain[Any]: ...
@overload
def chain(*elements: AnyWork) -> Chain[Any]: ...
def chain(*elements: Any) -> Chain[Any]:  # type: ignore[misc]  # mypy does not see that it takes any of them
    """Run elements one after another; each gets the result of the one before as its first argument.

    An element is a signature, a task (as `task.s()`), a chain, a group or a workflow's `s(...)`. The first receives
    nothing; the result is the last one's. Takes them one by one, or one iterable of them. Inside a workflow, calling
    the chain adds its steps.

    Example::

        run = segue.start(chain(extract.s("2026-11-20"), group(count.s(), check.s()), done.si()))
    """
    return Chain(_one_by_one(elements))


@overload
def group(members: Iterable[Element[R]], /) -> Group[list[R]]: ...
@overload
def group(*members: Element[R] | Definition[..., R]) -> Group[list[R]]: ...
@overload
def group(members: Iterable[AnyWork], /) -> Group[list[Any]]: ...
@overload
def group(*members: AnyWork) -> Group[list[Any]]: ...
def group(*members: Any) -> Group[Any]:
    """Run members concurrently; the result is the list of their results, in the order written, for any number of them.

    Takes the members one by one, or one iterable of them.

    Example::

        group(count.s(path) for path in paths)
        group(chain(fetch.s(url), parse.s()), check.s())
    """
    return Group(_one_by_one(members))


def _one_by_one(given: tuple[Any, ...]) -> Iterable[Any]:
    """What was given one by one, or as one iterable."""
    if len(given) != 1 or isinstance(given[0], (Element, Handle, _AsSignature, str, bytes, dict)):
        return given  # anything wrong is found where it is used
    return given[0] if isinstance(given[0], Iterable) else given


def as_element(item: Any, inside: str) -> Element:
    """The item as an element. Raises `DefinitionError` that says what to write instead."""
    if isinstance(item, Element):
        return item
    if isinstance(item, Handle):
        raise DefinitionError(
            f"{inside}(...) was given a step that was added already, {shown(item)}; inside a workflow write "
            f"task.s(...) for the members of {inside}(...), or leave out {inside} and pass the handle on"
        )
    if not isinstance(item, type) and isinstance(item, _AsSignature):
        return item.s()
    made = foreign.member_of(item)
    if made is not None:
        return made if isinstance(made, Element) else Embedded(made)
    raise DefinitionError(f"{inside}(...) was given {_mistaken(item, inside)}")


def _mistaken(item: Any, inside: str) -> str:
    """What was given in place of work, and what to write instead."""
    if isinstance(item, type) or not callable(item):
        example = "segue.start(task, 1)" if inside == "start" else f"{inside}(task.s(1), ...)"
        text = f"{shown(item)} ({type(item).__name__}), which is no task or workflow"
        if isinstance(item, str) and inside == "start":
            return f"{text}; import the function and give it itself, or write segue start {item} on the command line"
        return f"{text}; a call gives the result of the function, so write {example} and not task(1)"
    name = getattr(item, "__qualname__", None) or shown(item)
    return f"{name}, which is no task; put @task above its def"


SHOWN_DEEP = 5  # groups inside each other
_ABOUT_THE_START = ("delay", "run_at", "rule", "when", "after")


def _split(changes: Any) -> tuple[Any, Any]:
    every = {key: value for key, value in changes.items() if key not in _ABOUT_THE_START}
    return every, {key: value for key, value in changes.items() if key in _ABOUT_THE_START}


def _shown(elements: tuple[Element, ...]) -> str:
    text = ", ".join(
        repr(element) if element.depth < SHOWN_DEEP else f"{type(element).__name__.lower()}(...)"
        for element in elements[:3]
    )
    return text if len(elements) <= 3 else f"{text}, ... {len(elements) - 3} more"
