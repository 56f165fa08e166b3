"""The spec of a step: what its message needs besides plain arguments, as JSON."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
from dramatiq import JSONEncoder, get_encoder

from segue.authoring.filling import Fetch
from segue.errors import SerializationError
from segue.given import shown
from segue.observing.harmless_log import get_logger
from segue.plan.frames import has_frame, unknown_kind
from segue.plan.payload_frames import read_through

logger = get_logger("segue.dramatiq")

FENCE = "segue"
"""The option that says of which attempt a message is: [run, step, attempt], and 1 if that holds places of limits."""

NOT_KEPT = frozenset(
    {
        FENCE, "eta", "group_completion_callbacks", "group_completion_uuid", "pipe_target", "redis_message_id",
        "requeue_timestamp", "retries",
    }
)  # fmt: skip
"""Options that are of one delivery, or that become edges of the plan."""

_UNWRITABLE = (TypeError, ValueError, OverflowError, RecursionError)


class Spec(msgspec.Struct, omit_defaults=True):
    """What the row of a step has in `spec`."""

    options: dict[str, Any] = {}
    encoded: str | None = None  # base64 of what the project's encoder makes of what JSON cannot hold
    unknown: int = 0  # how often a process had it that does not know the actor
    is_pause: bool = False  # it only takes time: no message is sent for it


def written(spec: Spec) -> str:
    """A spec as text."""
    return msgspec.json.encode(spec).decode()


def read(text: str | None) -> Spec:
    """A spec of its text."""
    return msgspec.json.decode(text, type=Spec) if text else Spec()


def plain(value: Any) -> Any:
    """A value as it comes out of a JSON message. Raises TypeError or ValueError for one that JSON cannot hold."""
    return json.loads(json.dumps(value, allow_nan=False))


def keeps_json(value: Any) -> bool:
    """Whether a message with this value may be stored as JSON: the project's encoder makes nothing else of it."""
    if isinstance(get_encoder(), JSONEncoder):
        return True
    waiting = [value]
    while waiting:
        item = waiting.pop()
        kind = type(item)
        if kind is dict:
            if not all(type(key) is str for key in item):
                return False
            waiting.extend(item.values())
        elif kind is list:
            waiting.extend(item)
        elif kind not in (str, int, float, bool, type(None)):
            return False
    return True


def encoded(what: dict[str, Any], of: str) -> str:
    """What JSON cannot hold, by the encoder of the project. Raises SerializationError."""
    try:
        return base64.b64encode(get_encoder().encode(what)).decode("ascii")
    except Exception as error:
        raise SerializationError(
            f"{of} has {shown(what)}, which the encoder of this project cannot hold: {error}. "
            "Pass a value that it can hold, or an identifier"
        ) from error


def decoded(text: str) -> dict[str, Any]:
    """The same again."""
    return dict(get_encoder().decode(base64.b64decode(text)))


def write_result(value: Any) -> str:
    """What an actor returned, as JSON. Raises SerializationError."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except _UNWRITABLE as error:
        raise SerializationError(f"the result is {shown(value)}, which JSON cannot hold: {error}") from error


def read_json(text: str, fetch: Fetch | None = None) -> Any:
    """A stored value; with `fetch`, also one that lies in a payload store.

    Raises SerializationError for any other frame of Segue, which no message can carry.
    """
    if has_frame(text):
        if fetch is None:
            raise unknown_kind(text)
        return read_through(text, json.loads, fetch)
    return json.loads(text)


def stored(message: Any) -> tuple[list[Any], dict[str, Any], str]:
    """The arguments of a message as a step has them, and its spec. What JSON cannot hold is in the spec.

    Raises SerializationError for what the encoder of the project cannot hold, either.
    """
    options = _kept(message.options)
    args = list(message.args)
    try:
        if keeps_json([args, message.kwargs, options]):
            args, kwargs, options = plain([args, message.kwargs, options])
            return args, kwargs, written(Spec(options))
    except _UNWRITABLE:
        pass
    what = {"args": args, "kwargs": message.kwargs, "options": options}
    return [], {}, written(Spec(encoded=encoded(what, f"the message of {message.actor_name}")))


def changed(text: str | None, options: dict[str, Any], *, is_unknown: bool) -> str:
    """The spec for a retry, whose message has other options. Options that no encoder can hold stay as they were."""
    before = read(text)
    found = Spec(before.options, before.encoded, before.unknown + is_unknown, before.is_pause)
    kept = _kept(options)
    try:
        if before.encoded is None and keeps_json(kept):
            found.options = plain(kept)
        else:
            values = decoded(before.encoded) if before.encoded is not None else {"args": [], "kwargs": {}}
            found.encoded = encoded({**values, "options": kept}, "a retry")
    except (*_UNWRITABLE, SerializationError) as error:
        logger.warning("The options of a retry cannot be kept: %s", error)
    return written(found)


def _kept(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in NOT_KEPT}
