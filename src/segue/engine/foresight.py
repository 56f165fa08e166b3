"""Asks ahead about attempts that returned plans, so that the answers come with the lock of their run.

Each answer that is waited for is an exchange with a server. Besides the state of its step (`record`), a plan needs two,
one after another: whether it may take the step's place, and how many steps the run has. Both are asked right after the
lock, so they are what they would be if they were asked later.

Invariant: only for an attempt whose run nothing else in the report is about. Between the question and its use this
transaction changes nothing in that run, and no other can.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import NamedTuple

from segue.errors import PlanError, SerializationError
from segue.model import Attempt, Outcome, Ref
from segue.plan import codec
from segue.plan.graph import Plan
from segue.store.protocol import Later, Transaction


class Foreseen(NamedTuple):
    """The questions about one attempt that returned a plan."""

    plan: Plan | None = None  # that it returned; its names are not yet those that are stored
    size: Later | None = None  # of its run
    scope: Later | None = None  # in which the only step of the plan may take the step's place


def foresee(tx: Transaction, returned: Sequence[Outcome], alone: Set[Attempt]) -> dict[Attempt, Foreseen]:
    """Ask about attempts that returned plans, except those that are not `alone` in their run."""
    if tx.dialect == "sqlite":  # an answer takes no exchange there
        return {}
    asked = {(outcome.run_id, outcome.step, outcome.attempt): outcome for outcome in returned}
    return {attempt: _ask(tx, outcome) for attempt, outcome in asked.items() if attempt in alone}


def is_one_call(plan: Plan) -> bool:
    """Whether a plan is a single step and its result."""
    return len(plan.nodes) == 1 and plan.nodes[0].hook is None and plan.result == Ref(0)


def ask_for_scope(tx: Transaction, run_id: str, step: int) -> Later:
    """Ask for the scope in which a single call may take the place of this step, and the children of that step."""
    return tx.later("scope_to_pass_on", run_id=run_id, step=step, result_expr=codec.encode_expr(Ref(step)))


def _ask(tx: Transaction, outcome: Outcome) -> Foreseen:
    try:
        plan = codec.decode(outcome.result or "")
    except (PlanError, SerializationError):  # raised again where it is known whose fault it is
        return Foreseen()
    scope = ask_for_scope(tx, outcome.run_id, outcome.step) if is_one_call(plan) else None
    return Foreseen(plan, tx.later("size_of_run", run_id=outcome.run_id), scope)
