"""What the executors of AWS send, and what they read out of answers. No server, no boto3."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from segue.dispatcher.protocol import BusyError, Cause, Phase, Push, RefusedError, Submission, UnsureError
from segue.dispatcher.registry import executors
from segue.errors import DefinitionError
from segue.executors.aws import ECS, AWSBatch, arrays, errors, jobs, requests, tasks
from segue.executors.aws.definitions import Definitions, name_of
from segue.executors.aws.fargate import disk_gib_for, size_for
from segue.executors.aws.following import Following
from segue.executors.aws.meaning import ASKED, IN_VAIN, OVER_TIME, is_misconfigured, job_sighting, task_sighting
from segue.executors.aws.requests import Settings
from segue.executors.aws.throttle import Throttle
from segue.model import Job
from segue.plan.pushed import PushSpec, Resources, encode_spec

PUSH = Push("0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b", ("r1", 4, 2))
ROLE = "arn:aws:iam::123456789012:role/start"
FARGATE = Settings(image="shop:3", execution_role=ROLE, log_group="/aws/batch/job")
GIB = 2**30
PLAIN = Resources()


def submission(
    *, task: str = "segue.shell", push: dict[str, Any] | None = None, resources: Resources = PLAIN,
    timeout: float | None = None, **kwargs: Any,
) -> Submission:  # fmt: skip
    told = {"command": "true", "values": {}, **kwargs} if task.startswith("segue.") else kwargs
    job = Job("r1", 4, 2, "n", task, msgspec.json.encode([[], told]).decode(), None, {}, timeout)
    return Submission(PUSH, job, encode_spec(PushSpec(resources, push or {})))


def batch_request(settings: Settings = FARGATE, **given: Any) -> dict[str, Any]:
    work = requests.work_for(submission(**given), settings)
    requests.check_options(work.options, jobs.OPTIONS)
    chosen = requests.definition_choice(work, settings)
    definition = chosen or name_of(jobs.definition_content(work, settings, {}))
    return jobs.submission_of(PUSH, work, settings, queue="jobs", definition=definition, is_own=chosen is None)


def definition(settings: Settings = FARGATE, container: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    work = requests.work_for(submission(**given), settings)
    return jobs.definition_content(work, settings, container or {})


# What is said of a job ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reason, container, cause",
    [
        ("Essential container in task exited", {"exitCode": 3}, Cause.EXIT),
        ("Essential container in task exited", {"exitCode": 137}, Cause.EXIT),
        ("Essential container in task exited",
         {"exitCode": 137, "reason": "OutOfMemoryError: Container killed due to memory usage"}, Cause.OUT_OF_MEMORY),
        ("Job attempt duration exceeded timeout", {"exitCode": 137}, Cause.TIMEOUT),
        ("Host EC2 (instance i-0c2b7b7d) terminated.", {}, Cause.LOST),
        ("Host EC2 (instance i-0c2b7b7d) stopped.", {"exitCode": 143}, Cause.LOST),
        ("Your Spot Task was interrupted.", {}, Cause.LOST),
        ("DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s", {}, Cause.LOST),
        ("Timeout waiting for network interface provisioning to complete.", {}, Cause.LOST),
        ("Task failed to start", {"reason": "CannotPullContainerError: pull access denied for shop"}, Cause.CONFIG),
        ("Task failed to start", {"reason": "CannotPullContainerError: toomanyrequests: You have reached"}, Cause.LOST),
        ("Task failed to start", {"reason": "CannotPullContainerError: context deadline exceeded"}, Cause.LOST),
        ("Task failed to start", {"reason": "CannotStartContainerError: exec: fold: not found in $PATH"}, Cause.CONFIG),
        ("ResourceInitializationError: unable to pull secrets or registry auth: access denied", {}, Cause.CONFIG),
        ("Essential container in task exited", {}, Cause.LOST),
        (None, {}, Cause.LOST),
        (ASKED, {"exitCode": 143}, Cause.CANCELLED),
        (f"{IN_VAIN}, 600 s: RUNNABLE: MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT", {}, Cause.CONFIG),
    ],
)  # fmt: skip
def test_how_a_job_failed(reason: str | None, container: dict[str, Any], cause: Cause) -> None:
    job = {"status": "FAILED", "statusReason": reason, "container": {}, "attempts": [{"container": container}]}
    found = job_sighting("p", job)
    assert (found.phase, found.cause, found.exit_code) == (Phase.ENDED, cause, container.get("exitCode"))
    assert (reason or "FAILED") in (found.reason or "")


def test_a_job_that_somebody_ended_was_cancelled() -> None:
    job = {"status": "FAILED", "statusReason": "no budget", "isTerminated": True, "container": {"exitCode": 143}}
    assert job_sighting("p", job).cause is Cause.CANCELLED


@pytest.mark.parametrize(
    "status, reason, phase, said",
    [
        ("SUBMITTED", None, Phase.QUEUED, "SUBMITTED"),
        ("RUNNABLE", "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", Phase.QUEUED,
         "RUNNABLE: CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"),
        ("STARTING", None, Phase.QUEUED, "STARTING"),
        ("RUNNING", None, Phase.RUNNING, None),
        ("SUCCEEDED", None, Phase.ENDED, None),
        ("HIBERNATING", None, Phase.QUEUED, "HIBERNATING"),
    ],
)  # fmt: skip
def test_where_a_job_is(status: str, reason: str | None, phase: Phase, said: str | None) -> None:
    arn = "arn:aws:ecs:eu-west-1:1:container-instance/jobs/4d2f"
    found = job_sighting("p", {"status": status, "statusReason": reason, "container": {"containerInstanceArn": arn}})
    assert (found.phase, found.reason, found.host) == (phase, said, "4d2f")
    assert found.exit_code == (0 if status == "SUCCEEDED" else None)


def test_what_amazon_calls_a_misconfiguration() -> None:
    assert is_misconfigured("RUNNABLE: MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - …")
    assert not is_misconfigured("RUNNABLE: CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY")


@pytest.mark.parametrize(
    "stop_code, reason, container, cause",
    [
        ("EssentialContainerExited", "Essential container in task exited", {"exitCode": 0}, Cause.EXIT),
        ("EssentialContainerExited", "Essential container in task exited", {"exitCode": 4}, Cause.EXIT),
        ("EssentialContainerExited", "Essential container in task exited",
         {"exitCode": 137, "reason": "OutOfMemoryError: container killed due to memory usage"}, Cause.OUT_OF_MEMORY),
        ("TaskFailedToStart", "CannotPullContainerError: pull image manifest has been retried 1 time(s)", {},
         Cause.CONFIG),
        ("TaskFailedToStart", "CannotPullContainerError: i/o timeout", {}, Cause.LOST),
        ("TaskFailedToStart", "Unexpected EC2 error while attempting to Create Network Interface", {}, Cause.LOST),
        ("SpotInterruption", "Your Spot Task was interrupted.", {"exitCode": 143}, Cause.LOST),
        ("TerminationNotice", "Host EC2 (instance i-1) is being terminated", {}, Cause.LOST),
        ("UserInitiated", ASKED, {"exitCode": 143}, Cause.CANCELLED),
        ("UserInitiated", "no budget", {"exitCode": 0}, Cause.CANCELLED),
        ("UserInitiated", OVER_TIME, {"exitCode": 143}, Cause.TIMEOUT),
    ],
)  # fmt: skip
def test_how_a_task_ended(stop_code: str, reason: str, container: dict[str, Any], cause: Cause) -> None:
    task = {
        "lastStatus": "STOPPED", "stopCode": stop_code, "stoppedReason": reason,
        "containers": [{"name": "beside", "exitCode": 1}, {"name": "main", **container}],
    }  # fmt: skip
    found = task_sighting("p", task, container="main")
    assert (found.phase, found.cause, found.exit_code) == (Phase.ENDED, cause, container.get("exitCode"))


def test_where_a_task_is() -> None:
    began = {"startedAt": datetime(2026, 1, 1, tzinfo=UTC)}
    assert task_sighting("p", {"lastStatus": "PROVISIONING"}, container=None).phase is Phase.QUEUED
    assert task_sighting("p", {"lastStatus": "PENDING"}, container=None).reason == "PENDING"
    assert task_sighting("p", {"lastStatus": "RUNNING", **began}, container=None).phase is Phase.RUNNING
    assert task_sighting("p", {"lastStatus": "STOPPING", **began}, container=None).phase is Phase.RUNNING
    assert task_sighting("p", {"lastStatus": "STOPPING"}, container=None).phase is Phase.QUEUED


# What errors mean -----------------------------------------------------------------------------------------------------


class ClientError(Exception):
    def __init__(self, code: str, status: int, message: str = "") -> None:
        self.response = {
            "Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status},
        }  # fmt: skip


class ReadTimeoutError(Exception):
    pass


class NoCredentialsError(Exception):
    pass


@pytest.mark.parametrize(
    "error, meant",
    [
        (ClientError("TooManyRequestsException", 429), BusyError),
        (ClientError("ThrottlingException", 400, "Rate exceeded"), BusyError),
        (ClientError("ExpiredTokenException", 403), BusyError),
        (ClientError("AccessDeniedException", 403, "User is not authorized to perform: batch:SubmitJob"), RefusedError),
        (ClientError("ClientException", 400, "Job queue jobs does not exist"), RefusedError),
        (ClientError("ClientException", 400, "JobQueue jobs is DISABLED"), BusyError),
        (ClientError("ServerException", 500), UnsureError),
        (ClientError("ServiceUnavailable", 503), UnsureError),
        (ClientError("RequestTimeoutException", 400), UnsureError),
        (ReadTimeoutError(), UnsureError),
        (NoCredentialsError("Unable to locate credentials"), BusyError),
        (ModuleNotFoundError("No module named 'boto3'"), BusyError),
        (ValueError("a bug"), UnsureError),
    ],
)
def test_what_an_error_of_a_submission_means(error: Exception, meant: type[Exception]) -> None:
    assert type(errors.of_submission(error, "SubmitJob")) is meant


def test_nothing_is_left_of_what_comes_before_a_submission() -> None:
    for error in (ClientError("ServerException", 500), ReadTimeoutError(), ValueError("a bug")):
        assert type(errors.of_preparation(error, "RegisterJobDefinition")) is BusyError
    assert "[aws]" in str(errors.of_preparation(ModuleNotFoundError("boto3"), "SubmitJob"))


# Pace -----------------------------------------------------------------------------------------------------------------


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_calls_stay_below_a_rate() -> None:
    time = Time()
    throttle = Throttle(10.0, monotonic=time, sleep=time.sleep)
    assert all(throttle.wait(5.0) for _ in range(60))
    assert time.now == pytest.approx(5.0)


def test_the_rate_halves_and_grows_again() -> None:
    time = Time()
    throttle = Throttle(8.0, monotonic=time, sleep=time.sleep)
    throttle.slow_down()
    assert throttle.rate == 4.0
    for _ in range(10):
        throttle.slow_down()
    assert throttle.rate == 0.5
    assert not throttle.wait(1.0)
    time.now += 35.0
    assert throttle.rate == 3.5
    time.now += 1000.0
    assert throttle.rate == 8.0


def test_looks_are_fewer_the_more_there_is_to_see() -> None:
    time = Time()
    following = Following(look_seconds=5.0, log_seconds=3.0, monotonic=time)
    pushes = [PUSH._replace(id=str(number)) for number in range(10_000)]
    for push in following.due(pushes):
        following.looked(push.id)
    assert following.seconds == 20.0
    time.now += 10.0
    assert following.due(pushes) == []
    time.now += 10.0
    assert len(following.due(pushes)) == 10_000
    assert not following.is_to_be_told("0")
    assert following.due(pushes[:1])
    time.now += 3.0
    assert following.is_to_be_told("0")


# What is sent ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cpu, memory, size",
    [
        (None, None, ("0.25", 512)), (1, None, ("1", 2048)), (1, 3 * GIB - 5, ("1", 3072)), (3, GIB, ("4", 8192)),
        (None, 5 * GIB, ("1", 5120)), (2, 17 * GIB, ("4", 17408)), (8, 17 * GIB, ("8", 20480)),
        (16, 120 * GIB, ("16", 122880)),
    ],
)  # fmt: skip
def test_sizes_of_fargate(cpu: int | None, memory: int | None, size: tuple[str, int]) -> None:
    assert size_for(cpu, memory) == size


def test_what_fargate_does_not_have() -> None:
    with pytest.raises(RefusedError, match="the largest has 16 processors"):
        size_for(32, None)
    with pytest.raises(RefusedError, match="at most 200 GiB"):
        disk_gib_for(500 * GIB)
    assert disk_gib_for(GIB) == 21


def test_the_request_of_a_command() -> None:
    request = batch_request(
        env={"MODE": "fast"}, resources=Resources(cpu=2, memory="6GiB"), timeout=5,
        push={"queue": "big", "share": "a", "priority": 3, "tags": {"team": 1}},
    )  # fmt: skip
    assert request["jobName"] == PUSH.name
    assert (request["retryStrategy"], request["timeout"]) == ({"attempts": 1}, {"attemptDurationSeconds": 60})
    overrides = request["containerOverrides"]
    assert overrides["command"] == ["/bin/sh", "-c", "true"]
    assert {"name": "MODE", "value": "fast"} in overrides["environment"]
    assert {"name": "SEGUE_ATTEMPT", "value": "2"} in overrides["environment"]
    assert overrides["resourceRequirements"] == [{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "6144"}]
    assert (request["shareIdentifier"], request["schedulingPriorityOverride"]) == ("a", 3)
    assert request["tags"] == {"team": "1"}


def test_the_request_of_a_python_task() -> None:
    """The URL of the database is a reference in the definition, and nowhere else."""
    settings = msgspec.structs.replace(FARGATE, database_secret="arn:secret", modules=("shop.tasks", "shop.more"))
    request = batch_request(settings, task="shop.fold", timeout=600)
    assert request["containerOverrides"]["command"] == [
        "python", "-m", "segue", "run-step", "--push", PUSH.id, "-A", "shop.tasks", "-A", "shop.more",
    ]  # fmt: skip
    assert request["timeout"] == {"attemptDurationSeconds": 660}
    assert "arn:secret" not in str(request)
    made = definition(settings, task="shop.fold")
    assert made["containerProperties"]["secrets"] == [{"name": "SEGUE_DATABASE_URL", "valueFrom": "arn:secret"}]
    assert "secrets" not in definition(settings)["containerProperties"]


def test_a_definition_has_what_no_job_can_override() -> None:
    settings = msgspec.structs.replace(FARGATE, job_role="arn:role", log_group="/shop")
    made = definition(
        settings, {"networkConfiguration": {"assignPublicIp": "ENABLED"}, "ulimits": [1]}, task="segue.container",
        image="blast:2", secrets={"TOKEN": "blast/token"}, resources=Resources(tmp="30GiB", cpu=8),
        push={"container": {"user": "nobody", "ulimits": [2]}},
    )  # fmt: skip
    assert made["retryStrategy"] == {"attempts": 1}
    found = made["containerProperties"]
    assert (found["image"], found["jobRoleArn"], found["executionRoleArn"]) == ("blast:2", "arn:role", ROLE)
    assert (found["user"], found["ulimits"]) == ("nobody", [1, 2])
    assert found["networkConfiguration"] == {"assignPublicIp": "ENABLED"}
    assert found["ephemeralStorage"] == {"sizeInGiB": 30}
    assert found["secrets"] == [{"name": "TOKEN", "valueFrom": "blast/token"}]
    assert found["logConfiguration"]["options"] == {"awslogs-group": "/shop"}
    assert name_of(made) == name_of(dict(reversed(made.items())))
    assert name_of(definition(resources=Resources(cpu=8))) == name_of(
        definition(resources=Resources(cpu=1), env={"A": "b"})
    )


def test_an_existing_definition_keeps_its_command_if_it_is_given_parameters() -> None:
    push = {"definition": "own:3", "parameters": {"instance": "{run}.{step}", "number": 7}}
    request = batch_request(task="shop.fold", push=push)
    assert request["jobDefinition"] == "own:3"
    assert request["parameters"] == {"instance": "r1.4", "number": "7"}
    assert "command" not in request["containerOverrides"]
    assert "resourceRequirements" not in request["containerOverrides"]
    assert "command" in batch_request(task="shop.fold", push={"definition": "own"})["containerOverrides"]


@pytest.mark.parametrize(
    "given, words",
    [
        ({"push": {"colour": "red"}}, "unknown options colour; there are container, definition"),
        ({"push": {"queue": 3}}, "is a int, and not a str"),
        ({"push": {"parameters": {"a": 1}}}, "name it: push="),
        ({"push": {"parameters": {"a": 1}, "definition": "own"}}, "the step has one of its own"),
        ({"task": "shop.fold"}, "give the executor database_secret"),
        ({"task": "segue.container", "image": "i", "push": {"definition": "own"}}, "give one of the two"),
        ({"task": "segue.container", "image": "i", "result": "json"}, "needs a bucket for results"),
        ({"env": {"AWS_BATCH_X": "1"}}, "names that begin with AWS_BATCH_ are Amazon's"),
        ({"env": {"A": "1"}, "task": "segue.container", "image": "i", "secrets": {"A": "b"}}, "give it once"),
        ({"push": {"environment": {"a b": 1}}}, "'a b' cannot be the name of a variable"),
        ({"env": {"LONG": "x" * 40_000}}, "the variable LONG alone has 40,000"),
        ({"resources": Resources(gpu=1)}, "Fargate has no GPUs"),
        ({"resources": Resources(gpu=1, gpu_type="a100")}, "name a queue whose instances have it"),
        ({"push": {"definition": "own"}, "resources": Resources(tmp="1GiB")}, "set its disk there"),
    ],
)  # fmt: skip
def test_what_batch_cannot_do_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        batch_request(**given)


def test_instances_of_ones_own_have_gpus_and_any_size() -> None:
    settings = msgspec.structs.replace(FARGATE, platform="EC2", execution_role=None)
    request = batch_request(settings, resources=Resources(cpu=3, memory="100MiB", gpu=2))
    assert request["containerOverrides"]["resourceRequirements"] == [
        {"type": "VCPU", "value": "3"}, {"type": "MEMORY", "value": "100"}, {"type": "GPU", "value": "2"},
    ]  # fmt: skip


def elements(count: int, **given: Any) -> tuple[list[Push], list[dict[str, Any]]]:
    """Pushes of one batch, of which every second place is left, and their requests."""
    pushes = [PUSH._replace(attempt=("r1", number, 1), batch=PUSH.id, place=2 * number) for number in range(count)]
    found = []
    for push in pushes:
        told = {"command": "echo {n}; exit $N", "values": {"n": f"it's\n{push.place}"}, "env": {"N": str(push.place)}}
        args = msgspec.json.encode([[], {**told, **given}]).decode()
        job = Job("r1", push.attempt[1], 1, "n", "segue.shell", args, None, {}, None)
        work = requests.work_for(Submission(push, job, None), FARGATE)
        found.append(jobs.submission_of(push, work, FARGATE, queue="jobs", definition="d", is_own=True))
    return pushes, found


def test_each_element_of_an_array_runs_its_own_command() -> None:
    pushes, singles = elements(4)
    array = arrays.array_of(pushes, singles)
    assert (array["jobName"], array["arrayProperties"]) == (PUSH.name, {"size": 4})
    shared = {one["name"]: one["value"] for one in array["containerOverrides"]["environment"]}
    assert arrays.places_in({"container": array["containerOverrides"]}) == (0, 2, 4, 6)
    assert shared["SEGUE_RUN"] == "r1"
    assert not {"N", "SEGUE_STEP", "SEGUE_IDEMPOTENCY_KEY"} & shared.keys()
    for index, push in enumerate(pushes):
        ran = subprocess.run(
            array["containerOverrides"]["command"], env={**shared, arrays.INDEX: str(index)}, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert (ran.stdout, ran.stderr, ran.returncode) == (f"it's\n{push.place}\n", "", push.place)


def test_what_has_one_shape() -> None:
    def shape(settings: Settings = FARGATE, **given: Any) -> str | None:
        work = requests.work_for(submission(**given), settings)
        return arrays.shape_of(work, batch_request(settings, **given))

    assert shape(command="a", env={"A": "1"}) == shape(command="b", env={"B": "2"})
    assert shape() != shape(resources=Resources(cpu=2))
    assert shape() != shape(timeout=600)
    assert shape() != shape(push={"priority": 3})
    assert shape(task="segue.container", image="i", command=["true"]) is None
    assert shape(task="shop.fold", push={"definition": "own", "parameters": {}}) is None
    assert shape(task="shop.fold", push={"definition": "own"}) is not None


def test_an_array_that_is_too_long_is_asked_for_in_parts() -> None:
    with pytest.raises(BusyError, match="one call takes 30,720"):
        arrays.array_of(*elements(40, values={"n": "x" * 1000}))


def test_the_request_of_a_task_of_ecs() -> None:
    settings = msgspec.structs.replace(FARGATE, log_group="/ecs/segue")
    place = tasks.Place(cluster="jobs", subnets=("s1",), public_ip=True)
    work = requests.work_for(
        submission(timeout=5, resources=Resources(cpu=2, tmp="30GiB"), push={"task": {"enableExecuteCommand": True}}),
        settings,
    )  # fmt: skip
    request = tasks.run_of(PUSH, work, settings, place, definition="d", container="main", is_own=True)
    assert (request["clientToken"], request["startedBy"], request["count"]) == (PUSH.name, PUSH.name, 1)
    assert request["enableExecuteCommand"] is True
    assert request["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"] == "ENABLED"
    overrides = request["overrides"]
    assert (overrides["cpu"], overrides["memory"]) == ("2048", "4096")
    assert overrides["ephemeralStorage"] == {"sizeInGiB": 30}
    assert tasks.timeout_in({"overrides": overrides}) == 5
    made = tasks.definition_content(work, settings, more={"volumes": [1]}, region="eu-west-1", has_network=True)
    assert (made["volumes"], made["networkMode"]) == ([1], "awsvpc")
    assert made["containerDefinitions"][0]["logConfiguration"]["options"]["awslogs-region"] == "eu-west-1"
    for name in ("count", "clientToken", "cluster"):
        twice = work._replace(options={"task": {name: 2}})
        with pytest.raises(RefusedError, match="runs once"):
            tasks.run_of(PUSH, twice, settings, place, definition="d", container="main", is_own=True)
    spot = tasks.Place(capacity_provider="FARGATE_SPOT", subnets=("s1",))
    request = tasks.run_of(PUSH, work, settings, spot, definition="d", container="main", is_own=True)
    assert "launchType" not in request
    assert request["capacityProviderStrategy"] == [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]


def test_fargate_needs_a_network_and_instances_do_not() -> None:
    work = requests.work_for(submission(), FARGATE)
    with pytest.raises(RefusedError, match="subnets="):
        tasks.run_of(PUSH, work, FARGATE, tasks.Place(), definition="d", container="main", is_own=True)
    ours = msgspec.structs.replace(FARGATE, platform="EC2", execution_role=None)
    request = tasks.run_of(PUSH, work, ours, tasks.Place(), definition="d", container="main", is_own=True)
    [overrides] = request["overrides"]["containerOverrides"]
    assert (request["launchType"], overrides["cpu"], overrides["memory"]) == ("EC2", 1024, 2048)
    made = tasks.definition_content(work, ours, more={}, region="eu-west-1", has_network=False)
    assert made["networkMode"] == "bridge"


def test_a_definition_is_looked_for_before_it_is_made() -> None:
    there, made = {"segue-1": "arn:1"}, []

    def register(name: str, _: object) -> str:
        made.append(name)
        return f"arn:{name}"

    definitions = Definitions(there.get, register)
    arn = definitions.arn_of({"a": 1})
    assert definitions.arn_of({"a": 1}) == arn
    assert len(made) == 1
    definitions.forget(arn)
    there[made[0]] = "arn:other"
    assert definitions.arn_of({"a": 1}) == "arn:other"


# The executors themselves ---------------------------------------------------------------------------------------------


def test_an_executor_imports_no_library_of_amazons_and_calls_nobody() -> None:
    before = "boto3" in sys.modules
    AWSBatch("batch", queue="jobs", image="busybox")
    ECS("ecs", image="busybox")
    assert set(executors) >= {"batch", "ecs"}
    assert ("boto3" in sys.modules) == before


@pytest.mark.parametrize(
    "options, words",
    [
        ({"image": "a", "definition": "b"}, "not both"),
        ({"results": "/tmp"}, "write 's3://bucket/prefix/'"),
        ({"submits_per_second": 0}, "more than 0"),
        ({"colour": "red"}, "colour"),
        ({"platform": "MOON"}, "'FARGATE' or 'EC2'"),
        ({"memory": "much"}, "is not a size"),
    ],
)
def test_wrong_options_of_an_executor(options: dict[str, Any], words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        AWSBatch("batch", queue="jobs", **options)
