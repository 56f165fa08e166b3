"""The Job of an attempt, from what it runs and from options. Pure.

One attempt is one pod, once: `backoffLimit` 0, `restartPolicy` Never, no replacement before the pod has ended. Segue
itself tries again. A secret is only named: the cluster puts its value into the container.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from segue.authoring.container import ResultFrom
from segue.dispatcher.protocol import Push
from segue.dispatcher.work import RESULT, Work
from segue.errors import DefinitionError
from segue.executors.kubernetes.objects import (
    BEGIN_ANNOTATION,
    EXECUTOR_LABEL,
    MAIN,
    PUSH_LABEL,
    RESULT_ANNOTATION,
)
from segue.given import shown
from segue.plan.pushed import Resources

RESULT_FILE = "/dev/termination-log"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
LATER_SECONDS = 60  # how much later than Segue's own the cluster's time limit is
RESERVED_LABELS = (PUSH_LABEL, EXECUTOR_LABEL, "app.kubernetes.io/managed-by")
DEFAULTS: Mapping[str, Any] = {
    "annotations": {}, "begin_seconds": 0,
    "gpu_label": "nvidia.com/gpu.product", "gpu_resource": "nvidia.com/gpu", "grace_seconds": 30,
    "image": None, "image_pull_secrets": [], "labels": {}, "namespace": None, "node_selector": {}, "pod": {},
    "priority_class": None, "queue": None, "service_account": None, "tolerations": [], "ttl_seconds": 86_400,
    "volumes": {},
}  # fmt: skip
"""All options of `Kubernetes(...)` that `push={...}` of a task may change, and what they are without it."""

_KINDS: dict[str, type[Any]] = {name: str if value is None else type(value) for name, value in DEFAULTS.items()}
_LISTS_BY = {"volumeMounts": "mountPath", "ports": "containerPort"}  # all others of dicts: by name
_SECRET = re.compile(r"([a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?)/([-._a-zA-Z0-9]{1,253})")


def merged_options(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """The options of one attempt: later layers win; of dicts, by key. Raises DefinitionError for one that is none."""
    merged: dict[str, Any] = dict(DEFAULTS)
    for layer in layers:
        unknown = sorted(layer.keys() - DEFAULTS.keys())
        if unknown:
            raise DefinitionError(f"unknown options {', '.join(unknown)}; there are {', '.join(DEFAULTS)}")
        for name, value in layer.items():
            kind: type[Any] = _KINDS[name]
            if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
                raise DefinitionError(f"{name}={shown(value)} is not a {kind.__name__}")
            if name == "pod":
                merged[name] = merge(merged[name], value or {})
            elif kind is dict:
                merged[name] = {**merged[name], **(value or {})}
            else:
                merged[name] = DEFAULTS[name] if value is None else value
    taken = sorted(merged["labels"].keys() & set(RESERVED_LABELS))
    if taken:
        raise DefinitionError(f"labels={{{taken[0]!r}: ...}} is Segue's own label; choose another name")
    return merged


def manifest_of(push: Push, work: Work, *, executor: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The Job. Raises DefinitionError for what no cluster could run."""
    image = work.image or options["image"]
    if not image:
        raise DefinitionError("it has no image; write Kubernetes(..., image='...'), or push={'image': '...'}")
    labels = {**options["labels"], **dict(zip(RESERVED_LABELS, (push.name, executor, "segue"), strict=True))}
    if options["queue"]:
        labels[QUEUE_LABEL] = options["queue"]
    run_id, step, attempt = push.attempt
    annotations = {
        **options["annotations"], "segue.dev/run": run_id, "segue.dev/step": str(step),
        "segue.dev/attempt": str(attempt),
        BEGIN_ANNOTATION: str(options["begin_seconds"]),
        RESULT_ANNOTATION: "" if work.command is None else work.command.result.value,
    }  # fmt: skip
    spec: dict[str, Any] = {
        "backoffLimit": 0, "completions": 1, "parallelism": 1, "podReplacementPolicy": "Failed",
        "ttlSecondsAfterFinished": options["ttl_seconds"],
        "podFailurePolicy": {"rules": [
            {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": "FailJob", "onExitCodes": {"containerName": MAIN, "operator": "NotIn", "values": [0]}},
        ]},
        "template": {"metadata": {"labels": labels, "annotations": annotations},
                     "spec": _pod(work, image, options)},
    }  # fmt: skip
    if options["queue"]:
        spec["suspend"] = True
    return {
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": push.name, "labels": labels, "annotations": annotations}, "spec": spec,
    }  # fmt: skip


def _pod(work: Work, image: str, options: Mapping[str, Any]) -> dict[str, Any]:
    volumes = [{"name": f"volume-{at}", **source} for at, source in enumerate(options["volumes"].values())]
    mounts = [{"name": f"volume-{at}", "mountPath": path} for at, path in enumerate(options["volumes"])]
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": options["grace_seconds"],
        "containers": [{**_container(work, image, options), **({"volumeMounts": mounts} if mounts else {})}],
    }
    selector = dict(options["node_selector"])
    if work.resources.gpu_type:
        selector[options["gpu_label"]] = work.resources.gpu_type
    more = {
        "nodeSelector": selector, "tolerations": options["tolerations"], "volumes": volumes,
        "priorityClassName": options["priority_class"], "serviceAccountName": options["service_account"],
        "imagePullSecrets": [{"name": name} for name in options["image_pull_secrets"]],
    }  # fmt: skip
    pod |= {name: value for name, value in more.items() if value}
    if work.timeout is not None:
        later = LATER_SECONDS if work.command is None else 0  # what reports by itself says more than the cluster
        pod["activeDeadlineSeconds"] = max(1, math.ceil(work.timeout) + later)
    merged: dict[str, Any] = merge(pod, options["pod"])
    mains = [each for each in merged["containers"] if each.get("name") == MAIN]
    if len(mains) != 1 or merged.get("restartPolicy") != "Never":
        raise DefinitionError(f"pod={{...}} may add to the container {MAIN!r}, and not change that it runs once")
    return merged


