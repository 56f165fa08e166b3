"""What is asked about attempts before it is needed, so that the answers come with the lock of their run.

Each answer that is waited for is an exchange with a server. Of an attempt that returned a plan three are needed, one
after another: its step, whether the plan may take the step's place, and how many steps the run has. All are asked right
behind the lock, so they are what they would be if they were asked later.

Invariant: only for an attempt whose run nothing else in the report is about. Between the question and its use this
transaction changes nothing in that run, and no other can.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from segue.errors import PlanError, SerializationError
from segue.model import Attempt, Outcome, Ref, Verdict
from segue.plan import codec
from segue.plan.graph import Plan
from segue.store.protocol import Later, Transaction


class Foreseen(NamedTuple):
    """The questions about one attempt."""

    state: Later
    plan: Plan | None = None  # that it returned; its names are not yet those that are stored
    size: Later | None = None  # of its run
    scope: Later | None = None  # in which the only step of the plan may take the step's place


def foresee(
    tx: Transaction, plain: Sequence[Outcome], others: Sequence[Outcome], known: Mapping[Attempt, object]
) -> dict[Attempt, Foreseen]:
    """Ask about each of `others` whose run no other outcome is of. The plans of `known` have been read already."""
    if tx.dialect == "sqlite":  # an answer takes no exchange there
        return {}
    count = Counter(outcome.run_id for outcome in (*plain, *others))
    return {
        (outcome.run_id, outcome.step, outcome.attempt): _ask(tx, outcome, known)
        for outcome in others
        if count[outcome.run_id] == 1
    }


def is_one_call(plan: Plan) -> bool:
    """Whether a plan is a single step and its result."""
    return len(plan.nodes) == 1 and plan.nodes[0].hook is None and plan.result == Ref(0)


def ask_for_scope(tx: Transaction, run_id: str, step: int) -> Later:
    """Ask for the scope in which a single call may take the place of this step, and the children of that step."""
    return tx.later("scope_to_pass_on", run_id=run_id, step=step, result_expr=codec.encode_expr(Ref(step)))


def _ask(tx: Transaction, outcome: Outcome, known: Mapping[Attempt, object]) -> Foreseen:
    run_id, step = outcome.run_id, outcome.step
    state = tx.later("step_state", run_id=run_id, step=step)
    if outcome.verdict != Verdict.EXPANDED or (run_id, step, outcome.attempt) in known:
        return Foreseen(state)
    try:
        plan = codec.decode(outcome.result or "")
    except (PlanError, SerializationError):  # raised again where it is known whose fault it is
        return Foreseen(state)
    scope = ask_for_scope(tx, run_id, step) if is_one_call(plan) else None
    return Foreseen(state, plan, tx.later("size_of_run", run_id=run_id), scope)
