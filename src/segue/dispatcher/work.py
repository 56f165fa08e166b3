"""What a platform runs for one attempt, whatever the platform: words, an environment, resources. Pure.

A step of a Python task runs `segue run-step`, which reports how it ended. A command (`shell(..., executor=)` and
`container(...)`) runs as it is, without Segue, so its exit code and what it left behind say how it ended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from segue.authoring.command import DEFAULT_TAIL_BYTES, SHELL, filled
from segue.authoring.container import ResultFrom, filled_words
from segue.authoring.filling import no_store
from segue.authoring.pushed import CONTAINER
from segue.dispatcher.protocol import RefusedError, Submission
from segue.engine.resolve import filled as filled_arguments
from segue.errors import DefinitionError, SerializationError
from segue.model import Job
from segue.observing.tracing.switch import tracing
from segue.payloads.keeping import Payloads
from segue.plan.frames import has_frame
from segue.plan.payload_frames import text_through
from segue.plan.pushed import Resources, decode_spec

RESULT = "SEGUE_RESULT"
"""The variable that names the file into which a command writes its result, for `result="json"`."""

PUSH = "SEGUE_PUSH"
"""The variable that says which push it is."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


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
    is_container: bool = True


COMMANDS = frozenset({SHELL, CONTAINER})
"""The tasks that run without Segue."""


def is_command(job: Job) -> bool:
    """Whether the job is a command, which runs without Segue."""
    return job.task in COMMANDS


def work_of(submission: Submission, *, run_step: Sequence[str]) -> Work:
    """What the platform runs; `run_step` are the words for a Python task. Raises RefusedError."""
    job = submission.job
    try:
        spec = decode_spec(submission.spec)
        made = _command(job) if is_command(job) else Work(tuple(run_step), {}, timeout=job.timeout)
    except (DefinitionError, SerializationError, LookupError, TypeError, ValueError) as error:
        raise RefusedError(str(error)) from error
    environment = {**made.environment, **identity_of(job), PUSH: submission.push.id}
    resources = spec.resources.after(submission.out_of_memory)
    return _checked(made._replace(environment=environment, resources=resources, options=spec.options))


def is_variable(name: str) -> bool:
    """Whether a variable can have this name, in every shell."""
    return _VARIABLE.fullmatch(name) is not None


def _checked(work: Work) -> Work:
    """Raises RefusedError for what no process can have, on any platform."""
    for name in (*work.environment, *work.secrets):
        if not is_variable(name):
            raise RefusedError(f"{name!r} cannot be the name of a variable; use letters, digits and '_'")
    twice = sorted(work.environment.keys() & work.secrets.keys())
    if twice:
        raise RefusedError(f"the variable {twice[0]} is given by env, or by Segue, and by secrets; give it once")
    told = (work.words, work.environment, work.secrets, work.options, work.image, work.cwd)
    for text in _texts(told):
        if "\0" in text:
            raise RefusedError("a word, a variable or an option holds a NUL character, which no process can have")
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise RefusedError("a word, a variable or an option holds half of a surrogate pair, which is not text")
    return work


def _texts(given: Any) -> Iterator[str]:
    if isinstance(given, str):
        yield given
    elif isinstance(given, Mapping):
        yield from _texts((*given.keys(), *given.values()))
    elif isinstance(given, (list, tuple)):
        for each in given:
            yield from _texts(each)


def with_values(job: Job, payloads: Payloads | None) -> Job:
    """The job with the values that lie in a payload store in place of the references to them.

    Raises PayloadError, also if there is no store.
    """
    if not any(map(has_frame, (job.args, *job.values.values()))):
        return job
    fetch = no_store if payloads is None else payloads.text_of
    values = {number: text_through(text, fetch) for number, text in job.values.items()}
    return msgspec.structs.replace(job, args=text_through(job.args, fetch), values=values)


def identity_of(job: Job) -> dict[str, str]:
    """The variables that tell a program which attempt it is, and the span of its run if this process traces.

    The idempotency key is that of all its attempts.
    """
    span = {} if tracing.spans is None else {"TRACEPARENT": tracing.spans.traceparent_of_run(job.run_id, job.trace)}
    return {
        **span,
        "SEGUE_RUN": job.run_id,
        "SEGUE_STEP": str(job.step),
        "SEGUE_ATTEMPT": str(job.attempt),
        "SEGUE_IDEMPOTENCY_KEY": f"{job.run_id}:{job.step}",
    }


def command_of(args: str) -> Command:
    """How the end of a command is read, from its arguments as they are stored; of a damaged row, in the usual way."""
    try:
        _, kwargs = msgspec.json.decode(args, type=tuple[list[Any], dict[str, Any]])
        return _reading(kwargs)
    except (msgspec.MsgspecError, ValueError, TypeError):
        return Command()


def _command(job: Job) -> Work:
    args, kwargs = filled_arguments(job.args, job.holes, job.values)
    text = kwargs["command"]
    values = kwargs.get("values") or {}
    words: tuple[str, ...]
    if isinstance(text, str):
        words = ("/bin/sh", "-c", filled(text, tuple(args), values))
    else:
        words = filled_words(text, tuple(args), values)
    timeouts = [given for given in (kwargs.get("timeout"), job.timeout) if given is not None]
    return Work(
        words, _variables("env", kwargs), timeout=min(timeouts, default=None), image=_text("image", kwargs),
        secrets=_variables("secrets", kwargs), cwd=_text("cwd", kwargs), command=_reading(kwargs),
    )  # fmt: skip


def _variables(key: str, kwargs: Mapping[str, Any]) -> dict[str, str]:
    """The values may be results of other steps, so they are checked only here. Raises TypeError."""
    given = kwargs.get(key) or {}
    if not isinstance(given, Mapping) or not all(isinstance(value, (str, int, float)) for value in given.values()):
        raise TypeError(f"{key}= is not a dict of variables whose values are texts or numbers")
    return {str(name): str(value) for name, value in given.items()}


def _text(key: str, kwargs: Mapping[str, Any]) -> str | None:
    given = kwargs.get(key)
    if given is not None and not isinstance(given, str):
        raise TypeError(f"{key}= is {type(given).__name__}, and not a text")
    return given


def _reading(kwargs: Mapping[str, Any]) -> Command:
    result = ResultFrom(kwargs.get("result", ResultFrom.EXIT))
    tail_bytes = int(kwargs.get("tail_bytes", DEFAULT_TAIL_BYTES))
    return Command(result, bool(kwargs.get("check", True)), tail_bytes, "image" in kwargs)
