"""The errors of a server, as the classes that `Segue` raises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import segue.errors as known
from segue.errors import PlanError, Problem, SegueError


class RemoteError(SegueError, RuntimeError):
    """The server refused a request, for example because the token has not the role. `status` and `code` say why."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code = status, code


def error_of(status: int, problem: Mapping[str, Any]) -> SegueError:
    """The error that a problem describes: one of Segue's own, or a RemoteError."""
    code, detail = str(problem.get("code", "")), str(problem.get("detail") or f"The server answered {status}.")
    kind = getattr(known, code, None)
    if kind is PlanError:
        return _plan_error(detail, problem.get("problems") or [])
    if isinstance(kind, type) and issubclass(kind, SegueError):
        return kind(detail)
    return RemoteError(status, code or "Unknown", detail)


def _plan_error(detail: str, problems: list[Mapping[str, str]]) -> PlanError:
    found = PlanError(
        detail.partition(" cannot be run")[0],
        [Problem(each["node"], each["what"], each["remedy"]) for each in problems],
    )
    found.args = (detail,)
    return found
