"""`ECS`: an executor whose platform is a cluster of Amazon's container service, with Fargate or instances."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from segue.dispatcher.protocol import (
    BusyError,
    Pace,
    Phase,
    Push,
    RefusedError,
    Sighting,
    Stray,
    Submission,
    id_of_name,
)
from segue.executors.aws import meaning, requests
from segue.executors.aws.clients import pages_of
from segue.executors.aws.definitions import Content, Definitions
from segue.executors.aws.errors import LATER_SECONDS, code_of
from segue.executors.aws.leftovers import Log, log_of
from segue.executors.aws.platform import Platform, in_calls, limits_of
from segue.executors.aws.requests import Settings
from segue.executors.aws.tasks import MAIN, OPTIONS, Place, definition_content, run_of, timeout_in
from segue.plan.pushed import size_of

DEFAULT_LOG_GROUP = "/ecs/segue"
_ABSENT = frozenset({"InvalidParameterException", "ClientException"})
_TAKEN = frozenset({"ConflictException"})
_NEVER = re.compile(r"\bMISSING\b|INACTIVE")
Task = Mapping[str, Any]


class ECS(Platform):
    """A cluster of Amazon's container service as an executor; importing a module that makes one connects to nothing.

    Most arguments are those of `AWSBatch`. `cluster` is where tasks run, in `subnets` with `security_groups`;
    `public_ip` is needed in a public subnet, or the image cannot be pulled. `capacity_provider`, such as
    "FARGATE_SPOT", takes the place of the launch type. `container` is the one that counts in an existing `definition`.
    `task_definition` is merged into the definitions that Segue makes.

    Example::

        ECS("ecs", cluster="jobs", image="busybox", subnets=["subnet-1"], public_ip=True,
            execution_role="arn:aws:iam::123456789012:role/start")
    """

    def __init__(
        self, name: str, *, cluster: str = "default", image: str | None = None, definition: str | None = None,
        container: str = MAIN, platform: str = "FARGATE", capacity_provider: str | None = None,
        subnets: Sequence[str] = (), security_groups: Sequence[str] = (), public_ip: bool = False,
        job_role: str | None = None, execution_role: str | None = None, cpu: float = 1, memory: int | str = "2GiB",
        database_secret: str | None = None, modules: Sequence[str] = (), python: str = "python",
        log_group: str = DEFAULT_LOG_GROUP, results: str | None = None,
        task_definition: Mapping[str, Any] | None = None, region: str | None = None, profile: str | None = None,
        endpoint_url: str | None = None, pace: Pace | None = None, **limits: Any,
    ) -> None:  # fmt: skip
        settings = Settings(
            image=image, definition=definition, platform=platform, job_role=job_role, execution_role=execution_role,
            cpu=cpu, memory_bytes=size_of("memory", memory), log_group=log_group, results=results,
            database_secret=database_secret, modules=tuple(modules), python=python,
        )  # fmt: skip
        super().__init__(
            name,
            settings,
            region=region,
            profile=profile,
            endpoint_url=endpoint_url,
            pace=pace,
            limits=limits_of(limits),
        )
        self._place = Place(
            cluster=cluster, capacity_provider=capacity_provider, subnets=tuple(subnets),
            security_groups=tuple(security_groups), public_ip=public_ip,
        )  # fmt: skip
        self._container = container
        self._more = dict(task_definition or {})
        self._definitions = Definitions(self._find_definition, self._register)
        self._described_definitions: dict[str, dict[str, Any]] = {}

    def submit(self, submission: Submission) -> str:
        """Register a definition if there is none yet, and call RunTask once. See `PolledExecutor`."""
        push, work = submission.push, requests.work_for(submission, self.settings)
        requests.check_options(work.options, OPTIONS)
        chosen = requests.definition_choice(work, self.settings)
        if chosen is not None:
            container = str(work.options.get("container", self._container))
            return self._run(run_of(
                push, work, self.settings, self._place, definition=chosen, container=container, is_own=False
            ))  # fmt: skip
        content = definition_content(
            work, self.settings, more=self._more, region=self._region(), has_network=bool(self._place.subnets)
        )
        arn = self._definitions.arn_of(content)
        request = run_of(push, work, self.settings, self._place, definition=arn, container=MAIN, is_own=True)
        try:
            return self._run(request)
        except RefusedError as error:
            self._definitions.forget(arn)
            if "definition" not in str(error).lower():
                raise
        return self._run({**request, "taskDefinition": self._definitions.arn_of(content)})

    def _run(self, request: dict[str, Any]) -> str:
        """RunTask; one that was started before with this token is the same. Raises as `submit` does."""
        try:
            answer = self._submit_by("RunTask", lambda: self._clients.making("ecs").run_task, **request)
        except RefusedError as error:
            cause = error.__cause__
            taken = getattr(cause, "response", {}).get("resourceIds") if cause and code_of(cause) in _TAKEN else None
            if taken:
                return str(taken[0])
            raise
        if answer["tasks"]:
            return str(answer["tasks"][0]["taskArn"])
        why = meaning.failure_of_start(answer.get("failures") or [])
        if _NEVER.search(why):
            raise RefusedError(f"RunTask: {why}")
        raise BusyError(f"RunTask: {why}", seconds=LATER_SECONDS)

    def _region(self) -> str:
        return str(self._prepare_by("the region", lambda: lambda: self._clients.asking("ecs").meta.region_name))

    def _find_definition(self, name: str) -> str | None:
        """The newest active revision. ECS has no question that an unknown family answers without an error."""
        answer = self._prepare_by(
            "ListTaskDefinitions", lambda: self._clients.asking("ecs").list_task_definitions, familyPrefix=name,
            status="ACTIVE", sort="DESC", maxResults=1,
        )  # fmt: skip
        found = answer["taskDefinitionArns"]
        return str(found[0]) if found else None

    def _register(self, name: str, content: Content) -> str:
        answer = self._prepare_by(
            "RegisterTaskDefinition", lambda: self._clients.asking("ecs").register_task_definition, family=name,
            **content,
        )  # fmt: skip
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    def find(self, pushes: Sequence[Push]) -> Mapping[str, str]:
        """Search by `startedBy`, which finds tasks that have not ended.

        One that has ended is found by `submit`: RunTask with the same token answers with the same task.
        """
        found: dict[str, str] = {}
        for push in pushes:
            for arn in self._listed(startedBy=push.name):
                found.setdefault(push.id, arn)
        return found

    def look(self, pushes: Sequence[Push]) -> Iterable[Sighting]:
        """What DescribeTasks says, a hundred tasks in a call."""
        for some in in_calls(self._following.due(pushes)):
            tasks = self._described([push.external_id for push in some])
            for push in some:
                task = tasks.get(push.external_id)
                if task is None or task.get("startedBy") != push.name:
                    yield self._not_there(push)
                    continue
                yield from self._seen(push, task)

    def _seen(self, push: Push, task: Task) -> Iterator[Sighting]:
        container = self._counting(task)
        sighting = meaning.task_sighting(push.id, task, container=container)
        created_at = task.get("createdAt")
        why = None if created_at is None else self._waits_in_vain(push, sighting, created_at.timestamp())
        why = why or (meaning.OVER_TIME if sighting.phase is Phase.RUNNING and self._is_over_time(task) else None)
        if why is not None:
            self._stop(push.external_id, why)
        log = self._log(task) if sighting.phase is Phase.ENDED else None
        yield from self._told(push, sighting, log)

    def _counting(self, task: Task) -> str | None:
        """The name of the container whose end counts: the one that Segue gave a command."""
        overridden = (task.get("overrides") or {}).get("containerOverrides") or []
        return str(overridden[0]["name"]) if overridden else self._container

    def _find_log(self, push: Push) -> Log | None:
        task = self._described([push.external_id]).get(push.external_id)
        return None if task is None else self._log(task)

    def _log(self, task: Task) -> Log:
        """The log of the container that counts; its definition says where that is."""
        name, arn = self._counting(task), str(task["taskDefinitionArn"])
        if arn not in self._described_definitions:
            self._described_definitions[arn] = self._log_configurations(arn)
        configuration = self._described_definitions[arn].get(str(name)) or {}
        prefix = (configuration.get("options") or {}).get("awslogs-stream-prefix")
        task_id = str(task["taskArn"]).rpartition("/")[2]
        stream = f"{prefix}/{name}/{task_id}" if prefix else None
        return log_of(configuration, stream=stream, group=self.settings.log_group)

    def _log_configurations(self, arn: str) -> dict[str, Any]:
        """Where the containers of a definition log, by their names; nothing for one that was deleted."""
        try:
            answer = self._ask(
                "DescribeTaskDefinition", lambda: self._clients.asking("ecs").describe_task_definition, passes=_ABSENT,
                taskDefinition=arn,
            )  # fmt: skip
        except Exception as error:
            if code_of(error) not in _ABSENT:
                raise
            return {}
        containers = answer["taskDefinition"]["containerDefinitions"]
        return {one["name"]: one.get("logConfiguration") or {} for one in containers}

    def cancel(self, pushes: Sequence[Push], *, hard: bool) -> None:
        """StopTask: SIGTERM, and SIGKILL after `stopTimeout`. ECS has nothing harder. See `PolledExecutor`."""
        for push in pushes:
            self._stop(push.external_id, meaning.ASKED)

    def _stop(self, arn: str, reason: str) -> None:
        """Ask for its end; one that has ended, or is unknown, is no error."""
        try:
            self._ask(
                "StopTask", lambda: self._clients.asking("ecs").stop_task, passes=_ABSENT, cluster=self._place.cluster,
                task=arn, reason=reason[:255],
            )  # fmt: skip
        except Exception as error:
            if code_of(error) not in _ABSENT:
                raise

    def strays(self) -> Iterable[Stray]:
        """All tasks of the cluster with names of Segue's that have not ended."""
        for some in in_calls(list(self._listed(desiredStatus="RUNNING"))):
            for arn, task in self._described(some).items():
                push_id = id_of_name(str(task.get("startedBy", "")))
                if push_id is not None and task.get("lastStatus") != "STOPPED":
                    yield Stray(push_id, arn)

    def _described(self, arns: Sequence[str]) -> dict[str, Task]:
        answer = self._ask(
            "DescribeTasks", lambda: self._clients.asking("ecs").describe_tasks, cluster=self._place.cluster,
            tasks=list(arns),
        )  # fmt: skip
        return {str(task["taskArn"]): task for task in answer["tasks"]}

    def _listed(self, **which: Any) -> Iterator[str]:
        method = lambda: self._clients.asking("ecs").list_tasks  # noqa: E731
        for page in pages_of(self._ask, "ListTasks", method, cluster=self._place.cluster, **which):
            yield from page["taskArns"]

    def _is_over_time(self, task: Task) -> bool:
        seconds, began_at = timeout_in(task), task.get("startedAt")
        return seconds is not None and began_at is not None and self._now() >= began_at.timestamp() + seconds
