"""Segue's own tasks, as `segue.shell`, can run any command on a worker: over HTTP they are refused as a rule."""

from __future__ import annotations

from segue.authoring.compose import Signature
from segue.authoring.webhook import webhook
from segue.web.operations import Call
from segue.web.problems import ProblemError
from segue.web.roles import Role

OWN = "segue."


def target_of(call: Call, url: str) -> Signature | str:
    """The target of a subscription that is made over HTTP: a web server outside of private networks.

    With --allow-shell, an admin may name any target. Raises ProblemError.
    """
    if "://" not in url:
        raise ProblemError(422, "InvalidBody", "The body is not valid: `to` is no URL.")
    if call.settings.allow_shell:
        return url
    if url.partition("://")[0].lower() not in ("http", "https"):
        raise ProblemError(
            403, "OwnTask", "Over HTTP a subscription may only send to http:// and https:// addresses. Add others with "
            "`segue subscriptions add`, or serve the pages with --allow-shell.",
        )  # fmt: skip
    return webhook.s(url, public_only=True)


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
