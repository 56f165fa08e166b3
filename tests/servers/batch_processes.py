"""AWS Batch and ECS of moto, whose containers are processes: ``python -m tests.servers.batch_processes PORT``.

moto keeps queues, definitions, clusters, secrets, buckets and logs. What a container does is real: its command,
environment, secrets, exit code, output (which goes to CloudWatch's logs), limits of time and memory, SIGTERM and
SIGKILL. Where moto is kinder than AWS, it is made as strict. The first part of an image's name says what befalls it:

    missing/    it cannot be pulled        busy/     the registry asks for patience
    spot/       its machine is taken away  stuck/    it waits for ever
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from tests.servers.faulty_wire import Wire

ACCOUNT, REGION = "123456789012", "eu-west-1"
MEMORY_TIMES = 10  # what a process uses counts so often, so that tests need little
STOP_SECONDS = 2.0  # AWS: 30
TICK = 0.02
STEP = 0.05  # from one state of a job to the next


class Container:
    """A process of this machine, and its log."""

    def __init__(
        self, command: list[str], environment: dict[str, str], *, memory_mib: int, log: Callable[[list[str]], None]
    ) -> None:
        self.reason: str | None = None
        self._memory = memory_mib * 2**20
        self._log = log
        self._file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - read while it runs
        self._read = Path(self._file.name).open()  # noqa: SIM115
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        try:
            self.process: subprocess.Popen[bytes] | None = subprocess.Popen(
                command, env={"PATH": path, "PYTHONPATH": str(Path.cwd()), **environment}, stdout=self._file,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            self.process, self.reason = None, f"CannotStartContainerError: exec: {command[0]!r}: {error.strerror}"

    def is_running(self) -> bool:
        """Whether it still runs; its lines so far are logged."""
        if self.process is None:
            return False
        code = self.process.poll()
        if code is None and self._uses() * MEMORY_TIMES > self._memory:
            self.reason = "OutOfMemoryError: Container killed due to memory usage"
            self._signal(signal.SIGKILL)
            self.process.wait()
        lines = self._read.read().splitlines()
        if lines:
            self._log(lines)
        return self.process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """As Docker gives it: 128 and more for a signal."""
        code = None if self.process is None else self.process.returncode
        return 128 - code if code is not None and code < 0 else code

    def end(self) -> None:
        """SIGTERM, and SIGKILL a moment later."""
        if self.process is not None and self.process.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self.process.wait()
        self.is_running()

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def _uses(self) -> int:
        assert self.process is not None
        try:
            return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096
        except (OSError, IndexError):
            return 0


def pull_error(image: str) -> str | None:
    """What the registry answers for this image."""
    if image.startswith("missing/"):
        return f"CannotPullContainerError: pull access denied for {image}, repository does not exist"
    if image.startswith("busy/"):
        return f"CannotPullContainerError: {image}: toomanyrequests: You have reached your pull rate limit"
    return None


def secrets_in(references: Iterable[dict[str, str]], region: str, account: str) -> dict[str, str]:
    """The values of secrets, as a container gets them."""
    from moto.secretsmanager.models import secretsmanager_backends

    backend = secretsmanager_backends[account][region]
    return {
        one["name"]: backend.get_secret_value(one["valueFrom"], "", "")["SecretString"] for one in references
    }  # fmt: skip


def logger_of(backend: Any, group: str, stream: str) -> Callable[[list[str]], None]:
    """Where the lines of a container go."""
    backend.ensure_log_group(group)
    backend.ensure_log_stream(group, stream)

    def log(lines: list[str]) -> None:
        now = int(time.time() * 1000)
        backend.put_log_events(group, stream, [{"timestamp": now, "message": line} for line in lines])

    return log


def variables(*lists: Iterable[dict[str, str]]) -> dict[str, str]:
    return {one["name"]: one["value"] for some in lists for one in some}


# Batch ----------------------------------------------------------------------------------------------------------------


class Jobs:
    """What is put in the place of moto's jobs."""

    @staticmethod
    def run(job: Any) -> None:
        """The life of a job."""
        job.reason = job.container_reason = None
        properties = job.job_definition.container_properties
        image = properties["image"]
        for status in ("PENDING", "RUNNABLE"):
            time.sleep(STEP)
            job.status = status
        while image.startswith("stuck/") and not job.stop:
            job.reason = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - no instance meets the requirements of the job"
            time.sleep(TICK)
        if job.stop:
            Jobs.ended(job, job.job_stopped_reason, None)
            return
        job.status = "STARTING"
        time.sleep(STEP)
        job.container_reason = pull_error(image)
        if job.container_reason is not None:
            Jobs.ended(job, "Task failed to start", None)
            return
        Jobs.run_container(job, image, properties)

    @staticmethod
    def status(job: Any) -> str:
        """Where a job is; an array waits for its elements."""
        children = getattr(job, "_child_jobs", None)
        if not children:
            return job.__dict__.get("phase", "SUBMITTED")  # type: ignore[no-any-return]
        of_children = {child.status for child in children}
        if not of_children <= {"SUCCEEDED", "FAILED"}:
            return "PENDING"
        return "FAILED" if "FAILED" in of_children else "SUCCEEDED"

    @staticmethod
    def run_container(job: Any, image: str, properties: dict[str, Any]) -> None:
        overrides = job.container_overrides
        environment = variables(properties.get("environment", []), overrides.get("environment", []))
        secrets = secrets_in(properties.get("secrets", []), job.job_queue.backend.region_name, job.backend.account_id)
        index = (
            {}
            if "index" not in job.array_properties
            else {"AWS_BATCH_JOB_ARRAY_INDEX": str(job.array_properties["index"])}
        )
        sizes = {
            one["type"]: one["value"]
            for one in [*properties.get("resourceRequirements", []), *overrides.get("resourceRequirements", [])]
        }
        job.log_stream_name = f"{job.job_definition.name}/default/{job.job_id}"
        group = properties.get("logConfiguration", {}).get("options", {}).get("awslogs-group", "/aws/batch/job")
        command = job._add_parameters_to_command(overrides.get("command") or properties.get("command", []))
        job.job_started_at = datetime.now()  # noqa: DTZ005 - as moto does
        container = Container(
            command, {**environment, **secrets, **index, "AWS_BATCH_JOB_ID": job.job_id},
            memory_mib=int(sizes["MEMORY"]), log=logger_of(job._log_backend, group, job.log_stream_name),
        )  # fmt: skip
        began, seconds = time.monotonic(), job._get_attempt_duration()
        job.status = "RUNNING"
        reason = "Essential container in task exited"
        while container.is_running():
            if job.stop:
                reason = job.job_stopped_reason
                container.end()
            elif seconds is not None and time.monotonic() - began > seconds:
                reason = "Job attempt duration exceeded timeout"
                container.end()
            elif image.startswith("spot/") and time.monotonic() - began > 0.3:
                reason = "Host EC2 (instance i-0123456789abcdef0) terminated."
                container.end()
                container.process = None
            time.sleep(TICK)
        job.container_reason = container.reason
        Jobs.ended(job, reason, container.exit_code)

    @staticmethod
    def ended(job: Any, reason: str, code: int | None) -> None:
        job.reason, job.exit_code = reason, code
        job._mark_stopped(success=code == 0 and not job.stop)


