"""What a platform runs for one attempt, whatever the platform: words, an environment, resources. Pure.

A step of a Python task runs `segue run-step`, which reports how it ended. A command (`shell(..., executor=)` and
`container(...)`) runs as it is, without Segue, so its exit code and what it left behind say how it ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from segue.authoring.command import DEFAULT_TAIL_BYTES, SHELL, filled
from segue.authoring.container import CONTAINER, ResultFrom, filled_words
from segue.dispatcher.protocol import RefusedError, Submission
from segue.engine.resolve import filled as filled_arguments
from segue.errors import DefinitionError, SerializationError
from segue.model import Job
from segue.plan.pushed import Resources, decode_spec

RESULT = "SEGUE_RESULT"
"""The variable that names the file into which a command writes its result, for `result="json"`."""


class Work(NamedTuple):
    """What the platform runs. `secrets` are references (variable → what the platform looks up), never values."""

    words: tuple[str, ...]
    environment: Mapping[str, str]
    resources: Resources = Resources()
    options: Mapping[str, Any] = {}
    timeout: float | None = None  # in seconds; the platform's own limit should be later for what reports by itself
    image: str | None = None
    secrets: Mapping[str, str] = {}
    cwd: str | None = None
    command: Command | None = None  # None: `segue run-step`, which reports by itself


class Command(NamedTuple):
    """How the end of a command is read."""

    result: ResultFrom = ResultFrom.EXIT
    check: bool = True
    tail_bytes: int = DEFAULT_TAIL_BYTES


def is_command(job: Job) -> bool:
    """Whether the job is a command, which runs without Segue."""
    return job.task in (SHELL, CONTAINER)


def work_of(submission: Submission, *, run_step: Sequence[str]) -> Work:
    """What the platform runs; `run_step` are the words for a Python task. Raises RefusedError."""
    job = submission.job
    try:
        spec = decode_spec(submission.spec)
        made = _command(job) if is_command(job) else Work(tuple(run_step), {}, timeout=job.timeout)
    except (DefinitionError, SerializationError, LookupError, TypeError, ValueError) as error:
        raise RefusedError(str(error)) from error
    environment = {**made.environment, **identity_of(job)}
    return made._replace(environment=environment, resources=spec.resources, options=spec.options)


def identity_of(job: Job) -> dict[str, str]:
    """The variables that tell a program which attempt it is. The idempotency key is that of all its attempts."""
    return {
        "SEGUE_RUN": job.run_id,
        "SEGUE_STEP": str(job.step),
        "SEGUE_ATTEMPT": str(job.attempt),
        "SEGUE_IDEMPOTENCY_KEY": f"{job.run_id}:{job.step}",
    }


def command_of(job: Job) -> Command:
    """How the end of a command is read."""
    _, kwargs = filled_arguments(job.args, job.holes, job.values)
    return _reading(kwargs)


def _command(job: Job) -> Work:
    args, kwargs = filled_arguments(job.args, job.holes, job.values)
    text = kwargs["command"]
    values = kwargs.get("values") or {}
    words: tuple[str, ...]
    if isinstance(text, str):
        words = ("/bin/sh", "-c", filled(text, tuple(args), values))
    else:
        words = filled_words(text, tuple(args), values)
    timeout = kwargs.get("timeout", job.timeout)
    environment = {str(name): str(value) for name, value in (kwargs.get("env") or {}).items()}
    return Work(
        words, environment, timeout=timeout, image=kwargs.get("image"), secrets=kwargs.get("secrets") or {},
        cwd=kwargs.get("cwd"), command=_reading(kwargs),
    )  # fmt: skip


def _reading(kwargs: Mapping[str, Any]) -> Command:
    result = ResultFrom(kwargs.get("result", ResultFrom.EXIT))
    return Command(result, bool(kwargs.get("check", True)), int(kwargs.get("tail_bytes", DEFAULT_TAIL_BYTES)))
