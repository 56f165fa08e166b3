"""`AWSBatch`: an executor whose platform is a job queue of AWS Batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from segue.attempt.spool import NOT_MINE
from segue.dispatcher.protocol import (
    Pace,
    Phase,
    Push,
    RefusedError,
    Sighting,
    Stray,
    Submission,
)
from segue.dispatcher.work import Work
from segue.executors.aws import arrays, meaning, requests
from segue.executors.aws.definitions import Content, Definitions, name_of
from segue.executors.aws.errors import code_of
from segue.executors.aws.following import JOBS_A_CALL
from segue.executors.aws.jobs import DEFAULT_LOG_GROUP, OPTIONS, definition_content, submission_of
from segue.executors.aws.leftovers import Log, log_of
from segue.executors.aws.platform import Platform, in_calls, limits_of
from segue.executors.aws.queues import Job, Queues, names_of
from segue.executors.aws.requests import Settings
from segue.plan.pushed import size_of

_REFUSALS = frozenset({"ClientException"})
Request = Mapping[str, Any]


class Prepared(NamedTuple):
    """What is to be sent for an attempt. `content` is that of its definition; None: one that exists is used."""

    push: Push
    work: Work
    content: Content | None
    request: Request


class AWSBatch(Platform):
    """A job queue of AWS Batch as an executor; importing a module that makes one connects to nothing.

    `image` is that of Python tasks and of `shell`; `definition` names a job definition that exists, instead.
    `job_role` is the role of the container, `execution_role` that with which Amazon starts it. `platform` is "FARGATE"
    or "EC2". `cpu` and `memory` are for steps that ask for none. `database_secret` is the ARN of a secret with the URL
    of the database, `modules` define the tasks. `results` is a place in a bucket for results of commands.
    `container` is merged into the `containerProperties` of definitions. `arrays=False` submits each attempt by itself.
    The numbers are `Limits`.
    Keys are found as boto3 finds them.

    Example::

        AWSBatch("batch", queue="jobs", image="busybox", execution_role="arn:aws:iam::123456789012:role/start")
    """

    def __init__(
        self, name: str, *, queue: str, image: str | None = None, definition: str | None = None,
        platform: str = "FARGATE", job_role: str | None = None, execution_role: str | None = None, cpu: float = 1,
        memory: int | str = "2GiB", database_secret: str | None = None, modules: Sequence[str] = (),
        python: str = "python", log_group: str = DEFAULT_LOG_GROUP, results: str | None = None,
        container: Mapping[str, Any] | None = None, arrays: bool = True, region: str | None = None,
        profile: str | None = None, endpoint_url: str | None = None, pace: Pace | None = None, **limits: Any,
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
        self._queue = queue
        self._queues = Queues(self._clients, self._ask, queue)
        self._container = dict(container or {})
        self._arrays = arrays
        self._definitions = Definitions(self._find_definition, self._register)

    def submit(self, submission: Submission) -> str:
        """Register a definition if there is none yet, and call SubmitJob once. See `PolledExecutor`."""
        return self._submit_with(self._prepared(submission), lambda request: request)

    def batch_limit(self) -> int:
        """How many attempts one array may have."""
        return arrays.MOST_ELEMENTS if self._arrays else 1

    def shape(self, submission: Submission) -> str | None:
        """What elements of one array have in common; None: this one goes alone."""
        prepared = self._prepared(submission)
        return arrays.shape_of(prepared.work, prepared.request)

    def submit_many(self, submissions: Sequence[Submission]) -> Sequence[str]:
        """An array job. See `BatchingExecutor`."""
        prepared = [self._prepared(submission) for submission in submissions]
        array = arrays.array_of([one.push for one in prepared], [one.request for one in prepared])
        job_id = self._submit_with(prepared[0], lambda request: {**array, "jobDefinition": request["jobDefinition"]})
        return [arrays.element_of(job_id, index) for index in range(len(prepared))]

    def _prepared(self, submission: Submission) -> Prepared:
        """What is to be sent. Raises RefusedError."""
        push, work = submission.push, requests.work_for(submission, self.settings)
        requests.check_options(work.options, OPTIONS)
        queue = str(work.options.get("queue", self._queue))
        chosen = requests.definition_choice(work, self.settings)
        content = None if chosen is not None else definition_content(work, self.settings, self._container)
        definition = name_of(content) if content is not None else str(chosen)
        request = submission_of(
            push, work, self.settings, queue=queue, definition=definition, is_own=content is not None
        )
        return Prepared(push, work, content, request)

    def _submit_with(self, prepared: Prepared, make: Callable[[Request], Request]) -> str:
        """With a definition of Segue's, unless the step names one; if it was removed, a new one is registered."""
        self._queues.know(str(prepared.request["jobQueue"]))
        if prepared.content is None:
            return self._submit(make(prepared.request))
        arn = self._definitions.arn_of(prepared.content)
        try:
            return self._submit(make({**prepared.request, "jobDefinition": arn}))
        except RefusedError as error:
            self._definitions.forget(arn)
            if "definition" not in str(error).lower():
                raise
        arn = self._definitions.arn_of(prepared.content)
        return self._submit(make({**prepared.request, "jobDefinition": arn}))

    def _submit(self, request: Request) -> str:
        answer = self._submit_by("SubmitJob", lambda: self._clients.making("batch").submit_job, **request)
        return str(answer["jobId"])

    def _find_definition(self, name: str) -> str | None:
        answer = self._prepare_by(
            "DescribeJobDefinitions", lambda: self._clients.asking("batch").describe_job_definitions,
            jobDefinitionName=name, status="ACTIVE",
        )  # fmt: skip
        found = sorted(answer["jobDefinitions"], key=lambda one: int(one["revision"]))
        return str(found[-1]["jobDefinitionArn"]) if found else None

    def _register(self, name: str, content: Content) -> str:
        answer = self._prepare_by(
            "RegisterJobDefinition", lambda: self._clients.asking("batch").register_job_definition,
            jobDefinitionName=name, **content,
        )  # fmt: skip
        return str(answer["jobDefinitionArn"])

    def find(self, pushes: Sequence[Push]) -> Mapping[str, str]:
        """Search by name, in the queues that this process knows, and then in all others. Of several, the oldest."""
        return self._queues.find(pushes)

    def look(self, pushes: Sequence[Push]) -> Iterable[Sighting]:
        """What DescribeJobs says, a hundred jobs in a call."""
        for some in in_calls(self._following.due(pushes)):
            jobs = self._queues.described([push.external_id for push in some])
            for push in some:
                job = jobs.get(push.external_id)
                if job is None or job["jobName"] not in names_of(push):
                    yield self._not_there(push)
                    continue
                yield from self._seen(push, job)

    def _seen(self, push: Push, job: Job) -> Iterator[Sighting]:
        self._queues.follow(push.external_id, str(job.get("jobQueue", self._queue)))
        sighting = meaning.job_sighting(push.id, job)
        why = self._waits_in_vain(push, sighting, float(job.get("createdAt", 0)) / 1000)
        if why is not None:
            self._end(push.external_id, why)
        holder = self._holder(push, job) if sighting.phase is Phase.ENDED and sighting.exit_code == NOT_MINE else None
        if holder is not None:
            yield Sighting(push.id, Phase.QUEUED, held_by=holder)
            return
        yield from self._told(push, sighting, _log(job))

    def _holder(self, push: Push, job: Job) -> str | None:
        """Another job of this push that runs, or ran, the attempt which this one found begun."""
        others = [one for one in self._queues.ids_in(str(job["jobQueue"]), push) if one != push.external_id]
        for job_id, other in (self._queues.described(others[:JOBS_A_CALL]) if others else {}).items():
            if meaning.container_of_job(other).get("exitCode") != NOT_MINE:
                return job_id
        return None

    def _find_log(self, push: Push) -> Log | None:
        job = self._queues.described([push.external_id]).get(push.external_id)
        return None if job is None else _log(job)

    def cancel(self, pushes: Sequence[Push], *, hard: bool) -> None:
        """TerminateJob: SIGTERM, and SIGKILL after 30 seconds. Batch has nothing harder. See `PolledExecutor`."""
        for push in pushes:
            self._end(push.external_id, meaning.ASKED)

    def _end(self, job_id: str, reason: str) -> None:
        """Ask for its end; one that has ended, or is unknown, is no error."""
        try:
            self._ask(
                "TerminateJob", lambda: self._clients.asking("batch").terminate_job, passes=_REFUSALS, jobId=job_id,
                reason=reason[:1024],
            )  # fmt: skip
        except Exception as error:
            if code_of(error) not in _REFUSALS:
                raise

    def strays(self) -> Iterable[Stray]:
        """All jobs with names of Segue's that have not ended, in the queues that this process knows."""
        return self._queues.strays()

    def clean(self, pushes: Sequence[Push]) -> None:
        """Delete the results of commands. See `PolledExecutor`."""
        super().clean(pushes)
        self._queues.forget_old()


def _log(job: Job) -> Log:
    container = meaning.container_of_job(job)
    return log_of(container.get("logConfiguration"), stream=container.get("logStreamName"), group=DEFAULT_LOG_GROUP)
