"""What is read of the API's objects, and the two ways in which a call fails. Everything else in them is left out.

A list of thousands of pods is decoded again whenever a watch has lost its place, so only what is needed is decoded.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from segue.errors import SegueError

PUSH_LABEL = "segue.dev/push"
EXECUTOR_LABEL = "segue.dev/executor"
RESULT_ANNOTATION = "segue.dev/result"
BEGIN_ANNOTATION = "segue.dev/begin-seconds"
MAIN = "main"
"""The name of the container whose end is the end of the attempt."""


class ApiError(SegueError, RuntimeError):
    """The API answered with an error."""

    def __init__(self, code: int, reason: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message or f"HTTP {code}")
        self.code = code
        self.reason = reason  # one word, such as "AlreadyExists"
        self.retry_after = retry_after  # in seconds


class AwayError(SegueError, RuntimeError):
    """No answer came. `was_sent`: the API may have got the call."""

    def __init__(self, message: str, *, was_sent: bool) -> None:
        super().__init__(message)
        self.was_sent = was_sent


class _Read(msgspec.Struct, frozen=True, rename="camel"):
    pass


class Meta(_Read, frozen=True):
    """Who an object is."""

    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    labels: Mapping[str, str] | None = None
    annotations: Mapping[str, str] | None = None
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None

    def label(self, name: str) -> str:
        """The label's value; '' without it."""
        return (self.labels or {}).get(name, "")

    def annotation(self, name: str) -> str:
        """The annotation's value; '' without it."""
        return (self.annotations or {}).get(name, "")


class Condition(_Read, frozen=True):
    """A sentence that the cluster says of an object."""

    type: str
    status: str = ""
    reason: str | None = None
    message: str | None = None


class JobSpec(_Read, frozen=True):
    """What is read of the spec of a Job."""

    suspend: bool | None = None


class JobStatus(_Read, frozen=True):
    """What the job controller says."""

    conditions: tuple[Condition, ...] | None = None


class Job(_Read, frozen=True):
    """A Job of batch/v1."""

    metadata: Meta
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()

    def said(self, kind: str) -> Condition | None:
        """The condition of this type, if it is true."""
        return _true(self.status.conditions, kind)


class Waiting(_Read, frozen=True):
    """Why a container has not begun."""

    reason: str = ""
    message: str = ""


class Running(_Read, frozen=True):
    """A container runs."""

    started_at: str | None = None


class Terminated(_Read, frozen=True):
    """How a container ended."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""


class ContainerState(_Read, frozen=True):
    """One of the three, or none yet."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(_Read, frozen=True):
    """What the kubelet says of a container."""

    name: str
    state: ContainerState = ContainerState()


class PodSpec(_Read, frozen=True):
    """What is read of the spec of a pod."""

    node_name: str | None = None


class PodStatus(_Read, frozen=True):
    """What the kubelet, the scheduler and the controllers say."""

    phase: str = ""
    reason: str | None = None
    message: str | None = None
    conditions: tuple[Condition, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None
    init_container_statuses: tuple[ContainerStatus, ...] | None = None


class Pod(_Read, frozen=True):
    """A pod of a Job."""

    metadata: Meta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def has_ended(self) -> bool:
        """All its containers have ended."""
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def main(self) -> ContainerState:
        """The container whose end counts."""
        for status in self.status.container_statuses or ():
            if status.name == MAIN:
                return status.state
        return ContainerState()

    def said(self, kind: str) -> Condition | None:
        """The condition of this type, if it is true."""
        return _true(self.status.conditions, kind)


class Event(_Read, frozen=True):
    """What happened to an object, for people."""

    type: str = ""
    reason: str = ""
    message: str = ""


class Status(_Read, frozen=True):
    """The answer of a call that failed."""

    message: str = ""
    reason: str = ""
    code: int = 0


class ListMeta(msgspec.Struct, frozen=True):
    """Where a list stands, and where its next page begins."""

    resourceVersion: str = ""  # noqa: N815 - the API's own name
    continue_: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct, frozen=True):
    """A page of a list."""

    items: tuple[msgspec.Raw, ...] | None = None
    metadata: ListMeta = ListMeta()


class Change(msgspec.Struct, frozen=True):
    """A line of a watch."""

    type: str
    object: msgspec.Raw


def _true(conditions: tuple[Condition, ...] | None, kind: str) -> Condition | None:
    return next((each for each in conditions or () if each.type == kind and each.status == "True"), None)
