"""The job controller, scheduler and machine of the Kubernetes stand-in, as far as a client can tell them apart.

Each Job has a thread from its creation to its end. What the cluster is to do wrong stands in `Faults`.
"""

from __future__ import annotations

import dataclasses
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from tests.servers.kubernetes_kubelet import NODE, Container, End, expanded, lacking, quantity
from tests.servers.kubernetes_store import AnswerError, Object, Store, stamp

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?")
TICK = 0.02
FAILED = "Job has reached the specified backoff limit"


@dataclasses.dataclass
class Faults:
    """What is wrong with the cluster at present."""

    pods: int | None = None  # quota of pods
    jobs: int | None = None  # quota of Jobs
    hold: bool = False  # no pod is given a machine, and no thread waits for one: for thousands of Jobs
    unschedulable: str = ""  # what the scheduler says of all pods
    node_is_away: bool = False  # its processes run, and it says nothing
    lose: int = 0  # so many answers to POST are lost after the work is done
    refuse: int = 0  # so many calls are answered with `code`
    code: int = 429
    only: str = ""  # of calls with this method alone
    no_lists: bool = False  # whoever lists or watches is not allowed to


class Controller:
    """Makes a pod for each Job, and says how it ended."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.faults = Faults()
        self.containers: dict[tuple[str, str], Container] = {}
        self._disrupted: dict[tuple[str, str], str] = {}

    def create(self, namespace: str, job: Object) -> Object:
        """A Job. Raises AnswerError."""
        _check(job)
        most = self.faults.jobs
        if most is not None and len(held := self.store.select("jobs", namespace)) >= most:
            said = f"exceeded quota: segue, requested: count/jobs.batch=1, used: count/jobs.batch={len(held)}"
            raise AnswerError(403, "Forbidden", f'jobs.batch "{job["metadata"]["name"]}" is forbidden: {said}')
        job["metadata"]["namespace"] = namespace
        job.update(apiVersion="batch/v1", kind="Job", status={})
        job["spec"]["selector"] = {"matchLabels": {"job-name": job["metadata"]["name"]}}
        made = self.store.add("jobs", job)
        if self.faults.hold:
            self._make_pod(made)
        else:
            threading.Thread(target=self._work, args=(made,), daemon=True).start()
        return made

    def delete_job(self, namespace: str, name: str, propagation: str) -> None:
        """Foreground: the Job stays until its pods are gone. Raises AnswerError 404."""
        job = self.store.get("jobs", namespace, name)
        if job is None:
            raise AnswerError(404, "NotFound", f'jobs.batch "{name}" not found')
        if propagation == "Foreground":
            self.store.change("jobs", namespace, name, _marked)
        else:
            self.store.remove("jobs", namespace, name)
        pods = [] if propagation == "Orphan" else self._pods_of(job)
        ends = [threading.Thread(target=self.delete_pod, args=(namespace, pod, None), daemon=True) for pod in pods]
        for end in ends:
            end.start()

        def remove() -> None:
            while self._pods_of(job):
                time.sleep(TICK)
            self.store.remove("jobs", namespace, name)

        if propagation == "Foreground":
            threading.Thread(target=remove, daemon=True).start()

    def delete_pod(self, namespace: str, name: str, grace: float | None) -> None:
        """It is marked, its process is ended, its end is told, and it is gone; without grace it is gone at once."""
        pod = self.store.change("pods", namespace, name, _marked)
        if pod is None:
            return
        seconds = pod["spec"].get("terminationGracePeriodSeconds", 30) if grace is None else grace
        container = self.containers.get((namespace, name))
        if seconds == 0:
            self.store.remove("pods", namespace, name)
        while self.faults.node_is_away and self.store.get("pods", namespace, name):
            time.sleep(TICK)
        if container is not None:
            container.stop(seconds)
        self._until(lambda: (self.store.get("pods", namespace, name) or {}).get("status", {}).get("phase") != "Running")
        self.store.remove("pods", namespace, name)

    def disrupt(self, namespace: str, name: str, reason: str) -> None:
        """A pod of this Job is evicted, preempted, or its machine is shut down."""
        for pod in self._pods_of({"metadata": {"namespace": namespace, "name": name}}):
            condition = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": reason,
                "message": f"{reason} of {pod}",
            }
            self.store.change(
                "pods", namespace, pod, lambda obj, said=condition: obj["status"]["conditions"].append(said)
            )
            self._disrupted[namespace, pod] = reason
            threading.Thread(target=self.delete_pod, args=(namespace, pod, None), daemon=True).start()

    def end(self) -> None:
        """End all processes."""
        for container in list(self.containers.values()):
            container.stop(0)

    # One Job ----------------------------------------------------------------------------------------------------------

    def _work(self, job: Object) -> None:
        namespace, name = job["metadata"]["namespace"], job["metadata"]["name"]
        while True:
            self._until(lambda: not self._is_suspended(namespace, name))
            if self._is_out_of_pods():
                said = "is forbidden: exceeded quota: segue, requested: pods=1, used: pods=1, limited: pods=1"
                self._warn(job, "FailedCreate", f'Error creating: pods "{name}-x" {said}')
                self._until(lambda: not self._is_out_of_pods() or not self._is_there(namespace, name))
            if not self._is_there(namespace, name):
                return
            kind, reason, message = self._run(job, self._make_pod(job))
            if not self._is_suspended(namespace, name):
                break
        is_good = kind == "Complete"
        for condition in ("SuccessCriteriaMet" if is_good else "FailureTarget", kind):
            said = {
                "type": condition,
                "status": "True",
                "reason": reason,
                "message": message,
                "lastTransitionTime": stamp(),
            }
            self.store.change("jobs", namespace, name, lambda obj, said=said: _concluded(obj, said, is_good=is_good))
        if (seconds := job["spec"].get("ttlSecondsAfterFinished")) is not None:
            timer = threading.Timer(seconds, self.store.remove, ("jobs", namespace, name))
            timer.daemon = True
            timer.start()

    def _make_pod(self, job: Object) -> Object:
        meta, template = job["metadata"], job["spec"]["template"]
        labels = {**(template.get("metadata", {}).get("labels") or {}), "job-name": meta["name"],
                  "batch.kubernetes.io/job-name": meta["name"]}  # fmt: skip
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"], "controller": True}
        pod = self.store.add("pods", {
            "apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
            "metadata": {"name": f"{meta['name'][:57]}-{uuid.uuid4().hex[:5]}", "namespace": meta["namespace"],
                         "labels": labels, "annotations": template.get("metadata", {}).get("annotations") or {},
                         "ownerReferences": [owner]},
            "status": {"phase": "Pending", "conditions": []},
        })  # fmt: skip
        change = {"startTime": stamp(), "active": 1}
        self.store.change("jobs", meta["namespace"], meta["name"], lambda obj: obj["status"].update(change))
        return pod

    def _run(self, job: Object, pod: Object) -> tuple[str, str, str]:
        """The pod to its end; the condition of its Job."""
        spec, key = pod["spec"], (pod["metadata"]["namespace"], pod["metadata"]["name"])
        container = spec["containers"][0]
        missing = lacking(spec)
        if missing or self.faults.unschedulable:
            said = self.faults.unschedulable or f"0/1 nodes are available: 1 Insufficient {', '.join(missing)}."
            self._say(key, conditions=[_condition("PodScheduled", "False", "Unschedulable", said)])
            self._until(lambda: (not missing and not self.faults.unschedulable) or not self._has_pod(key))
        self._say(key, conditions=[_condition("PodScheduled", "True")], node=NODE)
        values = self._ready(key, container)
        if values is None:
            return "Failed", "BackoffLimitExceeded", FAILED
        try:
            process = Container(key[1], container, values)
        except OSError as error:
            return self._verdict(job, key, End(128, "StartError", f"failed to create containerd task: {error}"), "")
        self.containers[key] = process
        self._say(key, phase="Running", state={"running": {"startedAt": stamp()}}, startTime=stamp())
        late = self._wait(job, spec, process)
        ended = process.end()
        self._until(lambda: not self.faults.node_is_away or not self._has_pod(key))
        return self._verdict(job, key, ended, late)

    def _ready(self, key: tuple[str, str], container: Mapping[str, Any]) -> dict[str, str] | None:
        """The variables of the container, once its image and its secrets are there; None if its pod is gone first."""
        image, at = str(container["image"]), 0
        while image.startswith("missing/") and self._has_pod(key):
            at += 1
            said = f'failed to pull image "{image}": not found' if at % 2 else f'Back-off pulling image "{image}"'
            self._say(
                key, state={"waiting": {"reason": "ErrImagePull" if at % 2 else "ImagePullBackOff", "message": said}}
            )
            time.sleep(0.1)
        while self._has_pod(key):
            values: dict[str, str] = {}
            try:
                for variable in container.get("env") or []:
                    values[variable["name"]] = self._value_of(key[0], variable, values)
            except LookupError as error:
                waiting = {"reason": "CreateContainerConfigError", "message": str(error.args[0])}
                self._say(key, state={"waiting": waiting})
                time.sleep(0.1)
                continue
            return values
        return None

    def _value_of(self, namespace: str, variable: Mapping[str, Any], values: Mapping[str, str]) -> str:
        reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
        if reference is None:
            return expanded(str(variable.get("value", "")), values)
        secret = self.store.get("secrets", namespace, reference["name"])
        if secret is None:
            raise LookupError(f'secret "{reference["name"]}" not found')
        if reference["key"] not in secret.get("stringData", {}):
            raise LookupError(f"couldn't find key {reference['key']} in Secret {namespace}/{reference['name']}")
        return str(secret["stringData"][reference["key"]])

    def _wait(self, job: Object, spec: Mapping[str, Any], process: Container) -> str:
        """Until the process has ended; which time limit has ended it, if one has."""
        began = time.monotonic()
        limits = [("pod", spec.get("activeDeadlineSeconds")), ("job", job["spec"].get("activeDeadlineSeconds"))]
        while process.process.poll() is None:
            for who, seconds in limits:
                if seconds is not None and time.monotonic() - began > seconds:
                    process.stop(spec.get("terminationGracePeriodSeconds", 30))
                    return who
            time.sleep(TICK)
        return ""

    def _verdict(self, job: Object, key: tuple[str, str], ended: End, late: str) -> tuple[str, str, str]:
        where, disrupted = "/".join(key), self._disrupted.pop(key, "")
        terminated = {"exitCode": ended.code, "reason": ended.reason, "startedAt": stamp(), "finishedAt": stamp(),
                      **({"message": ended.message} if ended.message else {})}  # fmt: skip
        more = {
            "reason": "DeadlineExceeded",
            "message": "Pod was active on the node longer than the specified deadline",
        }
        self._say(key, phase="Failed" if ended.code or late else "Succeeded", state={"terminated": terminated},
                  **(more if late else {}))  # fmt: skip
        if late == "job":
            self.store.remove("pods", *key)
            return "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
        if ended.code == 0 and not late:
            return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
        for index, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules", [])):
            if disrupted and rule.get("onPodConditions"):
                said = f"Pod {where} has condition DisruptionTarget matching FailJob rule at index {index}"
                return "Failed", "PodFailurePolicy", said
            codes = rule.get("onExitCodes")
            if codes and (ended.code in codes["values"]) == (codes["operator"] == "In"):
                said = f"Container {codes['containerName']} for pod {where} failed with exit code {ended.code} matching"
                return "Failed", "PodFailurePolicy", f"{said} FailJob rule at index {index}"
        return "Failed", "BackoffLimitExceeded", FAILED

    # Small things -----------------------------------------------------------------------------------------------------

    def _say(
        self, key: tuple[str, str], *, node: str | None = None, state: Object | None = None, **status: Any
    ) -> None:
        def change(pod: Object) -> None:
            if node is not None:
                pod["spec"]["nodeName"] = node
            pod["status"].update(status)
            if state is not None:
                first = pod["spec"]["containers"][0]
                pod["status"]["containerStatuses"] = [{
                    "name": first["name"], "image": first["image"], "imageID": "", "ready": "running" in state,
                    "restartCount": 0, "state": state,
                }]  # fmt: skip

        self.store.change("pods", *key, change)

    def _warn(self, about: Object, reason: str, message: str) -> None:
        meta = about["metadata"]
        self.store.add("events", {
            "apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": reason, "message": message, "count": 1,
            "metadata": {"name": f"{meta['name']}.{uuid.uuid4().hex[:12]}", "namespace": meta["namespace"]},
            "involvedObject": {"kind": about["kind"], "name": meta["name"], "namespace": meta["namespace"]},
        })  # fmt: skip

    def _pods_of(self, job: Object) -> list[str]:
        selector = f"job-name={job['metadata']['name']}"
        return [pod["metadata"]["name"] for pod in self.store.select("pods", job["metadata"]["namespace"], selector)]

    def _is_there(self, namespace: str, name: str) -> bool:
        job = self.store.get("jobs", namespace, name)
        return job is not None and "deletionTimestamp" not in job["metadata"]

    def _has_pod(self, key: tuple[str, str]) -> bool:
        pod = self.store.get("pods", *key)
        return pod is not None and "deletionTimestamp" not in pod["metadata"]

    def _is_suspended(self, namespace: str, name: str) -> bool:
        return self._is_there(namespace, name) and bool(self.store.get("jobs", namespace, name)["spec"].get("suspend"))

    def _is_out_of_pods(self) -> bool:
        pods = [pod for pod in self.store.select("pods", "") if pod["status"]["phase"] in ("Pending", "Running")]
        return self.faults.pods is not None and len(pods) >= self.faults.pods

    def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            time.sleep(TICK)


def _check(job: Object) -> None:
    meta, template = job.setdefault("metadata", {}), job["spec"].get("template", {}).get("spec", {})
    name = str(meta.get("name"))
    invalid = f'Job.batch "{name}" is invalid: '
    if not NAME.fullmatch(name):
        raise AnswerError(
            422, "Invalid", f"{invalid}metadata.name: Invalid value: a lowercase RFC 1123 subdomain must ..."
        )
    for label, value in (meta.get("labels") or {}).items():
        if not LABEL.fullmatch(str(value)):
            raise AnswerError(
                422, "Invalid", f'{invalid}metadata.labels: Invalid value: "{value}" of {label}: a valid label ...'
            )
    if template.get("restartPolicy") != "Never":
        raise AnswerError(
            422, "Invalid", f"{invalid}spec.template.spec.restartPolicy: Required value: valid values: Never"
        )
    containers = template.get("containers") or []
    if not containers or not all(each.get("image") and each.get("name") for each in containers):
        raise AnswerError(422, "Invalid", f"{invalid}spec.template.spec.containers: Required value")
    for container in containers:
        for amounts in (container.get("resources") or {}).values():
            for amount in amounts.values():
                quantity(amount)


def _condition(kind: str, status: str, reason: str = "", message: str = "") -> Object:
    return {"type": kind, "status": status, **({"reason": reason, "message": message} if reason else {})}


def _marked(obj: Object) -> None:
    obj["metadata"].setdefault("deletionTimestamp", stamp())


def _concluded(job: Object, said: Object, *, is_good: bool) -> None:
    job["status"].pop("active", None)
    job["status"]["succeeded" if is_good else "failed"] = 1
    job["status"].setdefault("conditions", []).append(said)