def teach_batch() -> None:
    """Containers are processes, and what AWS refuses is refused."""
    from moto.batch import models
    from moto.batch.exceptions import ClientException

    job, backend = models.Job, models.BatchBackend
    describe_short = job.describe_short
    describe, submit, find, terminate = job.describe, backend.submit_job, backend.describe_jobs, backend.terminate_job

    def described(self: Any) -> dict[str, Any]:
        told = describe(self)
        container = told.get("container", {})
        properties = self.job_definition.container_properties or {}
        for name in ("logConfiguration", "secrets"):
            if name in properties:
                container[name] = properties[name]
        container["environment"] = [
            {"name": name, "value": value}
            for name, value in variables(
                properties.get("environment", []), self.container_overrides.get("environment", [])
            ).items()
        ]
        told["attempts"] = []
        told.pop("statusReason", None)
        for where, name, value in (
            (told, "statusReason", getattr(self, "reason", None)),
            (container, "reason", getattr(self, "container_reason", None)), (container, "exitCode", self.exit_code),
        ):  # fmt: skip
            if value is not None:
                where[name] = value
        told["isTerminated"] = bool(self.stop and self.job_stopped)
        told["isCancelled"] = False
        return told

    def described_shortly(self: Any) -> dict[str, Any]:
        told = describe_short(self)
        if self._child_jobs:
            told["arrayProperties"] = {"size": len(self._child_jobs)}
        return told

    def submitted(self: Any, job_name: str, job_def_id: str, job_queue: str, **given: Any) -> Any:
        timeout = given.get("timeout") or {}
        if timeout.get("attemptDurationSeconds", 60) < 60:
            raise ClientException("attemptDurationSeconds must be at least 60")
        if not 2 <= given.get("array_properties", {}).get("size", 2) <= 10_000:
            raise ClientException("arrayProperties.size must be between 2 and 10000")
        if len(json.dumps(given)) > 30 * 1024:
            raise ClientException("the request is longer than 30 KiB")
        definition = self.get_job_definition(job_def_id)
        if definition is not None and definition.status == "INACTIVE":
            raise ClientException(f"JobDefinition {job_def_id} is not in ACTIVE state")
        return submit(self, job_name, job_def_id, job_queue, **given)

    def found(self: Any, jobs: list[str] | None) -> Any:
        if jobs is None or len(jobs) > 100:
            raise ClientException("jobs must have length between 1 and 100")
        return find(self, jobs)

    def ended(self: Any, job_id: str, reason: str) -> Any:
        if self.get_job_by_id(job_id) is None:
            raise ClientException(f"Job {job_id} does not exist")
        for child in self.get_job_by_id(job_id)._child_jobs or []:
            terminate(self, child.job_id, reason)
        return terminate(self, job_id, reason)

    job.run = Jobs.run
    job.describe = described
    job.describe_short = described_shortly
    job.status = property(Jobs.status, lambda self, value: self.__dict__.__setitem__("phase", value))
    backend.submit_job, backend.describe_jobs, backend.terminate_job = submitted, found, ended


