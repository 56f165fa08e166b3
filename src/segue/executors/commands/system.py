"""What differs between batch systems: the words of their programs, and what the answers mean. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from segue.attempt import spool
from segue.dispatcher.protocol import Cause, Phase, RefusedError, Sighting
from segue.dispatcher.work import Work
from segue.executors.programs import Answer

BUSY_SECONDS = 30.0
GRACE_SECONDS = 60  # by which the limit of the system is later than that of a task, whose own error says more
MIB = 2**20
SIGNALS_FROM = 128  # an exit code above says, by convention, that a signal ended a process

ARGUMENTS = frozenset({
    "modules", "setup", "python", "where", "environment", "secrets", "settings", "runtime", "pace", "command_seconds"
})  # fmt: skip
NO_FOLDER = 84
"""The exit code of a job on whose machine the shared folder is missing."""
ASKED_TO_END = 85
"""The exit code of a command that ended because its job was asked to end."""


class Asked(NamedTuple):
    """A job to be submitted."""

    name: str
    folder: Path  # of this attempt, on the shared file system
    work: Work
    options: Mapping[str, Any]  # checked: the defaults of the executor, changed by the step's
    variables: Sequence[str]  # names of those that go along


class JobLine(NamedTuple):
    """A job as a program shows it. `cause` and `exit_code` are set when it has ended."""

    id: str
    name: str
    phase: Phase
    reason: str | None = None
    host: str | None = None
    cause: Cause | None = None
    exit_code: int | None = None  # as a process's own: minus the number of a signal
    is_stuck: bool = False  # it waits for something that will not come by itself


class Look(NamedTuple):
    """A call that asks how jobs ended; it is left out if all of them are known by then."""

    words: tuple[str, ...]
    ids: frozenset[str]


class BatchSystem(Protocol):
    """A description of a batch system. Nothing here runs anything."""

    title: str  # for people: "Grid Engine"
    options: tuple[str, ...]  # that `push={...}` and the executor take, besides `extra`
    extra: str  # the option with further words for the program that submits
    prefixes: tuple[str, ...]  # of the variables that the programs need
    job_id: str  # a shell word: the id of the job, inside of it
    signals: tuple[str, ...]  # that announce the end of a job
    keeps_output: bool  # whether the system writes the output into the folder; otherwise the script does

    def submit(self, asked: Asked) -> list[str]:
        """The words that submit a script, which they read from their input. Raises RefusedError."""

    def submitted(self, answer: Answer) -> str:
        """The id of the job. Raises RefusedError, BusyError or UnsureError."""

    def ask_for(self, user: str, ids: Sequence[str] | None) -> list[str]:
        """The words that ask for the jobs of a user, or for these jobs at least."""

    def listed(self, answer: Answer) -> Iterable[JobLine]:
        """The jobs in an answer. Raises BlindError."""

    def history(self, ids: Sequence[str]) -> Iterable[Look]:
        """The calls that ask how these jobs ended, which are not listed any more."""

    def ended(self, answer: Answer) -> Iterable[JobLine]:
        """The ended jobs in such an answer, the latest last."""

    def delete(self, ids: Sequence[str], *, hard: bool) -> list[str]:
        """The words that end jobs."""

    def deleted(self, answer: Answer) -> Iterable[str]:
        """The ids of jobs that are gone, because they had not begun. Raises BlindError if the system was away."""

    def explain(self, job_id: str) -> list[str] | None:
        """The words that ask why a job is stuck, if that takes a call of its own."""

    def explained(self, answer: Answer) -> str | None:
        """What they say."""


def mebibytes(size: int) -> int:
    """A size in MiB, rounded up."""
    return math.ceil(size / MIB)


def limit_seconds(work: Work) -> int | None:
    """The limit of the system in seconds; that of a command is its own."""
    if work.timeout is None:
        return None
    return max(math.ceil(work.timeout), 1) + (GRACE_SECONDS if work.command is None else 0)


def chosen(asked: Asked, **flags: str) -> list[str]:
    """The words for those options that are set: `queue="-q"` gives `-q short`."""
    words: list[str] = []
    for option, flag in flags.items():
        value = asked.options.get(option)
        if value is not None:
            words += [flag, str(value)]
    return words


def refuse_kind(asked: Asked, extra: str, example: str) -> None:
    """Raises RefusedError if a kind of GPU is asked for, which this system has no word for."""
    kind = asked.work.resources.gpu_type
    if kind is not None:
        raise RefusedError(
            f"gpu_type={kind!r}: each site names its GPUs in its own way; write push={{{extra!r}: {example}}}"
        )


def tmp_name(asked: Asked, system: str, example: str) -> str:
    """What the site calls the space on a disk. Raises RefusedError if the executor was not told."""
    name = asked.options.get("tmp")
    if name is None:
        raise RefusedError(
            f"tmp= is asked for, and {system} has no name of its own for the space on a disk; say what your site calls "
            f"it: {example}"
        )
    return str(name)


def checked_options(
    system: BatchSystem, defaults: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:  # fmt: skip
    """The options of a job. Raises RefusedError for those that the system does not have."""
    options = {**defaults, **given}
    extra = options.get(system.extra, [])
    unknown = sorted(options.keys() - {*system.options, system.extra})
    is_list = isinstance(extra, (list, tuple)) and all(isinstance(word, str) for word in extra)
    wrong = sorted(
        key for key, value in options.items()
        if key != system.extra and not isinstance(value, (str, int, float, type(None)))
    )  # fmt: skip
    if unknown or wrong or not is_list:
        what = f"unknown options {', '.join(unknown)}" if unknown else f"an option that is no text: {', '.join(wrong)}"
        what = what if unknown or wrong else f"{system.extra}= that is no list of texts"
        known = f"{', '.join(system.options)} and {system.extra}=['-word', 'value', ...]"
        raise RefusedError(f"push= has {what}; {system.title} has {known}")
    return options


def end_of(push_id: str, job: JobLine, *, left: int | None, folder: Path, title: str) -> Sighting:
    """How a job ended, as the system tells it, with what Segue's own exit codes say. `left`: by the command itself."""
    cause, code, reason = job.cause, job.exit_code, job.reason
    if left is not None and cause in (Cause.EXIT, Cause.SIGNAL):
        cause, code = Cause.EXIT, left
    elif cause is Cause.EXIT and code == 0:
        # the record of a job whose deletion was forced looks like that: a success leaves more than that
        return Sighting(push_id, Phase.GONE, f"{title} says that it ended, and it left nothing")
    elif cause is Cause.EXIT and code == ASKED_TO_END:
        cause = Cause.CANCELLED
    elif cause is Cause.EXIT and code == NO_FOLDER:
        cause, reason = Cause.LOST, f"its machine cannot write to {folder}"
    elif cause is Cause.EXIT and code == spool.NOT_MINE:
        cause, reason = Cause.LOST, "it was started a second time"
    return Sighting(push_id, Phase.ENDED, reason, job.host, cause, code)


def split(given: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of an executor: its own, and all others as options of jobs, which it checks."""
    own = {key: value for key, value in given.items() if key in ARGUMENTS}
    return {**own, "options": {key: value for key, value in given.items() if key not in ARGUMENTS}}
