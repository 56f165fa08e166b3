"""Segue's own tasks, as `segue.shell`, can run any command on a worker: over HTTP they are refused as a rule."""

from __future__ import annotations

from segue.web.operations import Call
from segue.web.problems import ProblemError
from segue.web.roles import Role

OWN = "segue."


def refuse_own(call: Call, work: str | None) -> None:
    """Refuse to start or change one of Segue's own tasks, unless the server allows it and an admin asks.

    Raises ProblemError.
    """
    if work is None or not work.startswith(OWN):
        return
    if not call.settings.allow_shell:
        raise ProblemError(
            403, "OwnTask", f"{work} can run commands on workers, so it is neither started nor changed over HTTP. "
            "`segue web --allow-shell` permits it to admins.",
        )  # fmt: skip
    if call.identity.role < Role.ADMIN:
        raise ProblemError(403, "OwnTask", f"{work} can run commands on workers, so only an admin may use it.")
