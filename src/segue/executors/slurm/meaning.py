"""What the answers of Slurm's programs mean. Pure.

Only the text formats with named fields are read: the JSON of some versions ignores filters and tells wrong exit codes.
A state that is not known here means that the job has not ended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from segue.dispatcher.protocol import BusyError, Cause, Phase, RefusedError, Sighting, UnsureError
from segue.executors.programs import Answer
from segue.executors.slurm.names import expanded

FIELDS = ("JobArrayID", "Name", "State", "Reason", "exit_code", "NodeList")
FORMAT = ",".join(f"{field}:|" for field in FIELDS)
ACCOUNTED = ("JobID", "JobName", "State", "ExitCode", "NodeList")

_RUNNING = frozenset({"RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "STOPPED", "SUSPENDED"})
_ENDS = {
    "COMPLETED": Cause.EXIT, "FAILED": Cause.EXIT, "CANCELLED": Cause.CANCELLED, "TIMEOUT": Cause.TIMEOUT,
    "DEADLINE": Cause.TIMEOUT, "OUT_OF_MEMORY": Cause.OUT_OF_MEMORY, "NODE_FAIL": Cause.LOST, "BOOT_FAIL": Cause.LOST,
    "PREEMPTED": Cause.LOST, "REVOKED": Cause.LOST, "LAUNCH_FAILED": Cause.LOST,
}  # fmt: skip
_NEVER = ("BadConstraints", "JobHeldUser", "JobHeldAdmin", "launch failed requeued held", "DependencyNeverSatisfied")
_UNSURE = (
    "unable to contact", "socket timed out", "communication connection failure", "connection refused",
    "connection timed out", "zero bytes were transmitted", "socket error", "slurm_msg", "slurm_send", "slurm_receive",
    "unexpected message", "transport endpoint", "timed out",
)  # fmt: skip
_BUSY = (
    "submitjoblimit", "maxsubmit", "maxjob", "job violates accounting", "queue limit",
    "resource temporarily unavailable", "slurm temporarily unable", "job limit", "too many", "controller is in standby",
)  # fmt: skip
_SUBMITTED = re.compile(r"(\d+)(?:;\S+)?")
_NEVER_FITS = re.compile(r"\b(Assoc|QOS)\w*(PerJob|PerNode|NotSatisfied|MinGRES)")  # a limit of one job, not of all
_ARRAY_TOO_LARGE = "invalid job array specification"
_MOST = re.compile(r"^MaxArraySize\s*=\s*(\d+)$", re.MULTILINE)
ARRAY_SIZE = 1000
"""The most elements of an array, whatever the cluster allows: a lost answer concerns no more."""

BUSY_SECONDS = 30.0
NOT_LAUNCHED = "JobLaunchFailure"


class JobLine(NamedTuple):
    """A job as `squeue` or `sacct` shows it."""

    id: str
    name: str
    state: str
    reason: str
    code: int  # as a process's own: minus the number of a signal
    host: str


def submitted(answer: Answer) -> str:
    """The id of the job. Raises RefusedError, BusyError or UnsureError."""
    found = _SUBMITTED.fullmatch(answer.out.strip())
    if answer.code == 0 and found is not None:
        return found[1]
    said = answer.err.removeprefix("sbatch: error: ") or answer.out.strip() or f"exit code {answer.code}"
    low = said.lower()
    was_killed = not answer.is_whole or not (answer.err or answer.out.strip())
    if was_killed or answer.code == 0 or any(word in low for word in _UNSURE):
        raise UnsureError(said)
    if _ARRAY_TOO_LARGE in low:
        raise BusyError(said, seconds=0.0)  # smaller ones may do, and a single job always does
    if any(word in low for word in _BUSY) and not _NEVER_FITS.search(said):
        raise BusyError(said, seconds=BUSY_SECONDS)
    raise RefusedError(said)


def array_size(config: str) -> int:
    """How many elements an array may have, by `scontrol show config`; 0 if the cluster allows none."""
    found = _MOST.search(config)
    return min(int(found[1]), ARRAY_SIZE) if found else 0


def queued_jobs(text: str) -> Iterator[JobLine]:
    """The lines of `squeue -O FORMAT`."""
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) > len(FIELDS) - 1:
            id_, name, state, reason, code, host = (field.strip() for field in fields[: len(FIELDS)])
            yield JobLine(id_, name, state, reason, _wait_status(code), host)


def accounted_jobs(text: str) -> Iterator[JobLine]:
    """The lines of `sacct -X -n -P -o ACCOUNTED`."""
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) == len(ACCOUNTED):
            ids, name, state, code, host = fields
            for id_ in expanded(ids):
                yield JobLine(id_, name, state.partition(" ")[0], "", _exit_pair(code), host)


def sighting_of(push_id: str, job: JobLine) -> Sighting:
    """What a line says of a push."""
    host = job.host if job.host not in ("", "(null)", "None assigned") else None
    cause = _ENDS.get(job.state)
    if cause is not None:
        reason = job.state if job.reason in ("", "None") else f"{job.state}, {job.reason}"
        if job.reason == "BadConstraints":
            cause = Cause.CONFIG
        elif cause is Cause.EXIT and job.code < 0:
            cause = Cause.SIGNAL
        return Sighting(push_id, Phase.ENDED, reason, host, cause, job.code, is_cut_off=job.state == "NODE_FAIL")
    if job.state in _RUNNING:
        return Sighting(push_id, Phase.RUNNING, None, host)
    reason = job.reason if job.reason not in ("", "None") else job.state
    return Sighting(push_id, Phase.QUEUED, reason, host)


def has_ended(job: JobLine) -> bool:
    """Whether the job has ended."""
    return job.state in _ENDS


def is_too_large(error: BusyError) -> bool:
    """Whether an array was larger than the cluster allows."""
    return _ARRAY_TOO_LARGE in str(error).lower()


def is_stuck(job: JobLine) -> bool:
    """Whether it waits for something that will not come by itself, such as a requeue that was held."""
    return job.state == "PENDING" and job.reason in _NEVER


def _wait_status(text: str) -> int:
    """The exit code in a wait status, as `squeue` gives it; that of a text which is no number is 0."""
    try:
        status = int(text)
    except ValueError:
        return _exit_pair(text)
    return -(status & 0x7F) if status & 0x7F else status >> 8


def _exit_pair(text: str) -> int:
    """The exit code in `CODE:SIGNAL`."""
    code, _, number = text.partition(":")
    if not code.isdigit():
        return 0
    return -int(number) if number.isdigit() and int(number) else int(code)
