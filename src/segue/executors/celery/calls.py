"""The calls of a canvas, as they are collected, and the marks by which they are told apart."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from celery.canvas import Signature
from celery.exceptions import NotRegistered
from celery.utils.functional import arity_greater

from segue.model import Attempt

NOT_KEPT = frozenset(
    {
        "add_to_parent", "chain", "chord", "connection", "link", "link_error", "producer", "publisher", "result_cls",
        "router", "task_id", "task_type",
    }
)  # fmt: skip
"""Options of `send_task` that are of the caller's process, or that become edges of the plan."""

MEMBER = "segue_member"
"""What a stand-in for a chord's body says: the attempt of the step whose request it is in."""

OPEN = "segue_open"
"""An option of what stands for a chord's body in a group whose members are still being generated."""

IMMUTABLE = "is_immutable"
"""Among the options of an error callback that is called inline: it gets its own arguments only."""

BEFORE = "segue.before"
"""The task of a call that stands for what is before a canvas in a chain of Segue."""


class Pending:
    """Stands for the result of a call that has not run yet."""

    __slots__ = ("call",)

    def __init__(self, call: int) -> None:
        self.call = call

    def __copy__(self) -> Pending:
        return self

    def __deepcopy__(self, memo: object) -> Pending:
        return self

    def __repr__(self) -> str:
        return f"<the result of call {self.call}>"


class Kin:
    """What Celery keeps beside a call in its message: the first calls of each thing that follows it."""

    def __init__(self) -> None:
        self.chain: list[int] = []
        self.callbacks: list[list[int]] = []
        self.errbacks: list[list[int]] = []


class Call(NamedTuple):
    """One task that the canvas calls. `parents` are the calls whose success calls it."""

    number: int
    id: str
    task: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: dict[str, Any]  # what a message needs: queue, priority, expires, group_id, ...
    parents: tuple[int, ...]
    callbacks: list[Any]
    errbacks: list[Any]
    chain: list[Any]
    chord: Any
    is_member: bool  # of a chord's header
    is_body: bool  # of a chord
    header: tuple[int, ...]  # of a chord's body: the calls whose failure is the chord's
    on_failure: bool  # called because a parent failed, when all have ended
    is_inline: bool  # called with the request and the exception, by the process that has them
    error: str = ""  # why it cannot be called at all: its arguments do not fit the task


def is_open(chord: Any) -> bool:
    """Whether this is no chord's body, but stands for one in a group whose members are still being generated."""
    return isinstance(chord, dict) and OPEN in (dict.get(chord, "options") or ())


def member_of(chord: Any) -> Attempt | None:
    """The attempt of a member, if `chord` is what stands for the chord's body in its request."""
    found = dict.get(chord, MEMBER) if isinstance(chord, dict) else None
    return None if found is None else (str(found[0]), int(found[1]), int(found[2]))


def takes_exception(app: Any, errback: Signature) -> bool:
    """Whether Celery calls this error callback with (request, exception, traceback) instead of the task's id."""
    try:
        header = getattr(errback.type, "__header__", None)
        if header is None or isinstance(header, partial):
            return False
        return bool(app.backend._errback_arity_greater(errback, 1))
    except (NotRegistered, AttributeError):  # it is not known here, or this Celery asks more simply
        try:
            return bool(arity_greater(errback.type.__header__, 1))
        except NotRegistered:
            return False
