"""Values as they are stored, secrets included, for an admin. Each look leaves a line in the audit log."""

from __future__ import annotations

from typing import Any

import msgspec

from segue.errors import NotFinishedError, RunFailedError
from segue.web.api.given import Why
from segue.web.operations import Call, operation
from segue.web.roles import Role


class Revealed(msgspec.Struct):
    """Arguments as [args, kwargs], and the result; nothing is hidden."""

    arguments: list[Any] | None
    result: Any = None


@operation("POST", "/runs/{run_id}/reveal", Role.ADMIN, is_destructive=True)
def reveal_run(call: Call, run_id: str, body: Why) -> Revealed:
    """Show the arguments and the result of a run with their secrets. The audit log says who saw them."""
    run = call.segue.get(run_id)
    try:
        result = run.result()
    except (NotFinishedError, RunFailedError):
        result = None
    return Revealed(run.info().arguments, result)


@operation("POST", "/runs/{run_id}/steps/{step:name}/reveal", Role.ADMIN, is_destructive=True)
def reveal_step(call: Call, run_id: str, step: str, body: Why) -> Revealed:
    """Show the arguments and the result of a step with their secrets. The audit log says who saw them."""
    found = call.segue.get(run_id).step(step).info()
    return Revealed(found.arguments, found.result)
