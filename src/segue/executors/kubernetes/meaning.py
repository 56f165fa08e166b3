"""What the answers and objects of a cluster mean. Pure.

The Job says whether an attempt has ended, and its `podFailurePolicy` makes it remember why when its pod is gone. The
pod says more while it is there.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from segue.dispatcher.protocol import BlindError, BusyError, Cause, Phase, RefusedError, Sighting, UnsureError
from segue.executors.kubernetes.objects import ApiError, AwayError, Condition, Job, Pod

BUSY_SECONDS = 15.0
DENIED_SECONDS = 60.0

_LOST_REASONS = frozenset({
    "Evicted", "NodeLost", "NodeShutdown", "Shutdown", "Terminated", "Preempting", "Preempted", "NodeAffinity",
    "UnexpectedAdmissionError", "OutOfcpu", "OutOfmemory", "OutOfpods", "OutOfephemeral-storage",
})  # fmt: skip
_OWN_LIMIT = re.compile(r"exceeds the (?:total )?limit|exceeded its local ephemeral storage limit")
_BAD_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
)
_BAD_CONTAINER = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_PASSES = ("toomanyrequests", "too many requests", "qps exceeded", "rate limit", "i/o timeout", "timeout exceeded")
_NOT_STARTED = frozenset({"StartError", "ContainerCannotRun"})
_STOPPED = (143, 137)  # SIGTERM and SIGKILL, which the kubelet sends to what is to end
_EXIT_CODE = re.compile(r"failed with exit code (\d+)")


class Hurdle(StrEnum):
    """Why an attempt has not begun."""

    NONE = "none"  # it begins, or a controller has to act
    PLACE = "place"  # no machine, quota or queue has room: this may change at any time
    SETUP = "setup"  # its image or its settings: it will most likely never begin


class Wait(NamedTuple):
    """What keeps an attempt from beginning, in the cluster's words."""

    hurdle: Hurdle
    said: str | None


def submit_error(error: ApiError | AwayError, *, namespace: str) -> Exception:
    """What a creation that failed means for its push."""
    if isinstance(error, AwayError):
        said = f"the API of the cluster does not answer: {error}"
        return UnsureError(said) if error.was_sent else BusyError(said, seconds=BUSY_SECONDS)
    patience = BUSY_SECONDS if error.retry_after is None else error.retry_after
    match error.code:
        case 429 | 503:
            return BusyError(f"the API asks for patience: {error}", seconds=patience)
        case 403 if "exceeded quota" in str(error):
            return BusyError(str(error), seconds=patience)
        case 409:  # of a quota that changed meanwhile; that the Job exists is no error, and not judged here
            return BusyError(f"the cluster could not decide: {error}", seconds=patience)
        case 401:
            return BusyError(f"{error}: {denied(error, 'create', 'jobs', namespace)}", seconds=DENIED_SECONDS)
        case 403:
            return RefusedError(f"{error}; {denied(error, 'create', 'jobs', namespace)}")
        case 404:
            return RefusedError(f"{error}; does the namespace {namespace!r} exist?")
        case code if code >= 500 and "request is too large" not in str(error):  # as etcd says it
            return UnsureError(f"the API failed: {error}")
        case _:
            return RefusedError(str(error))


def blind(error: ApiError | AwayError, *, verb: str, resource: str, namespace: str) -> BlindError:
    """What a question that failed means."""
    said = f"the API does not say what the {resource} in {namespace!r} do: {error}"
    if isinstance(error, ApiError) and error.code in (401, 403):
        said = f"{said}; {denied(error, verb, resource, namespace)}"
    return BlindError(said)


def denied(error: ApiError, verb: str, resource: str, namespace: str) -> str:
    """What to do about a call that was not allowed."""
    if error.code == 401:
        return "the cluster does not know who asks: renew the credentials in the kubeconfig"
    if "cannot" not in str(error) and "RBAC" not in str(error):
        return "a policy of the cluster does not allow it"
    return f"give the dispatcher a Role in {namespace!r} that allows to {verb} {resource}"


def sighting_of(push_id: str, job: Job, pod: Pod | None) -> Sighting:
    """What a Job and its newest pod say of a push."""
    host = pod.spec.node_name if pod is not None else None
    if (done := job.said("Complete")) is not None:
        return Sighting(push_id, Phase.ENDED, done.reason, host, Cause.EXIT, 0)
    if (failed := job.said("Failed")) is not None:
        cause, code, reason = _why(failed, pod)
        is_cut_off = cause is Cause.LOST and (pod is None or pod.main.terminated is None)
        return Sighting(push_id, Phase.ENDED, reason, host, cause, code, is_cut_off=is_cut_off)
    if pod is not None and (pod.main.running is not None or pod.has_ended):
        said = "it is being removed" if _is_leaving(job, pod) else None
        return Sighting(push_id, Phase.RUNNING, said, host)
    return Sighting(push_id, Phase.QUEUED, "it is being removed" if job.metadata.deletion_timestamp else None, host)


