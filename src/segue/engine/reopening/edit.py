"""Other arguments for a step that has not begun, or that is to be tried again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from segue.engine.act import Act
from segue.engine.audit import record_event
from segue.engine.locking import lock_run
from segue.engine.reopening.run_graph import find_step, is_begun, why_begun
from segue.engine.resolve import load
from segue.engine.unfinished import refuse_unfinished
from segue.engine.verbs import Done, audit_detail
from segue.errors import PlanError, Problem, RunStateError, SerializationError
from segue.model import ENGINE_TASKS, FINAL_STEP_STATUSES, StepStatus
from segue.plan.check import MAX_ARGUMENT_BYTES, Knows, Parameters, size_of
from segue.plan.codec import decode_holes, encode_holes
from segue.plan.lanes import close, is_open, needed_steps, with_arguments
from segue.store.protocol import Transaction

_decode = msgspec.json.Decoder(tuple[list[msgspec.Raw], dict[str, msgspec.Raw]]).decode
_encode = msgspec.json.Encoder().encode


class NewArguments(NamedTuple):
    """What is to be other: all positional arguments (None: they stay), and those of these names. Each is JSON text."""

    positional: Sequence[str] | None = None
    named: Mapping[str, str] = {}
    check: Callable[[str], None] | None = None  # told the task, raises SerializationError when it cannot take them


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
    """Give a step, of this name or number, other arguments; when it has ended, for the next `retry`.

    Where a new argument stands nothing is filled in any more from other steps. When an argument is the key of a limit,
    or of the step's turn, the step waits under the new key from then on. Raises PlanError when its task does not
    take them, and RunStateError for a step that runs, waits or succeeded, and for a join.
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
    """The arguments and holes of a step with the new ones in their places; raises PlanError."""
    if new.check is not None:
        new.check(task)
    positional, named = _decode(args)
    gone: set[tuple[int, int | str]] = set()  # places in which nothing is filled in any more
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
    """The lane in which a step belongs with its new arguments and holes; raises PlanError when its key is not there."""
    try:
        return with_arguments(lane, after[0], decode_holes(after[1]))
    except SerializationError as error:
        what = f"the key of its limit, or turn, cannot be told: {error}"
        raise PlanError(name, [Problem(name, what, "Give an argument that has it")]) from None


def _move(tx: Transaction, run_id: str, step: int, status: str, lane: str) -> None:
    """Let a step wait in another lane: under the new key, for which there may be a place."""
    planned: str | None = lane
    if StepStatus(status) in FINAL_STEP_STATUSES:  # for the next retry
        tx.later("set_planned_lane", run_id=run_id, step=step, planned_lane=lane)
        return
    if status == StepStatus.READY and is_open(lane):  # the results that its other keys depend on are there
        lane = close(lane, load(tx, run_id, needed_steps(lane)))
    else:
        planned = None
    tx.later("set_lane", run_id=run_id, step=step, lane=lane, planned_lane=planned)
    tx.later("wake")


def _changed(new: NewArguments, takes: Parameters | None) -> list[str]:
    """What the event says: which arguments, and not their values, so that a secret that is edited away is gone."""
    names = takes.positional if takes is not None else ()
    places = range(len(new.positional or ()))
    return [*(names[place] if place < len(names) else f"argument {place}" for place in places), *new.named]


def _places(takes: Parameters | None, count: int) -> dict[str, int]:
    """Where the first `count` parameters stand that may also be given by name; nothing of a task that is not known."""
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
        why = "its task returned a plan, whose steps are being worked"
    else:
        return
    raise RunStateError(f"Cannot change the arguments of {name} of run {run_id}: {why}.")
