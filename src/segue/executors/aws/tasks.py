"""The request that starts a task of ECS, and the content of its definition. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from segue.dispatcher.protocol import Push, RefusedError
from segue.dispatcher.work import Work
from segue.executors.aws import requests
from segue.executors.aws.fargate import disk_gib_for, size_for
from segue.executors.aws.requests import Settings

OPTIONS: Mapping[str, type] = {"definition": str, "container": str, "task": dict, "tags": dict}
MOST_BYTES = 8192
MAIN = "main"
TIMEOUT = "SEGUE_TIMEOUT_SECONDS"
RESERVED = frozenset({"cluster", "taskDefinition", "count", "clientToken", "startedBy"})
_UNITS = 1024  # of a processor


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where tasks run."""

    cluster: str = "default"
    capacity_provider: str | None = None  # instead of the launch type
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    public_ip: bool = False


def definition_content(
    work: Work, settings: Settings, *, more: Mapping[str, Any], region: str, has_network: bool
) -> dict[str, Any]:
    """What RegisterTaskDefinition is given besides the family. Raises RefusedError.

    Without subnets, tasks on instances share the network of their machine.
    """
    container: dict[str, Any] = {
        "name": MAIN, "image": work.image or settings.image, "essential": True,
        "logConfiguration": {"logDriver": "awslogs", "options": {
            "awslogs-group": settings.log_group, "awslogs-region": region, "awslogs-stream-prefix": "segue",
        }},
    }  # fmt: skip
    if work.secrets:
        container["secrets"] = requests.named_secrets(work.secrets)
    mode = "awsvpc" if settings.is_fargate or has_network else "bridge"
    made: dict[str, Any] = {"networkMode": mode, "requiresCompatibilities": [settings.platform]}
    if settings.is_fargate:
        if settings.execution_role is None:
            raise RefusedError(
                "Fargate needs execution_role=..., the role with which Amazon pulls the image and writes the log"
            )
        processors, mib = size_for(settings.cpu, settings.memory_bytes)
        made |= {"cpu": str(int(float(processors) * _UNITS)), "memory": str(mib)}
    else:
        container["memoryReservation"] = 128  # ECS insists on some; each task overrides it
    if settings.execution_role is not None:
        made["executionRoleArn"] = settings.execution_role
    if settings.job_role is not None:
        made["taskRoleArn"] = settings.job_role
    return requests.merged({**made, "containerDefinitions": [container]}, more)


def run_of(
    push: Push, work: Work, settings: Settings, place: Place, *, definition: str, container: str, is_own: bool
) -> dict[str, Any]:  # fmt: skip
    """What RunTask is given. `is_own`: Segue made the definition. Raises RefusedError.

    `clientToken` makes it the same task however often it is sent; `startedBy` is how it is found.
    """
    taken = sorted(RESERVED & work.options.get("task", {}).keys())
    if taken:
        raise RefusedError(
            f"push={{'task': {{{taken[0]!r}: ...}}}} cannot be set: by it, the task is found and runs once"
        )
    environment = dict(work.environment)
    seconds = requests.timeout_of(work)
    if seconds is not None:
        environment[TIMEOUT] = str(seconds)
    sizes, of_container = _sizes(work, settings, is_own=is_own)
    overrides = {
        **sizes,
        "containerOverrides": [{
            "name": container, "command": requests.words_in(work), "environment": requests.named_values(environment),
            **of_container,
        }],
    }  # fmt: skip
    requests.check_size(overrides, work.words, environment, most=MOST_BYTES)
    made: dict[str, Any] = {
        "cluster": place.cluster, "taskDefinition": definition, "count": 1, "clientToken": push.name,
        "startedBy": push.name, "overrides": overrides,
    }  # fmt: skip
    if place.capacity_provider is not None:
        made["capacityProviderStrategy"] = [{"capacityProvider": place.capacity_provider, "weight": 1}]
    else:
        made["launchType"] = settings.platform
    if place.subnets:
        made["networkConfiguration"] = {"awsvpcConfiguration": {
            "subnets": list(place.subnets), "securityGroups": list(place.security_groups),
            "assignPublicIp": "ENABLED" if place.public_ip else "DISABLED",
        }}  # fmt: skip
    elif is_own and settings.is_fargate and "networkConfiguration" not in work.options.get("task", {}):
        raise RefusedError("Fargate needs a network: give the executor subnets=['subnet-...']")
    tags = work.options.get("tags") or {}
    if tags:
        made["tags"] = [{"key": str(name), "value": str(value)} for name, value in tags.items()]
    return requests.merged(made, work.options.get("task", {}))


def timeout_in(task: Mapping[str, Any]) -> float | None:
    """After how many seconds a task is to be ended, as its own overrides say; ECS has no such limit."""
    found: Sequence[Mapping[str, Any]] = (task.get("overrides") or {}).get("containerOverrides") or []
    for container in found:
        for variable in container.get("environment") or []:
            if variable.get("name") == TIMEOUT and str(variable.get("value")).isdecimal():
                return float(variable["value"])
    return None


def _sizes(work: Work, settings: Settings, *, is_own: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the task and what its container may use."""
    asked = work.resources
    if asked.gpu_type is not None:
        raise RefusedError(
            f"gpu_type={asked.gpu_type!r}: ECS has no such choice; give placement constraints in push={{'task': ...}}"
        )
    if settings.is_fargate:
        if asked.gpu:
            raise RefusedError("Fargate has no GPUs; use instances of your own: platform='EC2'")
        sizes: dict[str, Any] = {}
        if is_own or asked.cpu is not None or asked.memory_bytes is not None:
            processors, mib = size_for(asked.cpu or settings.cpu, asked.memory_bytes or settings.memory_bytes)
            sizes = {"cpu": str(int(float(processors) * _UNITS)), "memory": str(mib)}
        if asked.tmp_bytes is not None:
            sizes["ephemeralStorage"] = {"sizeInGiB": disk_gib_for(asked.tmp_bytes)}
        return sizes, {}
    if asked.tmp_bytes is not None:
        raise RefusedError("tmp= is known to Fargate only; on instances of your own, give the definition a volume")
    found: dict[str, Any] = {}
    cpu = asked.cpu or (settings.cpu if is_own else None)
    memory = asked.memory_bytes or (settings.memory_bytes if is_own else None)
    if cpu is not None:
        found["cpu"] = int(cpu * _UNITS)
    if memory is not None:
        found["memory"] = requests.mebibytes(memory)
    if asked.gpu:
        found["resourceRequirements"] = [{"type": "GPU", "value": str(asked.gpu)}]
    return {}, found
