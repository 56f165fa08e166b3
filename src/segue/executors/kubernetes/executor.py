"""`Kubernetes`: an executor whose platform is a Kubernetes cluster. Each attempt is a Job of one pod."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from segue.config import DATABASE_VARIABLE
from segue.dispatcher.protocol import (
    BlindError,
    BusyError,
    Cause,
    Collected,
    Mode,
    Pace,
    Phase,
    Push,
    RefusedError,
    Sighting,
    Stray,
    Submission,
    id_of_name,
)
from segue.dispatcher.registry import register
from segue.dispatcher.work import work_of
from segue.errors import DefinitionError
from segue.executors.kubernetes import meaning
from segue.executors.kubernetes.cluster import Cluster
from segue.executors.kubernetes.manifest import manifest_of, merged_options, secret_of
from segue.executors.kubernetes.objects import EXECUTOR_LABEL, PUSH_LABEL, Job, Pod
from segue.executors.kubernetes.output import collected
from segue.executors.kubernetes.waiting import Patience
from segue.executors.kubernetes.watching import Terms
from segue.given import shown

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
PACE = Pace(look_seconds=2.0, settle_seconds=5.0, gone_seconds=2.0, cancel_seconds=60.0, side_by_side=8)
MOST_QUESTIONS = 20  # in one look, about attempts that the watches do not know
MOST_EVENTS = 5
REPORT_SECONDS = 10  # of the time of grace, for the report after the task has ended
NAMES_IN_A_SELECTOR = 50


class Kubernetes:
    """A Kubernetes cluster as an executor; importing a module that makes one connects to nothing.

    `namespace` is where Jobs are made, and `namespaces` are others that `push={"namespace": ...}` may name. `modules`
    define the tasks, `python` is the Python of the image, and `database_secret` ("name/key") is the Secret with the
    database's URL: a task in a container begins and reports by itself. Commands need none of them. `kubeconfig` and
    `context` name another cluster than the present one. `image_seconds` is how long an image that cannot be pulled, or
    a setting that is wrong, is waited for; `lost_seconds` how long a machine that says nothing. All other options are
    defaults of Jobs, which `push={...}` of a task changes.

    Example::

        Kubernetes("k8s", namespace="jobs", image="ghcr.io/acme/shop:3.1", modules=["shop.tasks"],
                   database_secret="segue/url")
    """

    mode = Mode.DATABASE

    def __init__(
        self, name: str, *, namespace: str = "default", namespaces: Sequence[str] = (), modules: Sequence[str] = (),
        python: str = "python", database_secret: str | None = None, kubeconfig: str | None = None,
        context: str | None = None, image_seconds: float = 300.0, lost_seconds: float = 600.0,
        call_seconds: float = 10.0, pace: Pace | None = None, terms: Terms | None = None, **options: Any,
    ) -> None:  # fmt: skip
        label = f"Kubernetes({shown(name)})"
        if not _NAME.fullmatch(str(name)):
            raise DefinitionError(f"{label}: write small letters, digits and '-', as for a label of Kubernetes")
        for each in (namespace, *namespaces):
            if not _NAME.fullmatch(str(each)):
                raise DefinitionError(f"{label}: {shown(each)} is not the name of a namespace")
        try:
            merged_options(options)
            if database_secret is not None:
                secret_of(database_secret)
        except DefinitionError as error:
            raise DefinitionError(f"{label}: {error}") from None
        self.name = name
        self.pace = pace or PACE
        self._given = options
        self._namespace = namespace
        self._namespaces = tuple(dict.fromkeys((namespace, *namespaces)))
        self._modules = tuple(modules)
        self._python = python
        self._database_secret = database_secret
        self._patience = Patience(setup_seconds=image_seconds, lost_seconds=lost_seconds)
        self._cluster = Cluster(
            kubeconfig=kubeconfig, context=context, seconds=call_seconds, selector=f"{EXECUTOR_LABEL}={name}",
            terms=terms or Terms(),
        )  # fmt: skip
        register(self)

    def submit(self, submission: Submission) -> str:
        """Create the Job. Its name is the push's, so of two creations one counts. See `PolledExecutor`."""
        push = submission.push
        namespace, manifest = self.manifest(submission)
        try:
            self._cluster.create(namespace, manifest, push)
        except BlindError as error:  # nothing was called
            raise BusyError(str(error), seconds=60.0) from error
        return f"{namespace}/{push.name}"

    def manifest(self, submission: Submission) -> tuple[str, dict[str, Any]]:
        """The namespace and the Job of a submission. Raises RefusedError."""
        push = submission.push
        words = [self._python, "-m", "segue", "run-step", "--push", push.id]
        for module in self._modules:
            words += ["-A", module]
        work = work_of(submission, run_step=words)
        if work.command is None:
            if self._database_secret is None or not self._modules:
                raise RefusedError(
                    f"a task at {self.name!r} reports into the database; write Kubernetes({self.name!r}, "
                    "modules=['shop.tasks'], database_secret='NAME/KEY') with the Secret that has its URL"
                )
            work = work._replace(secrets={**work.secrets, DATABASE_VARIABLE: self._database_secret})
        try:
            options = merged_options(self._given, work.options)
            namespace = options["namespace"] or self._namespace
            if work.command is None:
                grace = max(0, options["grace_seconds"] - REPORT_SECONDS)
                work = work._replace(words=(*work.words, "--grace-seconds", str(grace)))
            if namespace not in self._namespaces:
                raise DefinitionError(
                    f"the namespace {shown(namespace)} is not watched; write Kubernetes(..., namespaces=[...]) with it"
                )
            return namespace, manifest_of(push, work, executor=self.name, options=options)
        except DefinitionError as error:
            raise RefusedError(str(error)) from error
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise RefusedError(f"its options make no Job: {error!r}; pod={{...}} has another shape") from error

    def find(self, pushes: Sequence[Push]) -> Mapping[str, str]:
        """Search by the label of the push in every namespace."""
        by_name = {push.name: push.id for push in pushes}
        names, found = list(by_name), {}
        for namespace in self._namespaces:
            for at in range(0, len(names), NAMES_IN_A_SELECTOR):
                selector = f"{PUSH_LABEL} in ({','.join(names[at : at + NAMES_IN_A_SELECTOR])})"
                for job in self._cluster.jobs(namespace, selector):
                    if job.metadata.name in by_name:
                        found[by_name[job.metadata.name]] = f"{namespace}/{job.metadata.name}"
        return found

    def look(self, pushes: Sequence[Push]) -> Iterable[Sighting]:
        """What the watches know. Only what they do not know is asked for, a few at a time."""
        for namespace in {self._place_of(push)[0] for push in pushes}:
            self._cluster.copies(namespace).check()
        return self._sightings(pushes)

    def collect(self, push: Push) -> Collected:
        """The end of the log and the termination message, while the pod is there."""
        namespace, name = self._place_of(push)
        pod = self._cluster.pod(namespace, name)
        if pod is None:
            return Collected()
        tail = ""
        if not meaning.has_lost_its_machine(pod):
            try:
                tail = self._cluster.tail(namespace, pod)
            except BlindError as error:
                if not self._patience.is_tired_of_reading(name):
                    raise
                tail = f"segue: its log cannot be read: {error}\n"
        return collected(push, pod, tail)

    def read_output(self, push: Push) -> str:
        """The end of the log so far."""
        namespace, name = self._place_of(push)
        pod = self._cluster.pod(namespace, name)
        return "" if pod is None else self._cluster.tail(namespace, pod)

    def cancel(self, pushes: Sequence[Push], *, hard: bool) -> None:
        """Delete the Job; it stays until its pod has ended. With `hard`, the pod goes without its time of grace."""
        for push in pushes:
            self._cluster.delete(*self._place_of(push), hard=hard)

    def clean(self, pushes: Sequence[Push]) -> None:
        """Delete Jobs that have ended, with their pods and logs."""
        for push in pushes:
            namespace, name = self._place_of(push)
            self._cluster.remove(namespace, name)
            self._patience.forget(name)

    def strays(self) -> Iterable[Stray]:
        """All Jobs of this executor that have not ended."""
        for namespace in self._namespaces:
            copies = self._cluster.copies(namespace)
            copies.check()
            for job in copies.jobs.all():
                push_id = id_of_name(job.metadata.name)
                has_ended = job.said("Complete") or job.said("Failed") or job.metadata.deletion_timestamp
                if push_id is not None and not has_ended:
                    yield Stray(push_id, f"{namespace}/{job.metadata.name}")

    def close(self) -> None:
        """End the watches and close the connections. A later call connects again."""
        self._cluster.close()

    # What is outside --------------------------------------------------------------------------------------------------

    def _sightings(self, pushes: Sequence[Push]) -> Iterator[Sighting]:
        questions, events = MOST_QUESTIONS, MOST_EVENTS
        for push in pushes:
            namespace, name = self._place_of(push)
            job: Job | None = next(iter(self._cluster.copies(namespace).jobs.of(name)), None)
            if job is None:  # the watch has not told it yet, or it is gone
                questions -= 1
                if questions < 0:
                    continue  # it is as it was, until the next look
                job = self._cluster.job(namespace, name)
            if job is None:
                yield self._ended(name, Sighting(push.id, Phase.GONE, "its Job does not exist any more"))
                continue
            pod = self._pod_of(namespace, name, job)
            sighting = meaning.sighting_of(push.id, job, pod)
            if sighting.phase is Phase.ENDED:
                yield self._ended(name, sighting)
                continue
            sighting = self._waited_for(namespace, name, job, pod, sighting)
            if sighting.phase is Phase.QUEUED and sighting.reason is None:
                if events > 0 and self._patience.should_ask(name):
                    events -= 1
                    about = name if pod is None else pod.metadata.name
                    self._patience.note_events(name, self._cluster.warning(namespace, about))
                sighting = sighting._replace(reason=self._patience.events_of(name))
            yield sighting

    def _pod_of(self, namespace: str, name: str, job: Job) -> Pod | None:
        """The newest pod. Of a failed Job it must have ended: the two watches do not tell things in their order."""
        pod = meaning.newest(self._cluster.copies(namespace).pods.of(name))
        if job.said("Failed") and (pod is None or not pod.has_ended):
            return self._cluster.pod(namespace, name)
        return pod

    def _ended(self, name: str, sighting: Sighting) -> Sighting:
        """How an attempt ended. Of one that was given up, the cluster knows only that it was removed."""
        given_up = self._patience.given_up.get(name)
        if given_up is None or sighting.exit_code == 0:
            self._patience.forget_waits(name)
            return sighting
        return sighting._replace(
            phase=Phase.ENDED, reason=given_up.reason, cause=given_up.cause, exit_code=None,
            is_cut_off=given_up.cause is Cause.LOST,
        )  # fmt: skip

    def _waited_for(self, namespace: str, name: str, job: Job, pod: Pod | None, sighting: Sighting) -> Sighting:
        """The sighting with what an attempt waits for; if that will not come, the attempt is removed first."""
        given_up = self._patience.given_up.get(name)
        wait = meaning.wait_of(job, pod)
        if given_up is None and job.metadata.deletion_timestamp is None:
            is_running = sighting.phase is Phase.RUNNING
            given_up = self._patience.judge(name, job, pod, is_running=is_running, wait=wait)
            if given_up is not None:
                self._patience.give_up(name, given_up)
                self._cluster.delete(namespace, name, hard=meaning.is_cut_off(pod))
        if given_up is not None:
            return sighting._replace(reason=f"it is being removed: {given_up.reason}")
        if sighting.phase is Phase.QUEUED and sighting.reason is None:
            return sighting._replace(reason=self._patience.said_of(name, wait))
        return sighting

    def _place_of(self, push: Push) -> tuple[str, str]:
        """Its namespace and its name. The name is the push's own, whatever the id says."""
        namespace = push.external_id.rpartition("/")[0]
        return namespace or self._namespace, push.name
