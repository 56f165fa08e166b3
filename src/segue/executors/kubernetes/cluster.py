"""The calls of an executor in the words of its protocol: what is not answered is a BlindError."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from segue.config import install_command
from segue.dispatcher.protocol import BlindError, Push, RefusedError, UnsureError
from segue.executors.kubernetes import meaning
from segue.executors.kubernetes.objects import PUSH_LABEL, ApiError, AwayError, Event, Job, Pod
from segue.executors.kubernetes.output import tail_of
from segue.executors.kubernetes.watching import Terms, Watched, paths_of, watched

if TYPE_CHECKING:
    from segue.executors.kubernetes.client import Api

T = TypeVar("T")


class Cluster:
    """One cluster, its Jobs that carry `selector`, and copies of what is in its namespaces."""

    def __init__(
        self, *, kubeconfig: str | None, context: str | None, seconds: float, selector: str, terms: Terms
    ) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._seconds = seconds
        self._selector = selector
        self._terms = terms
        self._lock = threading.Lock()
        self._made: Api | None = None
        self._copies: dict[str, Watched] = {}

    def create(self, namespace: str, manifest: Mapping[str, Any], push: Push) -> None:
        """Create a Job; that it exists is a success, because its name is the push's. Raises as `submit` does."""
        path = paths_of(namespace)["jobs"]
        try:
            self._api().create(path, manifest, Job)
        except ApiError as error:
            if (error.code, error.reason) != (409, "AlreadyExists"):
                raise meaning.submit_error(error, namespace=namespace) from error
            self._check_mine(f"{path}/{push.name}", push)
        except AwayError as error:
            raise meaning.submit_error(error, namespace=namespace) from error

    def job(self, namespace: str, name: str) -> Job | None:
        """A Job, asked for now."""
        try:
            return self._api().get(f"{paths_of(namespace)['jobs']}/{name}", Job)
        except ApiError as error:
            if error.code == 404:
                return None
            raise meaning.blind(error, verb="get", resource="jobs", namespace=namespace) from error
        except AwayError as error:
            raise meaning.blind(error, verb="get", resource="jobs", namespace=namespace) from error

    def pod(self, namespace: str, name: str) -> Pod | None:
        """The pod of a push: as the watch has it, if it has ended there; otherwise asked for now."""
        known = meaning.newest(self.copies(namespace).pods.of(name))
        if known is not None and known.has_ended:
            return known
        return meaning.newest(self._pods(namespace, name))

    def jobs(self, namespace: str, selector: str) -> list[Job]:
        """Jobs, asked for now."""
        return self._asked(
            "list", "jobs", namespace, lambda api, path: api.list_all(path, Job, labelSelector=selector)
        )[0]

    def tail(self, namespace: str, pod: Pod) -> str:
        """The end of what a pod printed."""
        return self._asked("get", "pods", namespace, lambda api, path: tail_of(api, path, pod))

    def warning(self, namespace: str, name: str) -> str | None:
        """What the newest warning says of a Job or pod, for people: None if that is not known."""
        selector = f"involvedObject.name={name},type=Warning"
        try:
            events, _ = self._api().list_all(paths_of(namespace)["events"], Event, fieldSelector=selector)
        except (ApiError, AwayError):
            return None
        return f"{events[-1].reason}: {events[-1].message}" if events else None

    def delete(self, namespace: str, name: str, *, hard: bool) -> None:
        """Delete a Job. It stays until its pod has ended; with `hard`, the pod goes without its time of grace."""
        if hard:
            for pod in self._pods(namespace, name):
                self._delete(namespace, "pods", pod.metadata.name, gracePeriodSeconds=0)
        self._delete(namespace, "jobs", name, propagationPolicy="Foreground")

    def remove(self, namespace: str, name: str) -> None:
        """Delete a Job that has ended, with what is left of it."""
        self._delete(namespace, "jobs", name, propagationPolicy="Background")

    def copies(self, namespace: str) -> Watched:
        """The copies of a namespace; `check` says whether they are good."""
        api = self._api()
        with self._lock:
            if namespace not in self._copies:
                self._copies[namespace] = watched(api, namespace, self._selector, self._terms)
            return self._copies[namespace]

    def close(self) -> None:
        """End the watches and close the connections. The next call connects again."""
        with self._lock:
            api, self._made = self._made, None
            copies, self._copies = list(self._copies.values()), {}
        for each in copies:
            each.jobs.end()
            each.pods.end()
        if api is not None:
            api.close()

    def _api(self) -> Api:
        with self._lock:
            if self._made is None:
                try:
                    from segue.executors.kubernetes.client import Api  # noqa: PLC0415 - lightkube is optional
                except ImportError as error:
                    command = install_command("kubernetes")
                    raise BlindError(f"the cluster cannot be called: {error}. Run there: {command}") from error
                self._made = Api(kubeconfig=self._kubeconfig, context=self._context, seconds=self._seconds)
            return self._made

    def _check_mine(self, path: str, push: Push) -> None:
        try:
            job = self._api().get(path, Job)
        except (ApiError, AwayError) as error:
            raise UnsureError(f"a Job {push.name} exists, and cannot be read: {error}") from error
        if job.metadata.label(PUSH_LABEL) != push.name:
            raise RefusedError(f"a Job {push.name} exists that is not Segue's; remove it, and try the step again")

    def _pods(self, namespace: str, name: str) -> list[Pod]:
        selector = f"{PUSH_LABEL}={name}"
        return self._asked(
            "list", "pods", namespace, lambda api, path: api.list_all(path, Pod, labelSelector=selector)
        )[0]

    def _delete(self, namespace: str, resource: str, name: str, **options: Any) -> None:
        self._asked("delete", resource, namespace, lambda api, path: api.delete(f"{path}/{name}", **options))

    def _asked(self, verb: str, resource: str, namespace: str, ask: Callable[[Api, str], T]) -> T:
        try:
            return ask(self._api(), paths_of(namespace)[resource])
        except (ApiError, AwayError) as error:
            raise meaning.blind(error, verb=verb, resource=resource, namespace=namespace) from error
