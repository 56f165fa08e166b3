"""Turns references into JSON values, when a step is claimed or a result is read.

Results stay where they were produced. A join contains an expression over other steps; joins are followed with a
worklist, never by recursion, so that graphs may be arbitrarily deep.

Promise: if one row makes a value impossible (a path that leads nowhere, a text that is not JSON, joins that refer to
each other), only readers of that value get a `SerializationError`. `load` itself raises only the errors of the
database.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from segue.engine.stored import arguments_of, error_of, names_of, object_of
from segue.errors import SerializationError
from segue.model import RUN, Expr, Hook, StepStatus
from segue.plan.codec import NULL, UNREADABLE, decode_expr, decode_holes, evaluate, steps_in, unreadable
from segue.plan.frames import has_frame, read, unknown_kind
from segue.plan.namespaces import bare
from segue.plan.payload_frames import is_true_unread
from segue.store.protocol import Transaction

_STEP_LIMIT = 2**31  # of the column; a damaged reference may contain any number
_WITH_PARTS = (StepStatus.SUCCEEDED, StepStatus.FAILED)
_decode = msgspec.json.decode
_encode = msgspec.json.encode
_EVALUATING = (*UNREADABLE, LookupError, AttributeError)


class Values(dict[int, str]):
    """Results of steps as JSON text. `bad` has the reason for each result that cannot be read, where null stands in."""

    __slots__ = ("bad",)

    def __init__(self, known: Mapping[int, str] | None = None) -> None:
        super().__init__(known or {})
        self.bad: dict[int, SerializationError] = {}

    def of(self, steps: Iterable[int]) -> dict[int, str]:
        """The results of these steps. Raises the SerializationError of the first that cannot be read."""
        found = {step: self[step] for step in steps}
        if self.bad:
            for step in found:
                if step in self.bad:
                    raise self.bad[step]
        return found

    def spoil(self, step: int, error: SerializationError) -> None:
        """Mark this result as unreadable."""
        self[step] = NULL
        self.bad[step] = error


def load(tx: Transaction, run_id: str, wanted: Iterable[int], known: Mapping[int, str] | None = None) -> Values:
    """The results of steps of a run as JSON text; null for those that have none (skipped, failed, not done).

    A step that failed because of the plan that its task returned gives what there is of the plan's result: of a
    fan-out, the list with null for each member that failed.
    """
    values = Values(known)
    exprs: dict[int, tuple[Expr, list[int]]] = {}  # of joins, with the steps that each needs
    partial: set[int] = set()  # those of them that failed
    missing = {step for step in wanted if step not in values}
    while missing:
        asked = sorted(step for step in missing if 0 <= step < _STEP_LIMIT)
        values.update(dict.fromkeys(missing, NULL))
        needed: set[int] = set()
        for step, status, result, is_join, result_expr in tx.all("load_results", run_id=run_id, steps=asked):
            if result is not None:
                _take(values, step, result)
            elif is_join and result_expr is not None and status in _WITH_PARTS:
                try:
                    expr = decode_expr(result_expr)
                    exprs[step] = (expr, list(steps_in(expr)))
                except SerializationError as error:
                    values.spoil(step, error)
                    continue
                if status == StepStatus.FAILED:
                    partial.add(step)
                del values[step]
                needed.update(exprs[step][1])
        missing = {step for step in needed if step not in values and step not in exprs}
    _compose(exprs, values, partial)
    return values


def ends(tx: Transaction, run_id: str, steps: Iterable[int], results: Values) -> dict[int, str]:
    """How these steps ended, each as the JSON of a `segue.Outcome`, whose value is its result."""
    asked = sorted(steps)
    found: dict[int, str] = {}
    for step, name, status, error in tx.all("load_ends", run_id=run_id, steps=asked):
        value = results.of([step])[step] if status == StepStatus.SUCCEEDED else NULL
        info = error_of(error) if status in (StepStatus.FAILED, StepStatus.CANCELLED) else None
        why = None if info is None else {"type": info.type, "message": info.message}
        head = _encode({"step": name, "status": status, "error": why}).decode()
        found[step] = f'{head[:-1]},"value":{value}}}'
    return found


def _take(values: Values, step: int, result: object) -> None:
    if type(result) is str:
        values[step] = result
    else:
        values.spoil(step, unreadable(f"the result of step {step}", result, TypeError("it is not a text")))


def _compose(exprs: dict[int, tuple[Expr, list[int]]], values: Values, partial: Collection[int]) -> None:
    """Compute the value of every join, in the order of their dependencies.

    Those in `partial` failed: where a part that they refer to does not exist, they have no value.
    """
    stack = list(exprs)
    entered: set[int] = set()
    while stack:
        step = stack[-1]
        if step in values:
            stack.pop()
            continue
        expr, needs = exprs[step]
        waiting = [needed for needed in needs if needed not in values]
        if waiting and step not in entered:
            entered.add(step)
            stack.extend(waiting)
            continue
        stack.pop()
        try:
            if waiting:  # the search through its dependencies came back to it
                circle = RecursionError("it refers to itself")
                raise unreadable(f"the result of step {step}", f"made of steps {waiting[:5]}", circle)
            values[step] = value_of(expr, values, needs)
        except SerializationError as error:
            if step in partial:
                values[step] = NULL
            else:
                values.spoil(step, error)


def value_of(expr: Expr, values: Mapping[int, str], needs: Iterable[int] | None = None) -> str:
    """The value of an expression. Raises SerializationError for anything that cannot be read."""
    if isinstance(values, Values) and values.bad:
        values.of(steps_in(expr) if needs is None else needs)
    try:
        return evaluate(expr, values)
    except SerializationError:
        raise
    except _EVALUATING as error:
        raise unreadable("a result", expr, error) from None


def run_value(tx: Transaction, run_id: str, result_expr: str | None) -> str:
    """The result of a run or scope for its expression; null if that is None. Raises SerializationError."""
    if result_expr is None:
        return NULL
    expr = decode_expr(result_expr)
    return value_of(expr, load(tx, run_id, steps_in(expr)))


def filled(args: str, holes: str | None, values: Mapping[int, str]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a step that the engine itself executes, as plain values. Raises SerializationError."""
    try:
        template = read(args)
        for hole in decode_holes(holes):
            place = template
            for key in hole.where[:-1]:
                place = place[key]
            place[hole.where[-1]] = read(value_of(hole.what, values))
        positional, named = template
        if not isinstance(positional, list) or not isinstance(named, dict):
            raise TypeError("it is not [args, kwargs]")
    except SerializationError:
        raise
    except _EVALUATING as error:
        raise unreadable("the arguments of a step", args, error) from None
    return positional, named


