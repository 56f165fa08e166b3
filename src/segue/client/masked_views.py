"""Views as they are shown: their errors, output, reasons, messages and metadata without secrets.

What `segue.masking` recognizes is hidden. Arguments and results are hidden by `segue.client.argument_masking`, which
knows the annotations of the code. Promise: the view that is given is not changed, and a view without secrets costs
little, because views of a hundred thousand steps are shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from segue.client.output import OutputInfo
from segue.client.views import (
    AttemptInfo,
    CheckpointInfo,
    ErrorGroup,
    ErrorGroups,
    ErrorKind,
    EventInfo,
    FailedAttempt,
    MessageInfo,
    ProgressInfo,
    Reason,
    RunInfo,
    StepInfo,
)
from segue.masking import HIDDEN, masked, masked_text
from segue.model import ErrorInfo, FailureInfo

V = TypeVar("V", bound=msgspec.Struct)


def without_secrets(view: V) -> V:
    """The same view without the secrets in its texts.

    Example::

        for attempt in run.attempts():
            print(without_secrets(attempt).error)
    """
    for kind, fields in _FIELDS.items():
        if isinstance(view, kind):
            given = {name: getattr(view, name) for name in fields}
            changes = {name: fields[name](value) for name, value in given.items() if value}
            return msgspec.structs.replace(view, **changes) if changes else view
    return view


def _json_text(text: str) -> str:
    """JSON in a text: a value that was recorded."""
    try:
        return msgspec.json.encode(masked(msgspec.json.decode(text))).decode()
    except msgspec.MsgspecError:
        return HIDDEN


def _all(views: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(without_secrets(view) for view in views)


_FIELDS: dict[type[msgspec.Struct], dict[str, Callable[[Any], Any]]] = {
    StepInfo: {"error": without_secrets, "progress": without_secrets, "metadata": masked},
    RunInfo: {"error": without_secrets, "metadata": masked},
    AttemptInfo: {"error": without_secrets, "output": masked_text},
    Reason: {"text": masked_text},
    CheckpointInfo: {"value": _json_text},
    MessageInfo: {"value": _json_text},
    EventInfo: {"detail": masked},
    OutputInfo: {"text": masked_text, "problem": masked_text},
    ProgressInfo: {"message": masked_text},
    ErrorInfo: {"message": masked_text, "traceback": masked_text},
    FailureInfo: {"message": masked_text},
    FailedAttempt: {"error": without_secrets},
    ErrorGroup: {"message": masked_text},
    ErrorGroups: {"groups": _all},
    ErrorKind: {"failures": _all},
}
"""The fields of each kind of view that may hold secrets, and what hides them."""