def wait_of(job: Job, pod: Pod | None) -> Wait:
    """What an attempt that has not begun waits for."""
    if job.spec.suspend:
        return Wait(Hurdle.PLACE, "the Job is suspended: its queue has not admitted it")
    if pod is None:
        return Wait(Hurdle.NONE, None)
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return Wait(Hurdle.PLACE, _joined(condition.reason, condition.message))
    statuses = [*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ())]
    for waiting in [status.state.waiting for status in statuses if status.state.waiting is not None]:
        said = _joined(waiting.reason, waiting.message)
        if waiting.reason in _BAD_IMAGE:
            passes = any(word in waiting.message.lower() for word in _PASSES)
            return Wait(Hurdle.PLACE if passes else Hurdle.SETUP, said)
        if waiting.reason in _BAD_CONTAINER:
            return Wait(Hurdle.SETUP, said)
        if waiting.reason == "CrashLoopBackOff":  # an init container with restarts, from pod={...}
            return Wait(Hurdle.SETUP, said)
    return Wait(Hurdle.NONE, None)


def newest(pods: list[Pod]) -> Pod | None:
    """The pod that counts, of several of one Job: the newest one that is not being removed."""
    return max(
        pods, key=lambda pod: (pod.metadata.deletion_timestamp is None, pod.metadata.creation_timestamp), default=None
    )  # fmt: skip


def has_lost_its_machine(pod: Pod) -> bool:
    """Whether a question about its log would wait for a machine that is not there."""
    disrupted = pod.said("DisruptionTarget")
    was_tainted = disrupted is not None and disrupted.reason == "DeletionByTaintManager"
    return was_tainted or pod.status.reason in ("NodeLost", "NodeShutdown", "Shutdown")


def is_cut_off(pod: Pod | None) -> bool:
    """Whether its machine no longer says anything of it: it was to be removed, and is still there."""
    return pod is not None and pod.metadata.deletion_timestamp is not None and not pod.has_ended


def _why(failed: Condition, pod: Pod | None) -> tuple[Cause, int | None, str]:
    message = failed.message or ""
    if pod is not None and (found := _why_of_pod(pod)) is not None:
        return found
    if failed.reason == "DeadlineExceeded":
        return Cause.TIMEOUT, None, _joined(failed.reason, message)
    if "DisruptionTarget" in message:
        return Cause.LOST, None, message
    exited = _EXIT_CODE.search(message)
    if failed.reason == "BackoffLimitExceeded" or (exited is not None and int(exited[1]) in _STOPPED):
        return Cause.LOST, None, "its pod was removed"  # a pod that had ended by itself would be there
    if exited is not None:
        return *_of_code(int(exited[1])), message
    return Cause.LOST, None, _joined(failed.reason, message)


def _why_of_pod(pod: Pod) -> tuple[Cause, int | None, str] | None:
    status, ended = pod.status, pod.main.terminated
    said = _joined(status.reason, status.message)
    if ended is not None and ended.reason == "OOMKilled":
        return Cause.OUT_OF_MEMORY, ended.exit_code, "OOMKilled"
    if status.reason == "DeadlineExceeded":
        return Cause.TIMEOUT, None, said
    if status.reason == "Evicted" and _OWN_LIMIT.search(status.message or ""):
        return Cause.EXIT, None, said  # it would be evicted from any machine
    if (disrupted := pod.said("DisruptionTarget")) is not None:
        return Cause.LOST, None, _joined(disrupted.reason, disrupted.message)
    if status.reason in _LOST_REASONS:
        return Cause.LOST, None, said
    if ended is None:
        return None
    if ended.reason in _NOT_STARTED:
        return Cause.CONFIG, ended.exit_code, _joined(ended.reason, ended.message)
    if ended.exit_code == 0:  # and yet it failed: another container did
        return Cause.EXIT, None, said or "another container of its pod failed"
    if pod.metadata.deletion_timestamp is not None and ended.exit_code in _STOPPED:
        return Cause.CANCELLED, ended.exit_code, "its pod was removed"
    return *_of_code(ended.exit_code), ended.reason or "Error"


def _of_code(code: int) -> tuple[Cause, int]:
    """A shell says 128 + the number for a signal, and so does the kubelet."""
    return (Cause.SIGNAL, 128 - code) if 128 < code <= 128 + 64 else (Cause.EXIT, code)


def _is_leaving(job: Job, pod: Pod) -> bool:
    return bool(job.metadata.deletion_timestamp or pod.metadata.deletion_timestamp) and not pod.has_ended


def _joined(reason: str | None, message: str | None) -> str:
    return ": ".join(part for part in (reason, message) if part)[:1000]