def _container(work: Work, image: str, options: Mapping[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": MAIN, "image": image, "env": _environment(work), "terminationMessagePath": RESULT_FILE,
        "terminationMessagePolicy": "File" if _writes_result(work) else "FallbackToLogsOnError",
    }  # fmt: skip
    if work.words:
        container["command"] = [_literal(word) for word in work.words]
    if work.cwd:
        container["workingDir"] = work.cwd
    if asked := _asked(work.resources, options["gpu_resource"]):
        container["resources"] = {"requests": asked, "limits": asked}
    return container


def _environment(work: Work) -> list[dict[str, Any]]:
    environment = dict(work.environment)
    if _writes_result(work):
        environment[RESULT] = RESULT_FILE
    named = {name: secret_of(reference) for name, reference in work.secrets.items()}
    plain = [{"name": name, "value": _literal(value)} for name, value in environment.items() if name not in named]
    secret = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": of, "key": key}}} for name, (of, key) in named.items()
    ]  # fmt: skip
    return plain + secret


def secret_of(reference: object) -> tuple[str, str]:
    """The name and the key of a secret that is written "name/key". Raises DefinitionError."""
    found = _SECRET.fullmatch(reference) if isinstance(reference, str) else None
    if found is None:
        raise DefinitionError(
            "a secret is named by a Secret of the namespace and a key in it, such as 'shop/database-url'; what was "
            "given is neither shown nor stored, because it may be a value"
        )
    return found[1], found[2]


def merge(base: Any, change: Any) -> Any:
    """`change` laid over `base`: dicts by key (null removes one), lists of named things by name, others replaced."""
    if isinstance(base, dict) and isinstance(change, dict):
        merged = dict(base)
        for key, value in change.items():
            if value is None:
                merged.pop(key, None)
            elif _is_named(value, by := _LISTS_BY.get(key, "name")):
                merged[key] = _merged_list(merged.get(key, []), value, by)
            else:
                merged[key] = merge(merged.get(key), value)
        return merged
    return change


def _merged_list(base: Sequence[dict[str, Any]], change: Sequence[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    merged = {item[by]: item for item in base}
    for item in change:
        merged[item[by]] = merge(merged.get(item[by], {}), item)
    return list(merged.values())


def _is_named(value: object, by: str) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) and by in item for item in value)


def _writes_result(work: Work) -> bool:
    return work.command is not None and work.command.result is ResultFrom.JSON


def _literal(text: str) -> str:
    """The text as the kubelet reads it: it replaces `$(NAME)`, and makes one dollar sign of two."""
    return text.replace("$", "$$")


def _asked(resources: Resources, gpu: str) -> dict[str, str]:
    asked = {
        "cpu": resources.cpu, "memory": resources.memory_bytes, "ephemeral-storage": resources.tmp_bytes,
        gpu: resources.gpu or None,
    }  # fmt: skip
    return {name: str(amount) for name, amount in asked.items() if amount is not None}
