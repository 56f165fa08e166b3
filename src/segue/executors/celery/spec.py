"""The spec of a step: the options of its message, and beside them what Segue needs to know of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

from segue.errors import SerializationError
from segue.executors.celery.codec import loads
from segue.given import shown

BODY = "is_body"
"""It is the body of a chord."""

INLINE = "is_inline"
"""It is an error callback that is called with the exception, not sent."""

DELAYED = "is_delayed"
"""It had a countdown or an ETA. Segue held it back; the task finds an ETA in its request, as with Celery."""

ERROR = "error"
"""Why it fails instead of being sent."""

KIN = "kin"
"""What stands for `request.chain`, `.callbacks`, `.errbacks` and `.chord` of the task: see standins.py."""

GENERATED = "is_generated"
"""It stands for a generator, which a process consumes; no message is sent for it."""

WATCHES = "watches"
"""The step whose task an error callback gets the id of, seen from its own: in a fork that task has another id."""

OURS = frozenset({BODY, INLINE, DELAYED, ERROR, KIN, GENERATED, WATCHES})


_IDS = UUID("6f1c0f0e-6a55-4a0b-9d0f-5e6c0e9b7d11")


def task_id_of(handle: str | None, run_id: str, step: int) -> str:
    """The id of a step's task. One without a handle, as in a fork, gets an id that is the same whenever it is sent."""
    return handle or str(uuid5(_IDS, f"{run_id}/{step}"))


def options_of(spec: str | None) -> dict[str, Any]:
    """The spec as a dict. Raises SerializationError for one that is damaged."""
    try:
        found = loads(spec or "{}")
    except ValueError as error:
        raise SerializationError(f"the options of its message cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise SerializationError(f"the options of its message are {shown(found)}, and no JSON object")
    return found


def has(spec: str | None, word: str) -> Any:
    """What the spec says under one of these words, or None; quick where it has none of them."""
    return options_of(spec).get(word) if spec is not None and word in spec else None