def make_queues() -> None:
    """Two queues; through the API, they would need networks and roles, whose parts of moto take seconds to load."""
    from moto.batch.models import JobQueue, batch_backends

    backend = batch_backends[ACCOUNT][REGION]
    for name in ("jobs", "others"):
        queue = JobQueue(name, 1, "ENABLED", [], [], None, backend)
        backend._job_queues[queue.arn] = queue


# ECS ------------------------------------------------------------------------------------------------------------------


class Tasks:
    """What is put in the place of moto's tasks."""

    started: ClassVar[dict[str, tuple[str, list[Any]]]] = {}  # by clientToken

    @staticmethod
    def run(task: Any, definition: Any, region: str, account: str) -> None:
        from moto.logs.models import logs_backends

        [properties] = definition.container_definitions
        [overrides] = task.overrides.get("containerOverrides") or [{}]
        time.sleep(STEP)
        task.last_status = "PENDING"
        error = pull_error(properties["image"])
        if error is not None:
            Tasks.ended(task, "TaskFailedToStart", error)
            return
        options = properties["logConfiguration"]["options"]
        stream = f"{options['awslogs-stream-prefix']}/{properties['name']}/{task.id}"
        container = Container(
            overrides.get("command") or properties.get("command", []),
            {**variables(properties.get("environment", []), overrides.get("environment", [])),
             **secrets_in(properties.get("secrets", []), region, account)},
            memory_mib=int(task.overrides.get("memory") or definition.memory),
            log=logger_of(logs_backends[account][region], options["awslogs-group"], stream),
        )  # fmt: skip
        began = time.monotonic()
        task.started_at, task.last_status = datetime.now(UTC), "RUNNING"
        code, reason = "EssentialContainerExited", "Essential container in task exited"
        while container.is_running():
            if task.desired_status == "STOPPED":
                container.end()
            elif properties["image"].startswith("spot/") and time.monotonic() - began > 0.3:
                code, reason = "SpotInterruption", "Your Spot Task was interrupted."
                container.end()
            time.sleep(TICK)
        if task.desired_status == "STOPPED":
            code, reason = task.stop_code, task.stopped_reason
        if container.exit_code is not None:
            task.containers[0].exitCode = container.exit_code
        if container.reason is not None:
            task.containers[0].reason = container.reason
        Tasks.ended(task, code, reason)

    @staticmethod
    def ended(task: Any, code: str, reason: str) -> None:
        task.stop_code, task.stopped_reason, task.stopped_at = code, reason, datetime.now(UTC)
        task.desired_status = "STOPPED"
        task.last_status = "STOPPED"


