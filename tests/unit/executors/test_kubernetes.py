"""What the words of a cluster mean, from recorded answers; and the Jobs that are made. Nothing is called."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest

from segue.authoring.container import ResultFrom
from segue.dispatcher.protocol import BusyError, Cause, Phase, Push, RefusedError, Submission, UnsureError
from segue.dispatcher.work import Command, Work
from segue.errors import DefinitionError
from segue.executors.kubernetes import Kubernetes, meaning, output
from segue.executors.kubernetes.manifest import manifest_of, merge, merged_options
from segue.executors.kubernetes.objects import ApiError, AwayError, Job, Pod
from segue.executors.kubernetes.waiting import Patience
from segue.model import Job as Job_
from segue.plan.pushed import Resources

TASK = Job_("r", 0, 1, "fold", "shop.fold", "[[],{}]", None, {}, 60.0)
PUSH = Push("0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b", ("r", 0, 1))
POLICY = "Container main for pod jobs/segue-x-abcde failed with exit code {} matching FailJob rule at index 1"
OVER = "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi."
LOW = "The node was low on resource: memory."
DISRUPTED = "Pod jobs/segue-x-abcde has condition DisruptionTarget matching FailJob rule at index 0"


def job(*conditions: tuple[str, str, str], **fields: Any) -> Job:
    said = [{"type": kind, "status": "True", "reason": reason, "message": text} for kind, reason, text in conditions]
    return msgspec.convert({"metadata": {"name": "segue-x"}, "status": {"conditions": said}, **fields}, Job)


def failed(reason: str, message: str) -> Job:
    return job(("FailureTarget", reason, message), ("Failed", reason, message))


def pod(*, state: dict[str, Any] | None = None, meta: dict[str, Any] | None = None, **status: Any) -> Pod:
    statuses = [] if state is None else [{"name": "side"}, {"name": "main", "state": state}]
    found = {"metadata": {"name": "segue-x-abcde", **(meta or {})}, "spec": {"nodeName": "n1"},
             "status": {**status, "containerStatuses": statuses}}  # fmt: skip
    return msgspec.convert(found, Pod)


def ended(code: int, reason: str = "Error", **more: Any) -> Pod:
    return pod(state={"terminated": {"exitCode": code, "reason": reason}}, phase="Failed", **more)


def disrupted(reason: str) -> list[dict[str, str]]:
    return [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "of a machine"}]


def evicted(message: str) -> Pod:
    return pod(phase="Failed", reason="Evicted", message=message, conditions=disrupted("TerminationByKubelet"))


POLICED = "PodFailurePolicy"
LIMIT = failed("BackoffLimitExceeded", "Job has reached the specified backoff limit")


@pytest.mark.parametrize(
    "found, its_pod, cause, code",
    [
        (job(("SuccessCriteriaMet", "", ""), ("Complete", "CompletionsReached", "")), None, Cause.EXIT, 0),
        (failed(POLICED, POLICY.format(3)), ended(3), Cause.EXIT, 3),
        (failed(POLICED, POLICY.format(3)), None, Cause.EXIT, 3),
        (failed(POLICED, POLICY.format(139)), ended(139), Cause.SIGNAL, -11),
        (failed(POLICED, POLICY.format(139)), None, Cause.SIGNAL, -11),
        (failed(POLICED, POLICY.format(255)), ended(255), Cause.EXIT, 255),
        (failed(POLICED, POLICY.format(137)), ended(137, "OOMKilled"), Cause.OUT_OF_MEMORY, 137),
        (failed(POLICED, POLICY.format(137)), ended(137), Cause.SIGNAL, -9),
        (failed(POLICED, POLICY.format(143)), None, Cause.LOST, None),
        (failed(POLICED, POLICY.format(143)), ended(143, meta={"deletionTimestamp": "t"}), Cause.CANCELLED, 143),
        (failed(POLICED, DISRUPTED), None, Cause.LOST, None),
        (failed(POLICED, DISRUPTED), ended(143, conditions=disrupted("EvictionByEvictionAPI")), Cause.LOST, None),
        (failed(POLICED, DISRUPTED), ended(137, conditions=disrupted("DeletionByTaintManager")), Cause.LOST, None),
        (LIMIT, pod(phase="Failed", reason="NodeLost"), Cause.LOST, None),
        (LIMIT, pod(phase="Failed", reason="NodeShutdown"), Cause.LOST, None),
        (LIMIT, pod(phase="Failed", reason="OutOfcpu"), Cause.LOST, None),
        (LIMIT, None, Cause.LOST, None),
        (failed(POLICED, DISRUPTED), evicted(OVER), Cause.EXIT, None),
        (failed(POLICED, DISRUPTED), evicted(LOW), Cause.LOST, None),
        (LIMIT, pod(phase="Failed", reason="DeadlineExceeded"), Cause.TIMEOUT, None),
        (failed("DeadlineExceeded", "Job was active longer than specified deadline"), None, Cause.TIMEOUT, None),
        (failed(POLICED, POLICY.format(128)), ended(128, "StartError"), Cause.CONFIG, 128),
        (failed(POLICED, POLICY.format(82)), ended(82), Cause.EXIT, 82),
    ],
)  # fmt: skip
def test_how_an_attempt_ended(found: Job, its_pod: Pod | None, cause: Cause, code: int | None) -> None:
    sighting = meaning.sighting_of("p", found, its_pod)
    assert (sighting.phase, sighting.cause, sighting.exit_code) == (Phase.ENDED, cause, code)


@pytest.mark.parametrize(
    "its_pod, phase",
    [
        (None, Phase.QUEUED),
        (pod(phase="Pending"), Phase.QUEUED),
        (pod(phase="Pending", state={"waiting": {"reason": "ContainerCreating"}}), Phase.QUEUED),
        (pod(phase="Running", state={"running": {"startedAt": "t"}}), Phase.RUNNING),
        (pod(phase="Succeeded", state={"terminated": {"exitCode": 0}}), Phase.RUNNING),  # until the Job says so
        (pod(phase="Unheard-of"), Phase.QUEUED),
    ],
)
def test_what_has_not_ended(its_pod: Pod | None, phase: Phase) -> None:
    assert meaning.sighting_of("p", job(("FailureTarget", "", "")), its_pod).phase is phase


def waiting(reason: str, message: str = "") -> Pod:
    return pod(phase="Pending", state={"waiting": {"reason": reason, "message": message}})


UNPLACED = [
    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: 3 Insufficient cpu."}
]


@pytest.mark.parametrize(
    "its_pod, hurdle, said",
    [
        (None, "none", None),
        (pod(phase="Pending", conditions=UNPLACED), "place", "Unschedulable: 0/3 nodes: 3 Insufficient cpu."),
        (waiting("ImagePullBackOff", "not found"), "setup", "ImagePullBackOff: not found"),
        (waiting("ErrImagePull", "toomanyrequests: rate limit"), "place", "ErrImagePull: toomanyrequests: rate limit"),
        (waiting("InvalidImageName"), "setup", "InvalidImageName"),
        (waiting("CreateContainerConfigError", 'secret "x" not found'), "setup",
         'CreateContainerConfigError: secret "x" not found'),
        (waiting("ContainerCreating"), "none", None),
        (waiting("PodInitializing"), "none", None),
    ],
)  # fmt: skip
def test_what_an_attempt_waits_for(its_pod: Pod | None, hurdle: str, said: str | None) -> None:
    assert meaning.wait_of(job(), its_pod) == (hurdle, said)


@pytest.mark.parametrize(
    "error, kind, says",
    [
        (ApiError(429, "TooManyRequests", "slow down", retry_after=7.0), BusyError, "slow down"),
        (ApiError(503, "", "no endpoints"), BusyError, "patience"),
        (ApiError(403, "Forbidden", "exceeded quota: q, requested: count/jobs.batch=1"), BusyError, "exceeded quota"),
        (ApiError(409, "Conflict", "the object has been modified"), BusyError, "could not decide"),
        (ApiError(401, "Unauthorized", "Unauthorized"), BusyError, "renew the credentials"),
        (
            ApiError(403, "Forbidden", 'User "x" cannot create resource "jobs"'),
            RefusedError,
            "Role in 'jobs' that allows",
        ),
        (
            ApiError(403, "Forbidden", "maximum memory usage per Container is 1Gi"),
            RefusedError,
            "policy of the cluster",
        ),
        (ApiError(404, "NotFound", 'namespaces "jobs" not found'), RefusedError, "does the namespace 'jobs' exist?"),
        (ApiError(422, "Invalid", "spec is invalid"), RefusedError, "spec is invalid"),
        (ApiError(400, "BadRequest", "unknown field"), RefusedError, "unknown field"),
        (ApiError(500, "InternalError", "failed calling webhook"), UnsureError, "webhook"),
        (ApiError(500, "", "etcdserver: request is too large"), RefusedError, "too large"),
        (ApiError(504, "Timeout", "timed out"), UnsureError, "timed out"),
        (AwayError("refused", was_sent=False), BusyError, "does not answer"),
        (AwayError("read timed out", was_sent=True), UnsureError, "does not answer"),
    ],
)
def test_what_a_refused_creation_means(error: ApiError | AwayError, kind: type[Exception], says: str) -> None:
    found = meaning.submit_error(error, namespace="jobs")
    assert type(found) is kind
    assert says in str(found)
    if isinstance(error, ApiError) and error.retry_after:
        assert found.seconds == error.retry_after  # type: ignore[attr-defined]


def made(work: Work, **options: Any) -> dict[str, Any]:
    return manifest_of(PUSH, work, executor="k8s", options=merged_options({"image": "shop:1"}, options))


def test_a_job_runs_once_and_says_whose_it_is() -> None:
    work = Work(
        ("python", "-m", "segue"), {"A": "1"}, Resources(cpu=2, memory="4GiB", gpu=1, gpu_type="a100"), timeout=90.5
    )
    found = made(work, queue="night", priority_class="low", service_account="sa", volumes={"/data": {"emptyDir": {}}})
    spec, template = found["spec"], found["spec"]["template"]["spec"]
    assert found["metadata"]["name"] == PUSH.name == found["metadata"]["labels"]["segue.dev/push"]
    assert (spec["backoffLimit"], spec["podReplacementPolicy"], template["restartPolicy"]) == (0, "Failed", "Never")
    assert (spec["suspend"], found["metadata"]["labels"]["kueue.x-k8s.io/queue-name"]) == (True, "night")
    assert template["activeDeadlineSeconds"] == 151
    [container] = template["containers"]
    asked = {"cpu": "2", "memory": str(4 * 2**30), "nvidia.com/gpu": "1"}
    assert container["resources"] == {"requests": asked, "limits": asked}
    assert template["nodeSelector"] == {"nvidia.com/gpu.product": "a100"}
    assert container["volumeMounts"] == [{"name": "volume-0", "mountPath": "/data"}]
    assert (template["priorityClassName"], template["serviceAccountName"]) == ("low", "sa")


def test_words_and_values_reach_the_program_as_they_are() -> None:
    command = Command(ResultFrom.JSON)
    [container] = made(Work(("echo", "$(A) $$ $HOME"), {"A": "$5"}, image="x", command=command, cwd="/w"))["spec"][
        "template"
    ]["spec"]["containers"]
    assert container["command"] == ["echo", "$$(A) $$$$ $$HOME"]
    assert {"name": "A", "value": "$$5"} in container["env"]
    assert {"name": "SEGUE_RESULT", "value": container["terminationMessagePath"]} in container["env"]
    assert (container["image"], container["workingDir"], container["terminationMessagePolicy"]) == ("x", "/w", "File")


def test_a_task_reports_by_itself_through_a_secret() -> None:
    executor = Kubernetes("k8s", image="shop:3", modules=["shop.a", "shop.b"], database_secret="segue/url")
    namespace, found = executor.manifest(Submission(PUSH, TASK, '{"options":{"labels":{"team":"x"}}}'))
    [container] = found["spec"]["template"]["spec"]["containers"]
    assert container["command"][:6] == ["python", "-m", "segue", "run-step", "--push", PUSH.id]
    assert container["command"][6:] == ["-A", "shop.a", "-A", "shop.b", "--grace-seconds", "20"]
    reference = {"secretKeyRef": {"name": "segue", "key": "url"}}
    assert {"name": "SEGUE_DATABASE_URL", "valueFrom": reference} in container["env"]
    assert (namespace, found["metadata"]["labels"]["team"]) == ("default", "x")
    with pytest.raises(RefusedError) as caught:
        Kubernetes("k8s", image="shop:3").manifest(Submission(PUSH, TASK, None))
    assert "database_secret" in str(caught.value)


def test_secrets_are_named_and_values_refused() -> None:
    found = made(Work(("x",), {"TOKEN": "plain"}, secrets={"TOKEN": "blast/token"}))
    [variable] = found["spec"]["template"]["spec"]["containers"][0]["env"]
    assert variable == {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "blast", "key": "token"}}}
    with pytest.raises(DefinitionError) as caught:
        made(Work(("x",), {}, secrets={"TOKEN": "geheim!"}))
    assert "geheim" not in str(caught.value)


def test_a_pod_is_changed_by_names() -> None:
    base = {"containers": [{"name": "main", "image": "a", "env": [{"name": "X", "value": "1"}]}], "hostNetwork": True}
    change = {
        "containers": [{"name": "main", "env": [{"name": "Y", "value": "2"}]}, {"name": "side"}],
        "hostNetwork": None,
    }
    merged = merge(base, change)
    assert [each["name"] for each in merged["containers"]] == ["main", "side"]
    assert [each["name"] for each in merged["containers"][0]["env"]] == ["X", "Y"]
    assert "hostNetwork" not in merged
    assert base["containers"][0]["env"] == [{"name": "X", "value": "1"}]


@pytest.mark.parametrize(
    "options, says",
    [
        ({"colour": "red"}, "unknown options colour"),
        ({"labels": ["a"]}, "labels=['a'] is not a dict"),
        ({"ttl_seconds": True}, "is not a int"),
        ({"labels": {"segue.dev/push": "x"}}, "Segue's own label"),
        ({"pod": {"restartPolicy": "OnFailure"}}, "runs once"),
        ({"image": None}, "it has no image"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        manifest_of(PUSH, Work(("x",), {}), executor="k8s", options=merged_options({"image": "a"}, options))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "fields, says",
    [
        ({"name": "under_score"}, "small letters"),
        ({"namespace": "No"}, "not the name of a namespace"),
        ({"database_secret": "postgresql://u:geheim@h/d"}, "neither shown nor stored"),
        ({"colour": 1}, "unknown options colour"),
    ],
)
def test_an_executor_that_makes_no_sense(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        Kubernetes(fields.pop("name", "k8s"), **fields)
    assert says in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_importing_the_executor_imports_no_library() -> None:
    code = "import sys, segue.executors.kubernetes as k; k.Kubernetes('k8s'); print('lightkube' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_a_result_that_does_not_fit_is_an_error_and_not_cut() -> None:
    annotated = {"annotations": {"segue.dev/result": "json"}}
    fits = pod(meta=annotated, state={"terminated": {"exitCode": 0, "message": "x" * 4095}})
    cut = pod(meta=annotated, state={"terminated": {"exitCode": 0, "message": "x" * 4096}})
    assert output.collected(PUSH, fits, "out").result == b"x" * 4095
    found = output.collected(PUSH, cut, "out").outcome
    assert found is not None
    assert found.error is not None
    assert (found.error.type, found.retryable) == ("ResultTooLargeError", False)


def test_patience_ends() -> None:
    now = 0.0
    patience = Patience(setup_seconds=300, lost_seconds=600, monotonic=lambda: now)
    bad, leaving = waiting("ErrImagePull", "not found"), pod(phase="Running", meta={"deletionTimestamp": "t"})

    def judged(its_pod: Pod, *, is_running: bool = False, found: Job | None = None) -> Cause | None:
        found = found or job()
        verdict = patience.judge("x", found, its_pod, is_running=is_running, wait=meaning.wait_of(found, its_pod))
        return None if verdict is None else verdict.cause

    assert judged(bad) is None
    now = 299.0
    assert judged(waiting("ImagePullBackOff", "Back-off")) is None
    other = Patience(setup_seconds=300, lost_seconds=600, monotonic=lambda: now)
    for reason in ("ImagePullBackOff", "ErrImagePull"):
        wait = meaning.wait_of(job(), waiting(reason, reason.lower()))
        other.judge("x", job(), bad, is_running=False, wait=wait)
    assert other.said_of("x", wait) == "ErrImagePull: errimagepull"
    assert patience.said_of("x", meaning.wait_of(job(), bad)) == "ErrImagePull: not found"
    now = 301.0
    assert judged(bad) is Cause.CONFIG
    assert judged(waiting("ErrImagePull", "toomanyrequests")) is None
    now = 601.0
    assert judged(waiting("ImagePullBackOff", "Back-off pulling image")) is None
    assert judged(waiting("ErrImagePull", "toomanyrequests")) is None
    now = 301.0
    assert judged(pod(phase="Running"), is_running=True) is None
    assert judged(pod(phase="Pending"), found=job(spec={"suspend": True})) is Cause.LOST
    assert judged(leaving, is_running=True) is None
    now = 902.0
    assert judged(leaving, is_running=True) is Cause.LOST
    assert [patience.is_tired_of_reading("x") for _ in range(3)] == [False] * 3
    now = 1502.0
    assert patience.is_tired_of_reading("x")
