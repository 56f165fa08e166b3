"""The audit log of what is done over HTTP: each change, each refusal, who, from where and why.

An entry is written when the change has been made, or was refused. It also goes to the logger `segue.audit`, before
the database, so that a database that is away hides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from segue.errors import SegueError
from segue.masking import masked_text
from segue.observing.harmless_log import get_logger
from segue.web.problems import ProblemError, problem_of

if TYPE_CHECKING:
    from segue.web.operations import Call, Operation

T = TypeVar("T")
NAMING = ("name", "work", "workflow", "role", "verb", "status")
"""The fields of a body that say what is changed."""

_log = get_logger("segue.audit")


def audited(name: str, call: Call, arguments: Mapping[str, Any], function: Callable[[], T]) -> T:
    """Do what changes something, and write who did it, or who was refused."""
    try:
        result = function()
    except Exception as error:
        problem = problem_of(error)
        _write(name, call, arguments, ok=False, reason=problem.detail if problem else "the server failed")
        raise
    _write(name, call, arguments, ok=True, reason=getattr(arguments.get("body"), "reason", None))
    return result


def check_reason(operation: Operation, call: Call, arguments: Mapping[str, Any]) -> None:
    """Refuse what cannot be undone without a reason, if the site asks for one. Raises ProblemError."""
    reason = getattr(arguments.get("body"), "reason", "")
    if call.settings.requires_reason and operation.is_destructive and reason is None:
        raise ProblemError(400, "ReasonRequired", "Say why: here, what cannot be undone needs a reason.")


def _write(name: str, call: Call, arguments: Mapping[str, Any], *, ok: bool, reason: str | None) -> None:
    target = _target(arguments)
    identity = call.identity
    _log.info(
        "%s %s%s by %s (%s, %s) from %s", name, "done" if ok else "refused", target and f" {target}", identity.name,
        identity.how, identity.role.word, call.address,
        extra={"action": name, "actor": identity.name, "ok": ok, "request_id": call.request_id},
    )  # fmt: skip
    try:
        call.segue.access.record(
            name, ok=ok, actor=identity.name, how=identity.how, role=identity.role.word,
            target=_storable(target), reason=_storable(reason), address=call.address, request_id=call.request_id,
        )  # fmt: skip
    except SegueError as error:
        _log.error("the audit log cannot be written: %s", error)


def _storable(text: str | None) -> str | None:
    """The text without NUL, which no database stores: what is refused because of it has its entry, too."""
    return text.replace("\x00", "\ufffd") if text else None


def _target(arguments: Mapping[str, Any]) -> str:
    """What is changed: the names in the path, and those in the body that say which, never values."""
    told = {part: value for part, value in arguments.items() if part not in ("body", "query")}
    body = arguments.get("body")
    told |= {part: value for part in NAMING if isinstance(value := getattr(body, part, None), str) and value}
    return "/".join(f"{part}={masked_text(str(value))}" for part, value in told.items())
