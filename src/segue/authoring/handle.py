"""Stands for the future result of a step while a workflow is traced.

A `Handle` may be passed on, indexed, and ordered with others. An operation that needs the result itself (a condition, a
loop, arithmetic) raises `DefinitionError` that says what to write instead.
"""

from __future__ import annotations

from typing import Any, NoReturn, Protocol, assert_never

from segue.authoring.elsewhere import advice_about_result, order_error
from segue.errors import DefinitionError
from segue.model import RUN, Concat, Expr, Gather, JoinRule, Mapping, Ref, Span, Value
from segue.plan.codec import steps_in

_SHOWN = 3


class Graph(Protocol):
    """The parts of a trace that a handle needs."""

    def called(self, step: int) -> str:
        """What a step is called, for messages."""
        ...

    def join(self, expr: Expr, steps: tuple[int, ...]) -> int:
        """Add a virtual step that waits for `steps` and has `expr` as its result."""
        ...

    def order(self, steps: tuple[int, ...], others: tuple[Any, ...], rule: JoinRule | str | None) -> None:
        """Let `steps` wait for `others`."""
        ...

    def condition(self, steps: tuple[int, ...], when: Any) -> None:
        """Skip `steps` if `when` turns out to be false."""
        ...


class Handle:
    """The future result of a step (or of a group, a chain, a sub-workflow) inside a workflow.

    Pass it to other tasks, alone or inside lists, tuples and dicts; take a part of it with `handle["key"]` or
    `handle[0]`; order steps that share no data, and make one conditional, with `task.options(after=, when=)(...)`. The
    methods `after` and `when` do the same for a step that exists already; type checkers do not know them.

    Example::

        report = write(total(count.map(paths)))
        publish.options(after=cleanup(paths), rule="all_done")(report["url"])
    """

    __slots__ = ("_ends", "_expr", "_graph", "_joined", "_roots", "_shared", "_steps")

    _json_remedy = (
        "it stands for a result that is not known yet; inside its workflow pass it alone or in a list, tuple or dict"
    )

    def __init__(
        self,
        graph: Graph,
        expr: Expr,
        steps: tuple[int, ...],
        roots: tuple[int, ...] | None = None,
        ends: tuple[int, ...] | None = None,
    ) -> None:
        self._graph = graph
        self._expr = expr
        self._steps = steps  # those that are final when the value is known
        self._roots = steps if roots is None else roots  # those that begin it
        self._ends = steps if ends is None else ends  # those that are final when all of it has ended
        self._shared = False  # whether more than one step waits for it
        self._joined: int | None = None

    def after(self, *others: Any, rule: JoinRule | str | None = None) -> Handle:
        """Start only after `others` (handles) are done too, according to `rule`. Returns this handle.

        The rule applies to all parents of the step: those that come from its arguments and those named here.
        """
        self._graph.order(self._roots, others, rule)
        return self

    def when(self, condition: Any) -> Handle:
        """Skip this step, and the steps that need it, if `condition` (a handle) is false. Returns this handle.

        `false`, `None`, 0, "", [] and {} count as false.
        """
        self._graph.condition(self._roots, condition)
        return self

    def __getitem__(self, key: str | int) -> Handle:
        if type(key) not in (str, int):
            raise DefinitionError(f"{self!r}[{key!r}]: a part of a future result is taken by a text or a whole number")
        part = part_of(self._expr, key)
        return Handle(self._graph, part, steps_needed(part) or self._steps, self._roots, self._ends)

    def __repr__(self) -> str:
        return f"<future result of {self._called()}>"

    def _called(self) -> str:
        names = dict.fromkeys(self._graph.called(step) for step in self._steps[:_SHOWN])
        return ", ".join(names) + (", ..." if len(self._steps) > _SHOWN else "") or "the run"

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        advice = advice_about_result(name, self._called()) or (
            f"write handle[{name!r}] for a part of it, or a task that takes the result and does the rest"
        )
        raise DefinitionError(f".{name} was read from {self!r}, which is not known yet; {advice}")

    def _unknown(self, *_: Any) -> NoReturn:
        raise DefinitionError(
            f"{self!r} was used as if it were known (if, for, len(), comparison, arithmetic, text), but a workflow "
            "only describes its steps, and none has run; use task.map(handle) for a loop, options(when=...) for a "
            "condition, and a task that computes, or returns a plan, for everything else"
        )

    def _order(self, *_: Any) -> NoReturn:
        raise order_error()

    __rshift__ = __rrshift__ = __lshift__ = __rlshift__ = _order
    __bool__ = __iter__ = __len__ = __contains__ = __next__ = __reversed__ = _unknown
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _unknown
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _unknown
    __floordiv__ = __mod__ = __rmod__ = __pow__ = __neg__ = __abs__ = __matmul__ = _unknown
    __and__ = __or__ = __xor__ = __invert__ = __call__ = __setitem__ = __delitem__ = _unknown
    __int__ = __float__ = __index__ = __str__ = __format__ = _unknown
    __await__ = __enter__ = __exit__ = _unknown
    __hash__ = object.__hash__