def is_true(raw: str) -> bool:
    """The truth value, as in Python, of a JSON text. Raises SerializationError, also for a part of a payload."""
    truth = truth_of(raw)
    if truth is None:
        raise unknown_kind(raw)
    return truth


def truth_of(raw: str) -> bool | None:
    """The same; None for a part of a payload, which only a reader of payloads can judge. Raises SerializationError."""
    try:
        return is_true_unread(raw) if has_frame(raw) else bool(read(raw))
    except SerializationError:
        raise
    except UNREADABLE as error:
        raise unreadable("whether a result is true", raw, error) from None


def hook_value(tx: Transaction, run_id: str, step: int) -> str:
    """The value of `Ref(RUN)` for a hook: the result of its run or scope for `on_success`, otherwise how it ended and
    why.

    Raises SerializationError.
    """
    hooks = tx.all("hook_scope", run_id=run_id, step=step)
    hook, scope = hooks[0] if hooks else (None, RUN)
    runs = tx.all("run_outcome", run_id=run_id)
    scopes = runs if scope == RUN else tx.all("scope_outcome", run_id=run_id, step=scope)
    if not hooks or not runs or not scopes:
        raise SerializationError(f"the run {run_id} of this hook is no longer in the database")
    name, outcome, error, result_expr = scopes[0]
    if hook == Hook.ON_SUCCESS:
        return run_value(tx, run_id, result_expr)
    key, tags, metadata, arguments = tx.all("hook_facts", run_id=run_id)[0]
    try:
        info = {
            "run_id": run_id, "workflow": bare(name) if scope == RUN else name, "status": outcome,
            "error": _decode(error) if error else None, "key": key, "tags": names_of(tags),
            "metadata": object_of(metadata), "arguments": arguments_of(arguments) if scope == RUN else None,
        }  # fmt: skip
        return _encode(info).decode()
    except UNREADABLE as why:
        raise unreadable("why its run failed", error, why) from None
