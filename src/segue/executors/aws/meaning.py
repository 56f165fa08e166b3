"""What Amazon says of a job of Batch, or of a task of ECS. Pure.

Its texts are not documented as an interface. So what is not recognised counts by what is certain: a container with an
exit code ended by itself, and one without never did, which is not its fault. A status that is not known here means
that the job has not ended.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from segue.dispatcher.protocol import Cause, Phase, Sighting

ASKED = "segue: asked to end"
OVER_TIME = "segue: its time is over"
IN_VAIN = "segue: it waited in vain"
_OURS = "segue:"

_MEMORY = re.compile(r"OutOfMemory", re.IGNORECASE)
_TIME = re.compile(r"attempt duration exceeded timeout|^" + re.escape(OVER_TIME), re.IGNORECASE | re.MULTILINE)
_MACHINE = re.compile(
    r"Host EC2 .*(terminated|stopped)|spot (task|instance|interruption).*(interrupted|terminated|reclaimed)"
    r"|task was interrupted|SpotInterruption|TerminationNotice|instance .* (was )?terminated|DockerTimeout"
    r"|CannotInspectContainer|CannotStopContainer|agent.*disconnected|Timeout waiting for (network|ephemeral)"
    r"|unexpected ec2 error|internal (server )?error",
    re.IGNORECASE,
)
_SILENT = re.compile(r"DockerTimeout|CannotInspectContainer|CannotStopContainer|agent.*disconnected", re.IGNORECASE)
_START = re.compile(
    r"Cannot(Pull|Create|Start)|ResourceInitializationError|Task failed to start|ClientException|InvalidParameter"
    r"|OutOfDisk|MISCONFIGURATION",
    re.IGNORECASE,
)
_FOR_NOW = re.compile(
    r"toomanyrequests|too many requests|rate limit|rate exceeded|throttl|i/o timeout|deadline exceeded|TLS handshake"
    r"|request canceled|connection (reset|refused)|unexpected EOF|temporar|service unavailable|status: 5\d\d"
    r"|capacity is unavailable",
    re.IGNORECASE,
)
_ENDING = frozenset({"RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING"})


def cause_of(said: str, exit_code: int | None, *, was_asked: bool) -> Cause:
    """Why something ended that did not succeed. `was_asked`: Amazon was asked to end it."""
    if _MEMORY.search(said):
        return Cause.OUT_OF_MEMORY
    if _TIME.search(said):
        return Cause.TIMEOUT
    if IN_VAIN in said:
        return Cause.CONFIG
    if _MACHINE.search(said):
        return Cause.LOST
    if was_asked or said.startswith(_OURS):
        return Cause.CANCELLED
    if exit_code is None or _START.search(said):
        is_sure = _START.search(said) and not _FOR_NOW.search(said)
        return Cause.CONFIG if is_sure else Cause.LOST
    return Cause.EXIT


def job_sighting(push_id: str, job: Mapping[str, Any]) -> Sighting:
    """What an entry of DescribeJobs says of a push."""
    status = job.get("status", "")
    container = container_of_job(job)
    said = _texts(job.get("statusReason"), container.get("reason"))
    host = _last(container.get("containerInstanceArn"))
    code = container.get("exitCode")
    if status == "SUCCEEDED":
        return Sighting(push_id, Phase.ENDED, None, host, Cause.EXIT, 0)
    if status == "FAILED":
        was_asked = bool(job.get("isTerminated") or job.get("isCancelled"))
        cause = cause_of(said, code, was_asked=was_asked)
        return _failed(push_id, said or "FAILED", host, cause, code)
    if status == "RUNNING":
        return Sighting(push_id, Phase.RUNNING, None, host)
    return Sighting(push_id, Phase.QUEUED, f"{status}: {said}" if said else str(status), host)


def container_of_job(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """The container of a job; what Amazon says only of its last attempt is added."""
    attempts = job.get("attempts") or [{}]
    return {**(attempts[-1].get("container") or {}), **(job.get("container") or {})}


def task_sighting(push_id: str, task: Mapping[str, Any], *, container: str | None) -> Sighting:
    """What an entry of DescribeTasks says of a push; `container` is the one that counts."""
    status = task.get("lastStatus", "")
    main = container_of_task(task, container)
    stop_code = task.get("stopCode") or ""
    said = _texts(task.get("stoppedReason"), main.get("reason"))
    host = _last(task.get("containerInstanceArn"))
    code = main.get("exitCode")
    if status in ("STOPPED", "DELETED"):
        if code == 0 and stop_code in ("EssentialContainerExited", ""):
            return Sighting(push_id, Phase.ENDED, None, host, Cause.EXIT, 0)
        was_asked = stop_code in ("UserInitiated", "ServiceSchedulerInitiated")
        cause = cause_of(said if not stop_code else f"{said}; {stop_code}", code, was_asked=was_asked)
        return _failed(push_id, said or stop_code or "STOPPED", host, cause, code)
    if status in _ENDING and task.get("startedAt") is not None:
        return Sighting(push_id, Phase.RUNNING, None, host)
    return Sighting(push_id, Phase.QUEUED, str(status), host)


def container_of_task(task: Mapping[str, Any], name: str | None) -> Mapping[str, Any]:
    """The container that counts: the one of this name, or the first."""
    found: Sequence[Mapping[str, Any]] = task.get("containers") or []
    named = [one for one in found if one.get("name") == name]
    return (named or found or [{}])[0]


def is_misconfigured(reason: str | None) -> bool:
    """Whether Amazon says of a job that waits that it will not begin as things are."""
    return reason is not None and "MISCONFIGURATION:" in reason


def failure_of_start(failures: Sequence[Mapping[str, Any]]) -> str:
    """What RunTask says of a task that it did not start."""
    return "; ".join(_texts(one.get("reason"), one.get("detail")) for one in failures) or "RunTask started no task"


def _failed(push_id: str, said: str, host: str | None, cause: Cause, code: int | None) -> Sighting:
    is_cut_off = cause is Cause.LOST and code is None and _SILENT.search(said) is not None
    return Sighting(push_id, Phase.ENDED, said, host, cause, code, is_cut_off=is_cut_off)


def _texts(*found: object) -> str:
    return "; ".join(dict.fromkeys(str(text) for text in found if text))


def _last(arn: object) -> str | None:
    return str(arn).rpartition("/")[2] if arn else None