def share(handle: Handle) -> None:
    """Announce that several steps will wait for this handle, so that they do it through one join."""
    handle._shared = True


def source_of(handle: Handle, *, direct: bool = False) -> tuple[Expr, tuple[int, ...]]:
    """The expression for the handle in a step's arguments, and the steps to wait for.

    From its second use on, a handle of many steps goes through a virtual join, so that n steps needed by m others cost
    n + m edges. `direct` avoids the join, for a rule that must see the steps themselves.
    """
    if len(handle._steps) < 2 or direct:
        return handle._expr, handle._steps
    if not handle._shared:
        handle._shared = True
        return handle._expr, handle._steps
    if handle._joined is None:
        handle._joined = handle._graph.join(handle._expr, handle._steps)
    return Ref(handle._joined), (handle._joined,)


def steps_needed(expr: Expr) -> tuple[int, ...]:
    """The steps that must be final before an expression can be evaluated."""
    return tuple(dict.fromkeys(step for step in steps_in(expr) if step != RUN))


def gathered(exprs: list[Expr]) -> Expr:
    """A list of expressions, as a `Span` if they are the whole results of consecutive steps."""
    if len(exprs) > 1:
        first = exprs[0]
        if isinstance(first, Ref) and first.step >= 0:
            start = first.step
            if all(
                isinstance(expr, Ref) and expr.step == start + index and not expr.path
                for index, expr in enumerate(exprs)
            ):
                return Span(start, start + len(exprs) - 1)
    return Gather(tuple(exprs))


def part_of(expr: Expr, key: str | int) -> Expr:
    """The part of an expression under a key. Raises `DefinitionError` if it does not exist."""
    match expr:
        case Ref():
            return Ref(expr.step, (*expr.path, key))
        case Span() if isinstance(key, int) and -_width(expr) <= key < _width(expr):
            return Ref((expr.first if key >= 0 else expr.last + 1) + key)
        case Gather() if isinstance(key, int) and -len(expr.items) <= key < len(expr.items):
            return expr.items[key]
        case Mapping() if isinstance(key, str) and key in expr.keys:
            return expr.items[expr.keys.index(key)]
    raise DefinitionError(f"[{key!r}] is not in {_described(expr)}; use a part that exists")


def _width(span: Span) -> int:
    return span.last - span.first + 1


def _described(expr: Expr) -> str:
    match expr:
        case Span():
            return f"a list of {_width(expr)} results"
        case Gather():
            return f"a list of {len(expr.items)} results"
        case Mapping():
            return f"a dict with the keys {', '.join(expr.keys)}"
        case Concat():
            return "a list of results"
        case Ref() | Value():
            return "a value that is known already"
        case unknown:
            assert_never(unknown)
