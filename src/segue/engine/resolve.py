"""Turns references into the JSON they stand for, when a step is claimed or a result is read.

Results stay where they were produced. A join holds an expression over other steps; joins are followed with a worklist,
never by recursion, so that graphs may be as deep as they like.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from segue.model import RUN, Expr, Hook, StepStatus
from segue.plan.codec import decode_expr, decode_holes, evaluate, steps_in
from segue.store.protocol import Transaction

_decode = msgspec.json.decode


def load(tx: Transaction, run_id: str, wanted: Iterable[int], known: dict[int, str] | None = None) -> dict[int, str]:
    """The results of steps of a run as JSON text; null for those that have none (skipped, failed, not done)."""
    values: dict[int, str] = dict(known or {})
    exprs: dict[int, Expr] = {}
    missing = {step for step in wanted if step not in values}
    while missing:
        found: set[int] = set()
        for step, status, result, is_join, result_expr in tx.all("load_results", run_id=run_id, steps=sorted(missing)):
            found.add(step)
            if result is not None:
                values[step] = result
            elif is_join and result_expr is not None and status == StepStatus.SUCCEEDED:
                exprs[step] = decode_expr(result_expr)
            else:
                values[step] = "null"
        values.update(dict.fromkeys(missing - found, "null"))
        missing = {
            step for expr in (exprs[n] for n in found if n in exprs) for step in steps_in(expr)
            if step not in values and step not in exprs
        }  # fmt: skip
    _compose(exprs, values)
    return values


def _compose(exprs: dict[int, Expr], values: dict[int, str]) -> None:
    """Give every join its value, those first that the others need."""
    stack = list(exprs)
    while stack:
        step = stack[-1]
        if step in values:
            stack.pop()
            continue
        waiting = [needed for needed in steps_in(exprs[step]) if needed not in values]
        if waiting:
            stack.extend(waiting)
        else:
            values[step] = evaluate(exprs[step], values)
            stack.pop()


def filled(args: str, holes: str | None, values: Mapping[int, str]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a step that the engine itself works, as plain values."""
    template = _decode(args)
    for hole in decode_holes(holes):
        place = template
        for key in hole.where[:-1]:
            place = place[key]
        place[hole.where[-1]] = _decode(evaluate(hole.what, values))
    return template[0], template[1]


def is_true(raw: str) -> bool:
    """Python's truth of a JSON text."""
    return bool(_decode(raw))


def hook_value(tx: Transaction, run_id: str, step: int) -> str:
    """What `Ref(RUN)` is to a hook: the result of its run or scope for `on_success`, else how that ended and why."""
    hook, scope = tx.all("hook_scope", run_id=run_id, step=step)[0]
    workflow, outcome, error, result_expr = tx.all("run_outcome", run_id=run_id)[0]
    name = workflow
    if scope != RUN:
        name, outcome, error, result_expr = tx.all("scope_outcome", run_id=run_id, step=scope)[0]
    if hook == Hook.ON_SUCCESS:
        if result_expr is None:
            return "null"
        expr = decode_expr(result_expr)
        return evaluate(expr, load(tx, run_id, steps_in(expr)))
    info = {"run_id": run_id, "workflow": name, "status": outcome, "error": _decode(error) if error else None}
    return msgspec.json.encode(info).decode()
