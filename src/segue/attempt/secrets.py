"""Takes the secrets of an attempt out of texts: the arguments whose parameters are annotated with `Secret`.

Promise: it never raises. It costs nothing for a task without such parameters.
"""

from __future__ import annotations

from typing import Any

from segue.authoring import declared, values
from segue.authoring.mapping import MAP_BATCH, MAP_BATCH_ASYNC
from segue.masking import known_secrets, without_secrets
from segue.model import ErrorInfo, Job
from segue.plan.codec import decode_holes


def secrets_of(job: Job) -> list[str]:
    """The secret texts in the arguments of this attempt, the longest first."""
    task = declared.tasks.get(job.task)
    if task is None:
        return []
    try:
        if job.task in (MAP_BATCH, MAP_BATCH_ASYNC):
            return known_secrets(_secrets_of_batch(job))
        if not task.converters.has_secrets:
            return []
        return known_secrets(task.converters.secret_values(*_arguments(job)))
    except Exception:  # noqa: BLE001 - annotations of the user, or arguments that cannot be read
        return []


def _secrets_of_batch(job: Job) -> list[Any]:
    """Those of each item that `map(..., batch=n)` gives to one attempt."""
    [items], told = _arguments(job)
    target = declared.tasks.get(told["target"])
    if target is None or not target.converters.has_secrets:
        return []
    given = [list(item) if told["star"] else [item] for item in items]
    return [secret for item in given for secret in target.converters.secret_values(item, told["fixed"])]


def _arguments(job: Job) -> tuple[list[Any], dict[str, Any]]:
    return values.fill(job.args, () if job.holes is None else decode_holes(job.holes), job.values)


def hide_in(job: Job, text: str) -> str:
    """The text without the secrets of this attempt."""
    return without_secrets(text, secrets_of(job)) if text else text


def hide_so_far(job: Job, text: str) -> str:
    """The output of a running attempt without its secrets, also without the beginning of one at its end."""
    if not text:
        return text
    secrets = secrets_of(job)
    text = without_secrets(text, secrets)
    for secret in secrets:
        begun = next((n for n in range(len(secret) - 1, 0, -1) if text.endswith(secret[:n])), 0)
        text = text[: len(text) - begun]
    return text


def hide_in_error(job: Job, error: ErrorInfo) -> ErrorInfo:
    """The error without them."""
    secrets = secrets_of(job)
    if not secrets:
        return error
    return ErrorInfo(
        error.type, without_secrets(error.message, secrets), without_secrets(error.traceback, secrets)
    )  # fmt: skip
