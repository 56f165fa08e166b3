"""`edit`: new arguments for a step that has not begun, or for the next retry of one that has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from segue.engine.act import Act
from segue.engine.acting import audit_detail
from segue.engine.at_hand import with_payloads
from segue.engine.audit import record_event
from segue.engine.locking import lock_run
from segue.engine.reopening.run_graph import find_step, is_begun, why_begun
from segue.engine.resolve import load
from segue.engine.unfinished import refuse_unfinished
from segue.engine.verbs import Done
from segue.errors import PlanError, Problem, RunStateError, SerializationError
from segue.model import ENGINE_TASKS, FINAL_STEP_STATUSES, StepStatus
from segue.plan.check import MAX_ARGUMENT_BYTES, Knows, Parameters, size_of
from segue.plan.codec import decode_holes, encode_holes
from segue.plan.lanes import close, is_open, needed_steps, with_arguments
from segue.store.protocol import Transaction

_decode = msgspec.json.Decoder(tuple[list[msgspec.Raw], dict[str, msgspec.Raw]]).decode
_encode = msgspec.json.Encoder().encode


class NewArguments(NamedTuple):
    """All positional arguments (None: no change), and arguments by name. Each is JSON text."""

    positional: Sequence[str] | None = None
    named: Mapping[str, str] = {}
    check: Callable[[str], None] | None = None  # gets the task's name; raises SerializationError for wrong values


def edit_step(
    act: Act,
    run_id: str,
    *,
    step: str | int,
    new: NewArguments,
    parameters: Knows,
    actor: str | None = None,
    reason: str | None = None,
) -> Done:
    """Give new arguments to a step, found by name or number. If it has ended, the next `retry` uses them.

    A new argument replaces a reference to the result of another step. If an argument is the key of a limit, or of a
    fair share, the step waits under the new key from then on. Raises PlanError if the task does not accept the
    arguments, and RunStateError for a step that runs, waits or succeeded, and for a join.
    """
    status = lock_run(act.tx, run_id).status
    refuse_unfinished(act.tx, run_id)  # it may write the step's arguments or lane, or end it
    number = find_step(act.tx, run_id, step)
    act.tx.later("lock_ready_steps", run_id=run_id)
    row = act.tx.all("step_arguments", run_id=run_id, step=number)[0]
    name, task, is_join, step_status, args, holes, lane, planned = row
    _refuse(name, task, step_status, run_id, has_plan=bool(is_join) and not is_open(lane))
    before = (args, holes)
    after = with_new(*before, new, name=name, task=task, parameters=parameters)
    if after == before:
        return Done(status, False)
    act.tx.later("set_arguments", run_id=run_id, step=number, args=after[0], holes=after[1])
    if lane is not None:
        moved = moved_lane(planned or lane, after, name)
        if moved != (planned or lane):
            _move(act.tx, run_id, number, step_status, moved)
    changed = _changed(new, parameters(task))
    record_event(act, "step.edited", run_id=run_id, step=number, changed=changed, **audit_detail(actor, reason))
    return Done(status, True)


def with_new(
    args: str, holes: str | None, new: NewArguments, *, name: str, task: str, parameters: Knows
) -> tuple[str, str | None]:
    """The arguments and holes of a step after the change; raises PlanError."""
    if new.check is not None:
        new.check(task)
    positional, named = _decode(args)
    gone: set[tuple[int, int | str]] = set()  # places that no longer refer to another step
    if new.positional is not None:
        gone.update((0, place) for place in range(len(positional)))
        positional = [msgspec.Raw(text.encode()) for text in new.positional]
    places = {} if new.positional is not None else _places(parameters(task), len(positional))
    for key, text in new.named.items():
        if key in places:  # it was given by position, and stays there
            gone.add((0, places[key]))
            positional[places[key]] = msgspec.Raw(text.encode())
        else:
            gone.add((1, key))
            named[key] = msgspec.Raw(text.encode())
    kept = tuple(hole for hole in decode_holes(holes) if hole.where[:2] not in gone)
    encoded = _encode([positional, named]).decode()
    _check(name, task, len(positional), named, size_of(encoded), parameters)
    return encoded, encode_holes(kept)


def moved_lane(lane: str, after: tuple[str, str | None], name: str) -> str:
    """The lane of a step with its new arguments and holes; raises PlanError if they do not contain the key."""
    try:
        return with_arguments(lane, after[0], decode_holes(after[1]))
    except SerializationError as error:
        what = f"the key of its limit or fair share cannot be determined: {error}"
        raise PlanError(name, [Problem(name, what, "Pass an argument that contains it")]) from None


def _move(tx: Transaction, run_id: str, step: int, status: str, lane: str) -> None:
    """Move a step to another lane. Its new key may have a free place, so workers are woken."""
    planned: str | None = lane
    if StepStatus(status) in FINAL_STEP_STATUSES:  # for the next retry
        tx.later("set_planned_lane", run_id=run_id, step=step, planned_lane=lane)
        return
    if status == StepStatus.READY and is_open(lane):  # the results that its other keys depend on are there
        lane = close(lane, with_payloads(load(tx, run_id, needed_steps(lane))))
    else:
        planned = None
    tx.later("set_lane", run_id=run_id, step=step, lane=lane, planned_lane=planned)
    tx.later("wake")


def _changed(new: NewArguments, takes: Parameters | None) -> list[str]:
    """The names of the changed arguments, for the event. It has no values, so that an edit can remove a secret."""
    names = takes.positional if takes is not None else ()
    places = range(len(new.positional or ()))
    return [*(names[place] if place < len(names) else f"argument {place}" for place in places), *new.named]


def _places(takes: Parameters | None, count: int) -> dict[str, int]:
    """The positions of those of the first `count` parameters that have names; empty for an unknown task."""
    if takes is None:
        return {}
    return {name: place for place, name in enumerate(takes.positional[:count]) if name in takes.named}


def _check(name: str, task: str, count: int, named: Mapping[str, Any], size: int, parameters: Knows) -> None:
    problems = []
    takes = parameters(task)
    mistake = takes.mistake(count, named) if takes is not None else None
    if takes is not None and mistake is not None:
        problems.append(Problem(name, mistake, f"Call it as {task.rpartition('.')[2]}{takes.text}"))
    if size > MAX_ARGUMENT_BYTES:
        what = f"its arguments are {size:,} bytes and may be {MAX_ARGUMENT_BYTES:,}"
        problems.append(Problem(name, what, "Store the data, and pass where it is"))
    if problems:
        raise PlanError(name, problems)


def _refuse(name: str, task: str | None, status: str, run_id: str, *, has_plan: bool) -> None:
    if task is None:
        why = "it is a join, which has no arguments"
    elif is_begun(status):
        why = f"{why_begun(status)}. Wait until it has ended, or stop it first: pause the run with stop_running"
    elif status == StepStatus.SUCCEEDED:
        why = "it succeeded. To have it done again with other arguments, fork the run at it"
    elif task in ENGINE_TASKS and status == StepStatus.READY:
        why = "it waits already. Skip it, or mark it with a result"
    elif has_plan and status == StepStatus.BLOCKED and task not in ENGINE_TASKS:
        why = "its task returned a plan whose steps have not all ended"
    else:
        return
    raise RunStateError(f"Cannot change the arguments of {name} of run {run_id}: {why}.")
