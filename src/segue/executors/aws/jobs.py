"""The request that submits a job to AWS Batch, and the content of its definition. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segue.dispatcher.protocol import Push, RefusedError
from segue.dispatcher.work import Work
from segue.executors.aws import requests
from segue.executors.aws.fargate import disk_gib_for, size_for
from segue.executors.aws.requests import LEAST_TIMEOUT, Settings

OPTIONS: Mapping[str, type] = {
    "queue": str, "definition": str, "parameters": dict, "environment": dict, "container": dict, "share": str,
    "priority": int, "tags": dict,
}  # fmt: skip
MOST_BYTES = 30 * 1024
DEFAULT_LOG_GROUP = "/aws/batch/job"
_BASE_SIZE = {"FARGATE": ("1", "2048"), "EC2": ("1", "512")}


def definition_content(work: Work, settings: Settings, container: Mapping[str, Any]) -> dict[str, Any]:
    """What RegisterJobDefinition is given besides the name. Raises RefusedError.

    Sizes in it are only what Batch insists on; each job overrides them, so that few definitions are needed.
    """
    processors, memory = _BASE_SIZE[settings.platform]
    made: dict[str, Any] = {
        "image": work.image or settings.image,
        "resourceRequirements": [{"type": "VCPU", "value": processors}, {"type": "MEMORY", "value": memory}],
    }
    if settings.job_role is not None:
        made["jobRoleArn"] = settings.job_role
    if settings.execution_role is not None:
        made["executionRoleArn"] = settings.execution_role
    elif settings.is_fargate:
        raise RefusedError(
            "Fargate needs execution_role=..., the role with which Amazon pulls the image and writes the log"
        )
    if work.secrets:
        made["secrets"] = requests.named_secrets(work.secrets)
    if settings.log_group != DEFAULT_LOG_GROUP:
        made["logConfiguration"] = {"logDriver": "awslogs", "options": {"awslogs-group": settings.log_group}}
    if work.resources.tmp_bytes is not None:
        if not settings.is_fargate:
            raise RefusedError(
                "tmp= is known to Fargate only; on instances of your own, give volumes in push={'container': ...}"
            )
        made["ephemeralStorage"] = {"sizeInGiB": disk_gib_for(work.resources.tmp_bytes)}
    return {
        "type": "container",
        "platformCapabilities": [settings.platform],
        "retryStrategy": {"attempts": 1},
        "containerProperties": requests.merged(requests.merged(made, container), work.options.get("container", {})),
    }


def submission_of(
    push: Push, work: Work, settings: Settings, *, queue: str, definition: str, is_own: bool
) -> dict[str, Any]:
    """What SubmitJob is given. `is_own`: Segue made the definition. Raises RefusedError.

    Batch's own retries are off, whatever the definition says: one attempt must not run twice under one number.
    """
    options = work.options
    if not is_own and work.resources.tmp_bytes is not None:
        raise RefusedError(f"tmp= belongs to a definition, and {definition!r} exists already; set its disk there")
    overrides: dict[str, Any] = {"environment": requests.named_values(work.environment)}
    sizes = _sizes(work, settings, is_own=is_own)
    if sizes:
        overrides["resourceRequirements"] = sizes
    parameters = _parameters(push, work)
    if parameters is None:
        overrides["command"] = requests.words_in(work)
    made: dict[str, Any] = {
        "jobName": push.name, "jobQueue": queue, "jobDefinition": definition, "retryStrategy": {"attempts": 1},
        "containerOverrides": overrides,
    }  # fmt: skip
    if parameters:
        made["parameters"] = parameters
    seconds = requests.timeout_of(work)
    if seconds is not None:
        made["timeout"] = {"attemptDurationSeconds": max(LEAST_TIMEOUT, seconds)}
    if "share" in options:
        made["shareIdentifier"] = options["share"]
    if "priority" in options:
        made["schedulingPriorityOverride"] = options["priority"]
    if options.get("tags"):
        made["tags"] = {str(name): str(value) for name, value in options["tags"].items()}
    requests.check_size(made, overrides.get("command", []), work.environment, most=MOST_BYTES)
    return made


def _parameters(push: Push, work: Work) -> dict[str, str] | None:
    """Values for `Ref::name` in the command of a definition, which then runs as it is; None if none are given."""
    given = work.options.get("parameters")
    if given is None:
        return None
    if "definition" not in work.options:
        raise RefusedError(
            "push={'parameters': ...} are for the command of a definition; name it: push={'definition': ...}"
        )
    if work.command is not None:
        raise RefusedError(
            "push={'parameters': ...} are for the command of a definition, and the step has one of its own"
        )
    return requests.filled(given, push)


def _sizes(work: Work, settings: Settings, *, is_own: bool) -> list[dict[str, str]]:
    asked = work.resources
    if asked.gpu_type is not None:
        raise RefusedError(
            f"gpu_type={asked.gpu_type!r}: Batch has no such choice; name a queue whose instances have it: "
            "push={'queue': ...}"
        )
    if asked.gpu and settings.is_fargate:
        raise RefusedError("Fargate has no GPUs; use a queue with instances of your own: platform='EC2'")
    cpu = asked.cpu or (settings.cpu if is_own else None)
    memory = asked.memory_bytes or (settings.memory_bytes if is_own else None)
    found = {}
    if is_own and settings.is_fargate:
        processors, mib = size_for(cpu, memory)
        found = {"VCPU": processors, "MEMORY": str(mib)}
    else:
        if cpu is not None:
            found["VCPU"] = f"{cpu:g}"
        if memory is not None:
            found["MEMORY"] = str(requests.mebibytes(memory))
    if asked.gpu:
        found["GPU"] = str(asked.gpu)
    return [{"type": kind, "value": value} for kind, value in found.items()]