def teach_ecs() -> None:
    """The same for ECS."""
    from moto.core.responses import ActionResult
    from moto.ecs import models, responses
    from moto.ecs.exceptions import InvalidParameterException

    response, backend, task_class = (
        responses.EC2ContainerServiceResponse,
        models.EC2ContainerServiceBackend,
        models.Task,
    )
    run, describe, list_tasks = response.run_task, response.describe_tasks, response.list_tasks
    lock = threading.Lock()

    def run_task(self: Any) -> Any:
        token, given = self._get_param("clientToken"), json.dumps(json.loads(self.body), sort_keys=True)
        with lock:
            before = Tasks.started.get(token)
            if before is not None and before[0] == given:
                return ActionResult({"tasks": before[1], "failures": []})
            if before is not None:
                body = {"__type": "ConflictException", "message": "The provided clientToken is already in use",
                        "resourceIds": [task.task_arn for task in before[1]]}  # fmt: skip
                return 400, {"status": 400}, json.dumps(body)
            tasks = run(self).result["tasks"]
            for task in tasks:
                task.created_at, task.last_status = datetime.now(UTC), "PROVISIONING"
                del task.containers[0].exitCode
                definition = self.ecs_backend.describe_task_definition(task.task_definition_arn)
                arguments = (task, definition, self.region, self.current_account)
                threading.Thread(target=Tasks.run, args=arguments, daemon=True).start()
            if token:
                Tasks.started[token] = (given, tasks)
            return ActionResult({"tasks": tasks, "failures": []})

    def describe_tasks(self: Any) -> Any:
        asked = self._get_param("tasks", [])
        if not 1 <= len(asked) <= 100:
            raise InvalidParameterException("Tasks must have between 1 and 100 members")
        found = describe(self).result["tasks"]
        known = {task.task_arn for task in found}
        missing = [{"arn": arn, "reason": "MISSING"} for arn in asked if arn not in known]
        return ActionResult({"tasks": found, "failures": missing})

    def listed(self: Any) -> Any:
        if self._get_param("startedBy") and self._get_param("desiredStatus"):
            raise InvalidParameterException("startedBy must be the only filter")
        return list_tasks(self)

    def stop_task(self: Any, cluster_str: str, task_str: str, reason: str) -> Any:
        for tasks in self.tasks.values():
            for arn, task in tasks.items():
                if arn == task_str:
                    if task.last_status != "STOPPED":
                        task.stop_code, task.stopped_reason = "UserInitiated", reason
                        task.desired_status = "STOPPED"
                    return task
        raise InvalidParameterException("The referenced task was not found.")

    interface = SimpleNamespace(
        id="eni-1", mac_address="0a:00:00:00:00:01", private_dns_name="ip", private_ip_address="10.0.0.1"
    )
    models.ec2_backends = defaultdict(lambda: defaultdict(  # loading that of moto takes seconds
        lambda: SimpleNamespace(create_network_interface=lambda **_: interface)
    ))  # fmt: skip
    response.run_task, response.describe_tasks, response.list_tasks = run_task, describe_tasks, listed
    backend.stop_task = stop_task
    backend._calculate_task_resource_requirements = staticmethod(lambda _: {})  # Fargate needs none of a container
    task_class.advance = lambda self: None
    task_class.last_status = property(
        lambda self: self.__dict__.get("phase"), lambda self, value: self.__dict__.__setitem__("phase", value)
    )


def main(port: int) -> None:
    import logging

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    teach_batch()
    teach_ecs()
    make_queues()
    run_simple("127.0.0.1", port, Wire(DomainDispatcherApplication(create_backend_app)), threaded=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
