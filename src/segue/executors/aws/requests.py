"""What is sent to Amazon, made of what a step runs. Pure.

Image, roles, secrets and disks belong to a *definition*; command, environment and sizes of a step are *overrides*.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from segue.authoring.container import ResultFrom
from segue.config import DATABASE_VARIABLE
from segue.dispatcher.protocol import Push, RefusedError, Submission
from segue.dispatcher.work import RESULT, Work, is_command, is_variable, work_of
from segue.executors.aws.fargate import MIB

LEAST_TIMEOUT = 60
GRACE_SECONDS = 60
RESULT_URL = "SEGUE_RESULT_URL"
_RESERVED = ("AWS_BATCH_",)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an executor was given that every step of it shares."""

    image: str | None = None
    definition: str | None = None
    platform: str = "FARGATE"
    job_role: str | None = None
    execution_role: str | None = None
    cpu: float = 1
    memory_bytes: int = 2 * 2**30
    log_group: str = ""
    results: str | None = None  # "s3://bucket/prefix/"
    database_secret: str | None = None
    modules: tuple[str, ...] = ()
    python: str = "python"

    @property
    def is_fargate(self) -> bool:
        """Whether Amazon has the machines."""
        return self.platform != "EC2"


def run_step_words(push: Push, settings: Settings) -> list[str]:
    """The words with which a Python task is run by a process that reports into the database by itself."""
    apps = [word for module in settings.modules for word in ("-A", module)]
    return [settings.python, "-m", "segue", "run-step", "--push", push.id, *apps]


def work_for(submission: Submission, settings: Settings) -> Work:
    """What the platform runs, with what every container of Segue's gets. Raises RefusedError."""
    push = submission.push
    work = work_of(submission, run_step=run_step_words(push, settings))
    told: dict[str, str] = {}
    if settings.results is not None:
        told |= {RESULT: result_url(push, settings.results), RESULT_URL: result_url(push, settings.results)}
    elif work.command is not None and work.command.result is ResultFrom.JSON:
        raise RefusedError(
            'result="json" needs a bucket for results: give the executor results="s3://bucket/prefix/" and let the '
            f'command write there (${RESULT_URL}), or take result="last_line"'
        )
    secrets = dict(work.secrets)
    if not is_command(submission.job) and settings.database_secret is not None:
        secrets[DATABASE_VARIABLE] = settings.database_secret
    given = work.options.get("environment")
    more = filled(given, push) if isinstance(given, Mapping) else {}
    for name in (*work.environment, *more):
        if not is_variable(name):
            raise RefusedError(f"{name!r} cannot be the name of a variable; use letters, digits and '_'")
        if name.startswith(_RESERVED):
            raise RefusedError(f"the variable {name} cannot be set: names that begin with AWS_BATCH_ are Amazon's")
    return work._replace(environment={**more, **work.environment, **told}, secrets=secrets)


def filled(given: Mapping[str, Any], push: Push) -> dict[str, str]:
    """Texts in which `{push}`, `{run}`, `{step}` and `{attempt}` stand for those of the attempt."""
    run_id, step, attempt = push.attempt
    places = {"{push}": push.id, "{run}": run_id, "{step}": str(step), "{attempt}": str(attempt)}
    values = {}
    for name, value in given.items():
        text = str(value)
        for place, known in places.items():
            text = text.replace(place, known)
        values[str(name)] = text
    return values


def definition_choice(work: Work, settings: Settings) -> str | None:
    """The definition that exists and is used as it is; None if one is made of the image. Raises RefusedError."""
    named = work.options.get("definition")
    if named is not None and work.image is not None:
        raise RefusedError(
            f"push= names the definition {named!r}, which has an image of its own, and the step the image "
            f"{work.image!r}; give one of the two"
        )
    if named is None and work.image is None:
        named = settings.definition
    if named is not None:
        own = sorted(name for name in work.secrets if name != DATABASE_VARIABLE)
        if own:
            raise RefusedError(
                f"secrets= ({', '.join(own)}) belong to a definition, and {named!r} exists already; add them there"
            )
        return str(named)
    if work.image is None and settings.image is None:
        raise RefusedError(
            "the step has no image: give the executor image=... or definition=..., or push={'definition': ...}"
        )
    if work.command is None and DATABASE_VARIABLE not in work.secrets:
        raise RefusedError(
            "a Python task needs the database: give the executor database_secret=..., the ARN of a secret that holds "
            f"the URL, or a definition that sets {DATABASE_VARIABLE}"
        )
    return None


def words_in(work: Work) -> list[str]:
    """The command of the container. A working directory needs a shell in the image: no override sets one."""
    if work.cwd is None:
        return list(work.words)
    return ["/bin/sh", "-c", 'cd "$0" && exec "$@"', work.cwd, *work.words]


def named_values(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Variables as Amazon writes them."""
    return [{"name": name, "value": value} for name, value in sorted(values.items())]


def named_secrets(secrets: Mapping[str, str]) -> list[dict[str, str]]:
    """References to secrets as Amazon writes them."""
    return [{"name": name, "valueFrom": reference} for name, reference in sorted(secrets.items())]


def mebibytes(size: int) -> int:
    """A size in MiB, rounded up."""
    return math.ceil(size / MIB)


def timeout_of(work: Work) -> int | None:
    """Amazon's own limit, in seconds: that of a command, or later than the limit of a task, which says more."""
    if work.timeout is None:
        return None
    return math.ceil(work.timeout) + (0 if work.command is not None else GRACE_SECONDS)


def result_url(push: Push, results: str) -> str:
    """Where a command leaves its result."""
    return f"{results.rstrip('/')}/{push.name}.json"


def check_options(options: Mapping[str, Any], known: Mapping[str, type]) -> None:
    """Raises RefusedError for options of `push=` that do not exist, or are of another kind."""
    unknown = sorted(options.keys() - known.keys())
    if unknown:
        raise RefusedError(f"push= has unknown options {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    for name, value in options.items():
        if not isinstance(value, known[name]) or isinstance(value, bool):
            raise RefusedError(
                f"push={{{name!r}: {value!r}}} is a {type(value).__name__}, and not a {known[name].__name__}"
            )


def check_size(overrides: Any, words: Sequence[str], environment: Mapping[str, str], *, most: int) -> None:
    """Raises RefusedError if Amazon would not take overrides of this length; it names what is long."""
    size = len(json.dumps(overrides).encode())
    if size <= most:
        return
    sizes = {f"the variable {name}": len(value.encode()) for name, value in environment.items()}
    sizes["the command"] = sum(len(word.encode()) for word in words)
    longest = max(sizes, key=lambda what: sizes[what])
    raise RefusedError(
        f"command and environment are {size:,} bytes long, and Amazon takes {most:,}; {longest} alone has "
        f"{sizes[longest]:,}. Write long values to a bucket, and give the step their place"
    )


def merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """The second over the first: dicts are merged, lists are appended, anything else is replaced."""
    found = dict(base)
    for name, value in more.items():
        before = found.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            found[name] = merged(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            found[name] = [*before, *value]
        else:
            found[name] = value
    return found
