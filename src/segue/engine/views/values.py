"""The arguments and the result of a step, as JSON values. Reads only, and opens no payloads.

A value in a payload store stays a reference, `{"$segue.payload": [reference, digest, bytes]}`. The result of another
step that is not there yet is null.
"""

from __future__ import annotations

from typing import Any

import msgspec

from segue.engine.resolve import Values, hook_value, load, value_of
from segue.engine.stored import arguments_of
from segue.engine.views.look import StepInfo, step_of_row
from segue.errors import SerializationError
from segue.model import RUN, Hole, StepStatus
from segue.plan.codec import UNREADABLE, decode_holes, steps_in
from segue.store.protocol import Transaction


def step_with_values(tx: Transaction, run_id: str, number: int) -> StepInfo | None:
    """A step with its arguments and its result; None for what cannot be read, and if there is no such step."""
    for args, filled_from, result, *row in tx.all("step_with_values", run_id=run_id, step=number):
        step = step_of_row(tx, row)
        arguments = None if step.task is None else _arguments(tx, run_id, step, args, filled_from)  # a join has none
        return msgspec.structs.replace(step, arguments=arguments, result=_result(tx, run_id, step, result))
    return None


def _arguments(tx: Transaction, run_id: str, step: StepInfo, args: Any, filled_from: Any) -> list[Any] | None:
    template = arguments_of(args)
    if template is None:
        return None
    try:
        holes = decode_holes(filled_from)
        values = load(tx, run_id, {number for hole in holes for number in steps_in(hole.what) if number != RUN})
        if any(RUN in steps_in(hole.what) for hole in holes):
            _add_outcome_of_run(tx, run_id, step, values)
        for hole in holes:
            _fill(template, hole, values)
    except (*UNREADABLE, LookupError, SerializationError):
        return None
    return template


def _add_outcome_of_run(tx: Transaction, run_id: str, step: StepInfo, values: Values) -> None:
    """What a hook receives about its run; null before the run has an outcome."""
    is_due = step.attempt > 0 or step.status is not StepStatus.BLOCKED
    values[RUN] = hook_value(tx, run_id, step.step) if is_due else "null"


def _fill(template: Any, hole: Hole, values: Values) -> None:
    place = template
    for key in hole.where[:-1]:
        place = place[key]
    try:
        filling = msgspec.json.decode(value_of(hole.what, values))
    except SerializationError:  # a part of a result that is not there yet
        filling = None
    place[hole.where[-1]] = filling


def _result(tx: Transaction, run_id: str, step: StepInfo, text: Any) -> Any:
    if step.status is not StepStatus.SUCCEEDED:
        return None
    try:
        if isinstance(text, str):
            return msgspec.json.decode(text)
        return msgspec.json.decode(load(tx, run_id, [step.step]).of([step.step])[step.step])  # it may be a join
    except (*UNREADABLE, SerializationError):
        return None
