"""Other arguments for a step that has not begun, or that is to be tried again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from segue.engine.events import record_event
from segue.engine.locking import lock_run
from segue.engine.reopening.run_graph import find_step, is_begun
from segue.engine.verbs import Done, said
from segue.errors import PlanError, Problem, RunStateError
from segue.model import ENGINE_TASKS, StepStatus
from segue.plan.check import MAX_ARGUMENT_BYTES, Knows, Parameters
from segue.plan.codec import decode_holes, encode_holes
from segue.plan.lanes import is_open
from segue.store.protocol import Store, Transaction

SHOWN_BYTES = 2000
"""Longer arguments are not written down with the event."""

_decode = msgspec.json.Decoder(tuple[list[msgspec.Raw], dict[str, msgspec.Raw]]).decode
_encode = msgspec.json.Encoder().encode


class NewArguments(NamedTuple):
    """What is to be other: all positional arguments (None: they stay), and those of these names. Each is JSON text."""

    positional: Sequence[str] | None = None
    named: Mapping[str, str] = {}


def edit_step(
    store: Store,
    tx: Transaction,
    run_id: str,
    now: datetime,
    *,
    step: str | int,
    new: NewArguments,
    parameters: Knows,
    actor: str | None = None,
    reason: str | None = None,
) -> Done:
    """Give a step, of this name or number, other arguments; when it has ended, for the next `retry`.

    Where a new argument stands nothing is filled in any more from other steps. Raises PlanError when its task does not
    take them, and RunStateError for a step that runs, waits or succeeded, and for a join.
    """
    status = lock_run(tx, run_id).status
    number = find_step(tx, run_id, step)
    tx.later("lock_ready_steps", run_id=run_id)
    name, task, is_join, step_status, args, holes, lane = tx.all("step_arguments", run_id=run_id, step=number)[0]
    _refuse(name, task, step_status, run_id, has_plan=bool(is_join) and not is_open(lane))
    before = (args, holes)
    after = with_new(*before, new, name=name, task=task, parameters=parameters)
    if after == before:
        return Done(status, False)
    tx.later("set_arguments", run_id=run_id, step=number, args=after[0], holes=after[1])
    detail = {"before": _shown(args), "after": _shown(after[0])}
    record_event(tx, now, "step.edited", run_id=run_id, step=number, **detail, **said(actor, reason))
    return Done(status, True)


def with_new(
    args: str, holes: str | None, new: NewArguments, *, name: str, task: str, parameters: Knows
) -> tuple[str, str | None]:
    """The arguments and holes of a step with the new ones in their places; raises PlanError."""
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
    _check(name, task, len(positional), named, len(encoded), parameters)
    return encoded, encode_holes(kept)


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
        why = "it runs now. Wait until it has ended, or stop it first: pause the run with stop_running"
    elif status == StepStatus.SUCCEEDED:
        why = "it succeeded. To have it done again with other arguments, fork the run at it"
    elif task in ENGINE_TASKS and status == StepStatus.READY:
        why = "it waits already. Skip it, or mark it with a result"
    elif has_plan and status == StepStatus.BLOCKED and task not in ENGINE_TASKS:
        why = "its task returned a plan, whose steps are being worked"
    else:
        return
    raise RunStateError(f"Cannot change the arguments of {name} of run {run_id}: {why}.")


def _shown(args: str) -> Any:
    return msgspec.Raw(args.encode()) if len(args) <= SHOWN_BYTES else f"{len(args)} bytes"
