"""Extend: a running step adds steps to its own run; later steps wait for them, and get their results.

    gather   steps that have the result of the extending step as an item of a list. The results of what is added come at
             the end of that list
    watch    steps that wait both for the extending step and for one that gathers: they wait for all that is added

If nothing gathers the result of the step itself, but it is the last of a plan that a task returned, that task counts
instead, and what is added is beside it.

Promises: everything is added in one transaction, or nothing. The steps that gather wait for the extending step, so none
of them has started. A *try* adds the same thing once, however often it is repeated: after a lost answer, a message that
came twice, or the death of the process, which leads to the next attempt of the same try. A try that follows a failure
adds again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from segue.engine.act import Act
from segue.engine.alarms import alarms_of
from segue.engine.attempts import LockedRuns, look_at
from segue.engine.labels import labels_of_plan, put_labels
from segue.engine.locking import hold_paused, lock_runs
from segue.engine.propagate import Propagation
from segue.engine.rows import EARLY_RULES, PlanRows, RowContext, insert_steps, plan_rows
from segue.engine.transitions import Change, Extended, Extending, Facts, decide
from segue.errors import PlanError, Problem, RunStateError
from segue.model import RUN, Attempt, Concat, Expr, Gather, Hole, JoinRule, Ref, Span, StepStatus
from segue.model import Mapping as Fields
from segue.plan.codec import decode_expr, decode_holes, encode_expr, encode_holes, shift_expr, steps_in
from segue.plan.graph import Plan
from segue.plan.namespaces import namespace_of, plan_in
from segue.store.protocol import Transaction

_NOTHING = Gather(())


class Extension(NamedTuple):
    """What was added."""

    base: int  # the number of its first step
    is_new: bool  # False: this try had added it before


class _Place(NamedTuple):
    """A step: where it is, what waits for it, and what it gathers."""

    scope: int
    lane: str | None
    children: list[int]
    status: str
    rule: str
    holes: str | None
    result_expr: str | None


class _Waiting(NamedTuple):
    """The steps that wait for an extending step, or for the task whose plan it ends."""

    source: int
    place: _Place  # of the source
    gather: dict[int, _Place]
    watch: dict[int, _Place]


def extend(act: Act, attempt: Attempt, plan: Plan, *, key: str) -> Extension | None:
    """Add the steps of a plan, whose result is a list, beside the step of this attempt, which runs.

    `key` says what is added, and how often this try has added the same before. None: the attempt is not the step's own
    any more, or its run is being ended; nothing is added. Raises RunStateError if no step gathers its result. Example::

        engine.act(extend, (run_id, step, attempt), plan, key="resize 640, the first")
    """
    run_id, step, number = attempt
    more = _items_of(plan)
    locked = lock_runs(act.tx, [run_id])
    found = look_at(act, LockedRuns(locked), run_id, step)
    if found is None or not isinstance(decide(found.facts, Extending(number)), Change):
        return None
    added = f"{step}:{found.facts.failures}:{key}"
    before = act.tx.all("addition_of", run_id=run_id, added=added)
    if before:
        return Extension(before[0][0], is_new=False)
    waiting = _who_waits(act.tx, run_id, step)
    if not all(_may_wait(place) for place in (*waiting.gather.values(), *waiting.watch.values())):
        return None
    [(base, workflow)] = act.tx.all("take_step_numbers", run_id=run_id, count=len(plan.nodes))
    plan = plan_in(plan, namespace_of(workflow))
    rows = _insert(act, run_id, plan, base, waiting, sorted(set(steps_in(more))))
    act.tx.later("mark_addition", run_id=run_id, step=base, added=added)
    _let_wait(act.tx, run_id, plan, waiting, shift_expr(more, base), rows.waiting_on)
    propagation = Propagation(act)
    propagation.run(propagation.pass_open(run_id, rows.open_joins))
    hold_paused(act.tx, locked)
    act.tx.later("wake")
    return Extension(base, is_new=True)


def _items_of(plan: Plan) -> Span | Gather:
    if not plan.nodes or not isinstance(plan.result, (Span, Gather)):
        what = "its result is not a list" if plan.nodes else "it has no steps"
        raise PlanError(plan.name, [Problem(plan.name, f"it cannot be added to a run: {what}", "Gather its results")])
    return plan.result


def _may_wait(place: _Place) -> bool:
    return isinstance(decide(Facts(StepStatus(place.status)), Extended()), Change)


def _place_of(tx: Transaction, run_id: str, step: int) -> _Place:
    scope, lane, children, *rest = tx.all("place_of_step", run_id=run_id, step=step)[0]
    return _Place(scope, lane, tx.integers(children), *rest)


def _who_waits(tx: Transaction, run_id: str, step: int) -> _Waiting:
    while True:
        place = _place_of(tx, run_id, step)
        children = {
            child: _place_of(tx, run_id, child) for child in place.children if child >= 0 and child != place.scope
        }
        gather = {child: each for child, each in children.items() if _gathers(each, step)}
        if gather:
            below = {child for each in gather.values() for child in each.children}
            watch = {child: each for child, each in children.items() if child in below and child not in gather}
            return _Waiting(step, place, gather, watch)
        if place.scope == RUN or place.scope not in place.children:
            raise RunStateError(
                f"Step {step} cannot add steps to its run: no later step gathers its result in a list, as the body of "
                "a chord does. Return a plan instead."
            )
        step = place.scope


def _gathers(place: _Place, source: int) -> bool:
    if place.rule in EARLY_RULES:
        return False
    exprs = [hole.what for hole in decode_holes(place.holes)]
    if place.result_expr is not None:
        exprs.append(decode_expr(place.result_expr))
    return any(_with_more(expr, source, _NOTHING) is not None for expr in exprs)


def _insert(
    act: Act, run_id: str, plan: Plan, base: int, waiting: _Waiting, gathered: Sequence[int]
) -> PlanRows:  # fmt: skip
    """Insert the rows of the plan, whose nodes `gathered` are those with the results."""
    scope = waiting.place.scope
    awaited_by: dict[int, list[int]] = {}
    if waiting.watch:
        awaited_by = {number: list(waiting.watch) for number in _watched(plan)}
    for number in gathered:
        awaited_by[number] = [*waiting.gather, *awaited_by.get(number, ())]
    lane = None if scope == RUN else _place_of(act.tx, run_id, scope).lane
    context = RowContext.at(act.now, act.tx)
    rows = plan_rows(context, plan, run_id=run_id, base=base, scope=scope, lane_above=lane, awaited_by=awaited_by)
    insert_steps(act.tx, [rows])
    alarms = alarms_of(act, plan, run_id=run_id, base=base)
    if alarms:
        act.tx.each("put_alarms", alarms)
    put_labels(act.tx, labels_of_plan(plan, run_id=run_id, base=base))
    return rows


def _watched(plan: Plan) -> list[int]:
    """What a failure may come from. What runs only because of one is not among it."""
    return [number for number, node in enumerate(plan.nodes) if node.rule is not JoinRule.SOME_FAILED]


def _let_wait(tx: Transaction, run_id: str, plan: Plan, waiting: _Waiting, more: Expr, ends: int) -> None:
    """Let all that waits wait for what was added as well: `ends` of its steps are awaited by the scope itself."""
    count = len(set(steps_in(more)))
    for step, place in waiting.gather.items():
        holes = tuple(
            Hole(hole.where, _with_more(hole.what, waiting.source, more) or hole.what)
            for hole in decode_holes(place.holes)
        )
        result = None if place.result_expr is None else decode_expr(place.result_expr)
        if result is not None:
            result = _with_more(result, waiting.source, more) or result
        tx.later(
            "gather_more", run_id=run_id, step=step, more=count, holes=encode_holes(holes),
            result_expr=None if result is None else encode_expr(result),
        )  # fmt: skip
    for step in waiting.watch:
        tx.later("wait_for_more", run_id=run_id, step=step, more=len(_watched(plan)))
    if waiting.place.scope == RUN:
        tx.later("run_waits_for_more", run_id=run_id, more=ends)
    else:
        tx.later("wait_for_more", run_id=run_id, step=waiting.place.scope, more=ends)


def _with_more(expr: Expr, source: int, more: Expr) -> Expr | None:
    """The expression with the items of `more` behind the list in which the result of `source` is; None without one."""
    match expr:
        case Span(first=first, last=last) if first <= source <= last:
            return _joined([expr], more)
        case Gather(items=items) if Ref(source) in items:
            return _joined([expr], more)
        case Concat(items=items) if any(item == Ref(source) or _is_item(item, source) for item in items):
            return _joined(items, more)
        case Gather(items=items):
            changed = _with_more_inside(items, source, more)
            return None if changed is None else Gather(changed)
        case Fields(keys=keys, items=items):
            changed = _with_more_inside(items, source, more)
            return None if changed is None else Fields(keys, changed)
    return None


def _is_item(expr: Expr, source: int) -> bool:
    return _with_more(expr, source, _NOTHING) is not None


def _with_more_inside(items: Sequence[Expr], source: int, more: Expr) -> tuple[Expr, ...] | None:
    changed = [_with_more(item, source, more) for item in items]
    if all(item is None for item in changed):
        return None
    return tuple(new or old for new, old in zip(changed, items, strict=True))


def _joined(lists: Sequence[Expr], more: Expr) -> Expr:
    """Lists, and one more; as short as can be, because a list may grow ten thousand times."""
    last = lists[-1]
    match last, more:
        case Span(first=first, last=end), Span(first=follows, last=to) if follows == end + 1:
            return _concat(lists[:-1], Span(first, to))
        case Span(first=first, last=end), Gather(items=(Ref(step=step, path=()),)) if step == end + 1:
            return _concat(lists[:-1], Span(first, step))
        case Gather(items=(Ref(step=first, path=()),)), Gather(items=(Ref(step=to, path=()),)) if to == first + 1:
            return _concat(lists[:-1], Span(first, to))
        case Gather(items=items), Gather(items=others):
            return _concat(lists[:-1], Gather((*items, *others)))
    return _concat(lists, more)


def _concat(lists: Sequence[Expr], last: Expr) -> Expr:
    return Concat((*lists, last)) if lists else last  # type: ignore[arg-type]
