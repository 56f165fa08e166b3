"""`AWSBatch`: an executor whose platform is a job queue of AWS Batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from segue.attempt.spool import NOT_MINE
from segue.dispatcher.protocol import Pace, Phase, Push, RefusedError, Sighting, Stray, Submission, id_of_name
from segue.dispatcher.work import Work
from segue.executors.aws import meaning, requests
from segue.executors.aws.definitions import Content, Definitions
from segue.executors.aws.errors import code_of
from segue.executors.aws.jobs import DEFAULT_LOG_GROUP, OPTIONS, definition_content, submission_of
from segue.executors.aws.leftovers import Log, log_of
from segue.executors.aws.platform import Platform, in_calls, limits_of
from segue.executors.aws.requests import Settings
from segue.plan.pushed import size_of

_NOT_ENDED = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")
_REFUSALS = frozenset({"ClientException"})
Job = Mapping[str, Any]


class AWSBatch(Platform):
    """A job queue of AWS Batch as an executor; importing a module that makes one connects to nothing.

    `image` is that of Python tasks and of `shell`; `definition` names a job definition that exists, instead.
    `job_role` is the role of the container, `execution_role` that with which Amazon starts it. `platform` is "FARGATE"
    or "EC2". `cpu` and `memory` are for steps that ask for none. `database_secret` is the ARN of a secret with the URL
    of the database, `modules` define the tasks. `results` is a place in a bucket for results of commands.
    `container` is merged into the `containerProperties` of definitions. The numbers are `Limits`.
    Keys are found as boto3 finds them.

    Example::

        AWSBatch("batch", queue="jobs", image="busybox", execution_role="arn:aws:iam::123456789012:role/start")
    """

    def __init__(
        self, name: str, *, queue: str, image: str | None = None, definition: str | None = None,
        platform: str = "FARGATE", job_role: str | None = None, execution_role: str | None = None, cpu: float = 1,
        memory: int | str = "2GiB", database_secret: str | None = None, modules: Sequence[str] = (),
        python: str = "python", log_group: str = DEFAULT_LOG_GROUP, results: str | None = None,
        container: Mapping[str, Any] | None = None, region: str | None = None, profile: str | None = None,
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
        self._queue = queue
        self._queues = {_short(queue): queue}  # those that this process knows
        self._container = dict(container or {})
        self._definitions = Definitions(self._find_definition, self._register)

    def submit(self, submission: Submission) -> str:
        """Register a definition if there is none yet, and call SubmitJob once. See `PolledExecutor`."""
        push, work = submission.push, requests.work_for(submission, self.settings)
        requests.check_options(work.options, OPTIONS)
        queue = work.options.get("queue", self._queue)
        chosen = requests.definition_choice(work, self.settings)
        self._know(queue)
        if chosen is not None:
            return self._submit(submission_of(push, work, self.settings, queue=queue, definition=chosen, is_own=False))
        return self._submit_own(push, work, queue)

    def _submit_own(self, push: Push, work: Work, queue: str) -> str:
        """With a definition of Segue's; if it was removed, a new one is registered."""
        content = definition_content(work, self.settings, self._container)
        arn = self._definitions.arn_of(content)
        try:
            return self._submit(submission_of(push, work, self.settings, queue=queue, definition=arn, is_own=True))
        except RefusedError as error:
            self._definitions.forget(arn)
            if "definition" not in str(error).lower():
                raise
        arn = self._definitions.arn_of(content)
        return self._submit(submission_of(push, work, self.settings, queue=queue, definition=arn, is_own=True))

    def _submit(self, request: dict[str, Any]) -> str:
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
        found: dict[str, str] = {}
        known = list(self._queues.values())
        self._find_in(known, pushes, found)
        if len(found) < len(pushes):
            names = {_short(queue) for queue in known}
            self._find_in([queue for queue in self._all_queues() if _short(queue) not in names], pushes, found)
        return found

    def _find_in(self, queues: Sequence[str], pushes: Sequence[Push], found: dict[str, str]) -> None:
        for queue in queues:
            for push in [push for push in pushes if push.id not in found]:
                for job in self._named(queue, push.name)[:1]:
                    found[push.id] = str(job["jobId"])
                    self._know(queue)

    def look(self, pushes: Sequence[Push]) -> Iterable[Sighting]:
        """What DescribeJobs says, a hundred jobs in a call."""
        for some in in_calls(self._following.due(pushes)):
            jobs = self._described([push.external_id for push in some])
            for push in some:
                job = jobs.get(push.external_id)
                if job is None:
                    yield self._not_there(push)
                    continue
                yield from self._seen(push, job)

    def _seen(self, push: Push, job: Job) -> Iterator[Sighting]:
        self._know(str(job.get("jobQueue", self._queue)))
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
        others = [one for one in self._named(str(job["jobQueue"]), push.name) if one["jobId"] != push.external_id]
        for other in others:
            if (other.get("container") or {}).get("exitCode") != NOT_MINE:
                return str(other["jobId"])
        return None

    def _find_log(self, push: Push) -> Log | None:
        job = self._described([push.external_id]).get(push.external_id)
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
        for queue in list(self._queues.values()):
            for status in _NOT_ENDED:
                for job in self._listed(jobQueue=queue, jobStatus=status):
                    push_id = id_of_name(job["jobName"])
                    if push_id is not None:
                        yield Stray(push_id, str(job["jobId"]))

    def _know(self, queue: str) -> None:
        self._queues.setdefault(_short(queue), queue)

    def _described(self, ids: Sequence[str]) -> dict[str, Job]:
        answer = self._ask("DescribeJobs", lambda: self._clients.asking("batch").describe_jobs, jobs=list(ids))
        return {str(job["jobId"]): job for job in answer["jobs"]}

    def _named(self, queue: str, name: str) -> list[Job]:
        """The jobs of this name, ended ones too, the oldest first."""
        found = self._listed(jobQueue=queue, filters=[{"name": "JOB_NAME", "values": [name]}])
        return sorted((job for job in found if job["jobName"] == name), key=lambda job: int(job.get("createdAt", 0)))

    def _listed(self, **which: Any) -> Iterator[Job]:
        for page in self._pages("ListJobs", lambda: self._clients.asking("batch").list_jobs, **which):
            yield from page["jobSummaryList"]

    def _all_queues(self) -> list[str]:
        pages = self._pages("DescribeJobQueues", lambda: self._clients.asking("batch").describe_job_queues)
        return [str(queue["jobQueueArn"]) for page in pages for queue in page["jobQueues"]]


def _log(job: Job) -> Log:
    container = meaning.container_of_job(job)
    return log_of(container.get("logConfiguration"), stream=container.get("logStreamName"), group=DEFAULT_LOG_GROUP)


def _short(queue: str) -> str:
    """The name of a queue, also of one that is given by its ARN."""
    return queue.rpartition("/")[2]
