"""A copy of the Jobs and pods of one namespace, kept up to date by watches.

    list ──► watch from the list's version ──► ended by the API: watch from the last version seen
      ▲                                   │
      └── too old (410), or after ten minutes ◄┘

Versions are opaque: they are given back, and never compared. The threads end by themselves when no process asks any
more. A copy that has heard nothing for a while is *blind*, and says so instead of an old truth.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import msgspec

from segue.executors.kubernetes import meaning
from segue.executors.kubernetes.objects import PUSH_LABEL, ApiError, AwayError, Job, Pod, Status
from segue.observing.harmless_log import get_logger

if TYPE_CHECKING:
    from segue.executors.kubernetes.client import Api  # it imports lightkube, which only a dispatcher needs

logger = get_logger("segue.kubernetes")
T = TypeVar("T", Job, Pod)


class Terms(NamedTuple):
    """How a copy is kept. All in seconds."""

    watch: float = 60.0  # one watch lives so long; a connection that was cut off is noticed by then
    relist: float = 600.0  # everything is listed again
    blind: float = 90.0  # without news of the API
    unused: float = 300.0  # without a question
    first: float = 15.0  # the first question waits so long for the first list
    again: float = 1.0  # after a failure, growing to 30


class Copy(Generic[T]):
    """The objects of one kind that carry the labels of an executor, by the name of their push and their own."""

    def __init__(
        self, api: Api, path: str, kind: type[T], selector: str, *, resource: str, namespace: str, terms: Terms,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._api = api
        self._path = path
        self._kind: type[T] = kind
        self._selector = selector
        self._resource = resource
        self._namespace = namespace
        self._terms = terms
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._objects: dict[str, dict[str, T]] = {}
        self._version = ""
        self._must_list = True
        self._relist_at = 0.0
        self._heard_at = 0.0
        self._asked_at = monotonic()
        self._problem: ApiError | AwayError | None = None
        self._is_over = threading.Event()
        self._is_known = threading.Event()  # what is there, or why that is not known
        self._thread: threading.Thread | None = None
        self.lists = 0  # so many times everything was listed

    def of(self, push_name: str) -> list[T]:
        """The objects of a push."""
        with self._lock:
            return list(self._objects.get(push_name, {}).values())

    def all(self) -> list[T]:
        """All objects."""
        with self._lock:
            return [each for of_push in self._objects.values() for each in of_push.values()]

    def check(self) -> None:
        """Start the watch if none runs, and wait for its first list. Raises BlindError if what is here is too old."""
        self._asked_at = self._monotonic()
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._start()
        self._is_known.wait(self._terms.first)
        if self._must_list or self._monotonic() - self._heard_at > self._terms.blind:
            problem = self._problem or AwayError("it has not answered yet", was_sent=True)
            raise meaning.blind(problem, verb="list and watch", resource=self._resource, namespace=self._namespace)

    def end(self) -> None:
        """End the watch, at the latest when the API says something again."""
        self._is_over.set()

    def _start(self) -> None:
        self._is_over.clear()
        self._is_known.clear()
        self._must_list = True
        self._thread = threading.Thread(target=self._run, name=f"segue-watch-{self._resource}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        wait = 0.0
        while not self._is_over.wait(wait):
            if self._monotonic() - self._asked_at > self._terms.unused:
                return
            try:
                self._list_if_needed()
                self._watch()
                wait, self._problem = 0.0, None
            except Exception as error:  # noqa: BLE001 - a watch that died would leave all steps as they are
                wait = self._after(error, wait)

    def _after(self, error: Exception, wait: float) -> float:
        """How long to wait after a failure, in seconds."""
        if isinstance(error, ApiError) and error.code == 410:
            self._relist_at = 0.0  # the copy itself is as good as it was
            return min(5.0, max(0.1, wait * 2))  # a server that says so of every list is not listed all the time
        is_known = isinstance(error, (ApiError, AwayError))
        self._problem = error if is_known else AwayError(repr(error), was_sent=True)  # type: ignore[assignment]
        self._is_known.set()  # who waits shall hear of the problem
        wait = min(30.0, max(self._terms.again, wait * 2)) * random.uniform(0.8, 1.2)
        if not self._is_over.is_set():
            logger.info("the %s are watched again in %.0f s: %s", self._resource, wait, error)
        return wait

    def _list_if_needed(self) -> None:
        now = self._monotonic()
        if not self._must_list and now < self._relist_at:
            return
        items, version = self._api.list_all(self._path, self._kind, labelSelector=self._selector)
        objects: dict[str, dict[str, T]] = {}
        for item in items:
            objects.setdefault(item.metadata.label(PUSH_LABEL), {})[item.metadata.name] = item
        with self._lock:
            self._objects, self._version = objects, version
        self._heard_at, self._relist_at = self._monotonic(), now + self._terms.relist
        self._must_list = False
        self.lists += 1
        self._is_known.set()

    def _watch(self) -> None:
        seconds = max(1, round(self._terms.watch * random.uniform(0.9, 1.1)))
        changes = self._api.watch(self._path, version=self._version, seconds=seconds, labelSelector=self._selector)
        for change in changes:
            self._heard_at = self._monotonic()
            if change.type == "ERROR":
                status = msgspec.json.decode(change.object, type=Status)
                raise ApiError(status.code, status.reason, status.message)
            self._take(change.type, change.object)
            if self._is_over.is_set():
                return
        self._heard_at = self._monotonic()  # it was ended by the API, which is an answer, too

    def _take(self, kind: str, data: msgspec.Raw) -> None:
        if kind == "BOOKMARK":
            self._version = msgspec.json.decode(data, type=_Marked).metadata.resource_version
            return
        item = msgspec.json.decode(data, type=self._kind)
        push_name, name = item.metadata.label(PUSH_LABEL), item.metadata.name
        with self._lock:
            of_push = self._objects.setdefault(push_name, {})
            if kind != "DELETED":
                of_push[name] = item
            else:
                of_push.pop(name, None)
            if not of_push:
                del self._objects[push_name]
            self._version = item.metadata.resource_version


class _Mark(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str


class _Marked(msgspec.Struct, frozen=True):
    """A bookmark: an object of which nothing but the version means anything; other fields may be null."""

    metadata: _Mark


def paths_of(namespace: str) -> Mapping[str, str]:
    """Where the objects of a namespace are."""
    return {
        "jobs": f"apis/batch/v1/namespaces/{namespace}/jobs",
        "pods": f"api/v1/namespaces/{namespace}/pods",
        "events": f"api/v1/namespaces/{namespace}/events",
    }


class Watched(NamedTuple):
    """The copies of one namespace."""

    jobs: Copy[Job]
    pods: Copy[Pod]

    def check(self) -> None:
        """Raises BlindError if one of them is blind."""
        self.jobs.check()
        self.pods.check()


def watched(api: Api, namespace: str, selector: str, terms: Terms) -> Watched:
    """The copies of one namespace. Nothing is asked before `check`."""
    paths = paths_of(namespace)
    more: dict[str, Any] = {"namespace": namespace, "terms": terms}
    return Watched(
        Copy(api, paths["jobs"], Job, selector, resource="jobs", **more),
        Copy(api, paths["pods"], Pod, selector, resource="pods", **more),
    )
