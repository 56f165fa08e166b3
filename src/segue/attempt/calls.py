"""The rules for calls of a task that are recorded: what is refused, and the words for it."""

from __future__ import annotations

from inspect import isawaitable
from typing import Any

from segue.engine.checkpoints import MOST_CHECKPOINTS, Call, Checkpoint, Kind
from segue.errors import CheckpointError

_FROM_SCRATCH = "or run the step from scratch: segue retry RUN --from STEP --fresh"


def check_same(what: str, call: Call, known: Checkpoint) -> None:
    """Raise CheckpointError unless the record is of this very call."""
    if call.fingerprint == known.fingerprint:
        return
    if (call.kind, call.name) == (known.kind, known.name):
        raise CheckpointError(
            f"{what} was called with other arguments than in attempt {known.attempt}, which recorded it. Pass the same "
            f"arguments in every attempt: they may depend on those of the task and on recorded results; {_FROM_SCRATCH}"
        )
    there = known.kind if known.kind == Kind.SLEEP else f"{known.kind} {known.name!r}"
    raise CheckpointError(
        f"{what} was called where attempt {known.attempt} had recorded {there} (number {known.ordinal + 1}). Every "
        "attempt must make the same calls in the same order: decide by the arguments of the task and by recorded "
        f"results only, not by the clock or chance, and put new calls behind the old ones; {_FROM_SCRATCH}"
    )


def check_order(what: str, call: Call, raised: Call | None) -> None:
    """Raise CheckpointError if an earlier call raised, the task caught that, and this is not the same call again."""
    if raised is not None and raised.fingerprint != call.fingerprint:
        raise CheckpointError(
            f"{what} was called after checkpoint({raised.name!r}) had raised, and the task caught that. A failure is "
            "not recorded, so the next attempt could not go on from here. Catch it inside the function, and return "
            "what the task needs to know of it; or make the same call again"
        )


def check_number(what: str, call: Call) -> None:
    """Raise CheckpointError for a record more than a step may have."""
    if call.ordinal >= MOST_CHECKPOINTS:
        raise CheckpointError(
            f"{what} would be record {call.ordinal + 1:,} of its step, which may have {MOST_CHECKPOINTS:,}. Let one "
            "call do more, or make it several steps"
        )


def called_twice(what: str, name: str) -> CheckpointError:
    """The error for a name that was used before."""
    return CheckpointError(
        f"{what} was called twice in one attempt. Give each call a name of its own; in a loop, with the number of the "
        f"round: checkpoint(f'{name} {{number}}', ...)"
    )


def called_meanwhile(what: str) -> CheckpointError:
    """The error for a call while another one has not ended."""
    return CheckpointError(
        f"{what} was called while another call has not ended. Calls come one after another: not inside a function that "
        "is itself recorded, nor in several threads or coroutines at once. For work side by side, make it steps: "
        "task.map(items)"
    )


def no_awaitable(what: str, value: Any) -> Any:
    """The value. Raises CheckpointError for the coroutine of a function that is not an `async def` itself."""
    if isawaitable(value):
        close = getattr(value, "close", None)
        if callable(close):
            close()
        raise CheckpointError(
            f"{what} was given a function that returns an awaitable; give the `async def` function itself"
        )
    return value
