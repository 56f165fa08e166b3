"""What a token may do that is limited to some workflows or to some operations: what is not named here is refused.

Tokens are limited in what they change. Everything may be read by a token that is limited to workflows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from segue.client.starting import find_defined, find_known
from segue.web.problems import ProblemError
from segue.web.roles import Identity

if TYPE_CHECKING:
    from segue.web.operations import Call, Operation

READS_PAGES = "read_pages"
"""The scope of a token that is limited to operations, and with which a person may look at the pages as well."""


def check_workflow(operation: Operation, call: Call, arguments: Mapping[str, Any]) -> None:
    """Refuse what a token that is limited to some workflows may not change. Raises ProblemError."""
    patterns = call.identity.workflows
    if patterns is None or not operation.changes:
        return
    if "run_id" in arguments:
        name: str | None = call.segue.get(arguments["run_id"]).info().workflow
    else:
        found = _WORKFLOWS.get(operation.name)
        name = None if found is None else found(call, arguments)
    if name is None or not any(fnmatchcase(name, pattern) for pattern in patterns):
        raise ProblemError(403, "Forbidden", f"This token is limited to the workflows {', '.join(patterns)}.")


def check_pages(identity: Identity) -> None:
    """Refuse the pages to a token that is limited to operations: they show what other operations read.

    Raises ProblemError.
    """
    if identity.scopes is not None and READS_PAGES not in identity.scopes:
        raise ProblemError(
            403, "Forbidden", f"This token is limited to operations of the API. With the scope {READS_PAGES}, it could "
            "also open pages.",
        )  # fmt: skip


def check_new_token(identity: Identity, scopes: list[str] | None, workflows: list[str] | None) -> None:
    """Refuse a new token that is less limited than the one with which it is made. Raises ProblemError."""
    if identity.scopes is not None and not (scopes and identity.scopes.issuperset(scopes)):
        raise ProblemError(403, "Forbidden", "This token is limited, so it makes only tokens with some of its scopes.")
    if identity.workflows is not None and not (workflows and set(identity.workflows).issuperset(workflows)):
        raise ProblemError(403, "Forbidden", "This token is limited, so it makes only tokens for its own workflows.")


def _of_start(call: Call, arguments: Mapping[str, Any]) -> str:
    """The full name of what is started; the request may have the short one."""
    given = arguments["body"].name
    work = find_known(given)
    name: str = find_defined(call.segue, given).name if work is None else work.name
    return name


def _of_schedule(call: Call, arguments: Mapping[str, Any]) -> str:
    return call.segue.schedules.get(arguments["name"]).workflow


def _of_new_schedule(call: Call, arguments: Mapping[str, Any]) -> str | None:
    work = find_known(arguments["body"].work)
    name: str | None = None if work is None else work.name
    return name


def _of_selection(call: Call, arguments: Mapping[str, Any]) -> str | None:
    """The workflow by which the runs are selected: it holds for runs that are named by their ids as well."""
    workflow: str | None = arguments["body"].workflow
    return workflow


_WORKFLOWS: dict[str, Callable[[Call, Mapping[str, Any]], str | None]] = {
    "start_run": _of_start,
    "apply_selection": _of_selection,
    "create_schedule": _of_new_schedule,
    **dict.fromkeys(
        ("update_schedule", "remove_schedule", "activate_schedule", "deactivate_schedule", "run_schedule",
         "backfill_schedule"), _of_schedule,
    ),
}  # fmt: skip
"""Which workflow an operation is about that is not about a run. All others are refused."""
