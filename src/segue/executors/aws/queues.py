"""What job queues of AWS Batch are asked: which jobs they have, by id, by name, and which of them have not ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from segue.dispatcher.protocol import Push, Stray, id_of_name, name_of_id
from segue.executors.aws.arrays import array_and_index, element_of, places_in
from segue.executors.aws.clients import Clients, pages_of

_NOT_ENDED = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")
_MOST_ARRAYS = 50_000
Job = Mapping[str, Any]
Places = tuple[int, ...]


class Queues:
    """The queues of one executor. `ask` makes a call, and raises BlindError.

    What it remembers saves calls: queues that it has seen, arrays whose elements are followed, and the places of their
    elements, which never change.
    """

    def __init__(self, clients: Clients, ask: Callable[..., Any], queue: str) -> None:
        self._clients = clients
        self._ask = ask
        self._known = {_short(queue): queue}
        self._places: dict[str, Places] = {}
        self._followed: set[str] = set()

    def know(self, queue: str) -> None:
        """There may be jobs in this queue."""
        self._known.setdefault(_short(queue), queue)

    def follow(self, job_id: str, queue: str) -> None:
        """This job is looked at."""
        self.know(queue)
        array_id, index = array_and_index(job_id)
        if index is not None:
            self._followed.add(array_id)

    def forget_old(self) -> None:
        """Forget what is not needed any more, and may be asked again."""
        for memory in (self._places, self._followed):
            if len(memory) > _MOST_ARRAYS:
                memory.clear()

    def described(self, ids: Sequence[str]) -> dict[str, Job]:
        """Jobs by their ids, at most a hundred."""
        answer = self._ask("DescribeJobs", lambda: self._clients.asking("batch").describe_jobs, jobs=list(ids))
        return {str(job["jobId"]): job for job in answer["jobs"]}

    def find(self, pushes: Sequence[Push]) -> dict[str, str]:
        """The ids of those that exist, in known queues and then in all others. Of several, the oldest."""
        found: dict[str, str] = {}
        known = list(self._known.values())
        self._find_in(known, pushes, found)
        if len(found) < len(pushes):
            others = [queue for queue in self._all() if _short(queue) not in self._known]
            self._find_in(others, pushes, found)
        return found

    def _find_in(self, queues: Iterable[str], pushes: Sequence[Push], found: dict[str, str]) -> None:
        for queue in queues:
            listed: dict[str, list[Job]] = {}
            for push in [push for push in pushes if push.id not in found]:
                for job_id in (self._in_arrays(queue, push, listed) or self._alone(queue, push))[:1]:
                    found[push.id] = job_id
                    self.know(queue)

    def ids_in(self, queue: str, push: Push) -> list[str]:
        """All jobs of a push in a queue, elements of arrays first."""
        return [*self._in_arrays(queue, push, {}), *self._alone(queue, push)]

    def _alone(self, queue: str, push: Push) -> list[str]:
        return [str(job["jobId"]) for job in self._named(queue, push.name)]

    def _in_arrays(self, queue: str, push: Push, listed: dict[str, list[Job]]) -> list[str]:
        """The elements that are the push's own; `listed` has what was asked before, by name."""
        if push.batch is None or push.place is None:
            return []
        name = name_of_id(push.batch)
        if name not in listed:
            listed[name] = self._named(queue, name)
        found = []
        for job in listed[name]:
            places = self._places_of(job) or ()
            if push.place in places:
                found.append(element_of(str(job["jobId"]), places.index(push.place)))
        return found

    def strays(self) -> Iterator[Stray]:
        """All jobs with names of Segue's that have not ended, in known queues.

        Arrays whose elements are followed are left out: each of their elements is followed, or has ended.
        """
        for queue in list(self._known.values()):
            for job in self._not_ended(jobQueue=queue):
                push_id, job_id = id_of_name(job["jobName"]), str(job["jobId"])
                if push_id is None or job_id in self._followed or array_and_index(job_id)[1] is not None:
                    continue
                places = self._places_of(job)
                if places is None:
                    yield Stray(push_id, job_id)
                else:
                    yield from self._elements(push_id, job_id, places)

    def _elements(self, batch: str, array_id: str, places: Places) -> Iterator[Stray]:
        for job in self._not_ended(arrayJobId=array_id):
            index = array_and_index(str(job["jobId"]))[1]
            if index is not None and index < len(places):
                yield Stray(batch, str(job["jobId"]), places[index])

    def _not_ended(self, **where: str) -> Iterator[Job]:
        """Jobs that have not ended, each once. One that goes on to its next status meanwhile is not missed."""
        seen = set[str]()
        for status in _NOT_ENDED:
            for job in self._listed(**where, jobStatus=status):
                if job["jobId"] not in seen:
                    seen.add(job["jobId"])
                    yield job

    def _places_of(self, job: Job) -> Places | None:
        """The places of the elements of an array; None for any other job."""
        job_id = str(job["jobId"])
        if not (job.get("arrayProperties") or {}).get("size"):
            return None
        if job_id not in self._places:
            described = self.described([job_id]).get(job_id)
            if described is None:
                return ()
            self._places[job_id] = places_in(described)
        return self._places[job_id]

    def _named(self, queue: str, name: str) -> list[Job]:
        """The jobs of this name, ended ones too, the oldest first, without the elements of arrays."""
        jobs = self._listed(jobQueue=queue, filters=[{"name": "JOB_NAME", "values": [name]}])
        alone = [job for job in jobs if job["jobName"] == name and array_and_index(str(job["jobId"]))[1] is None]
        return sorted(alone, key=lambda job: int(job.get("createdAt", 0)))

    def _listed(self, **which: Any) -> Iterator[Job]:
        for page in pages_of(self._ask, "ListJobs", lambda: self._clients.asking("batch").list_jobs, **which):
            yield from page["jobSummaryList"]

    def _all(self) -> list[str]:
        pages = pages_of(self._ask, "DescribeJobQueues", lambda: self._clients.asking("batch").describe_job_queues)
        return [str(queue["jobQueueArn"]) for page in pages for queue in page["jobQueues"]]


def names_of(push: Push) -> tuple[str, ...]:
    """The names that a job of a push may have: its own, or that of its array."""
    return (push.name,) if push.batch is None else (push.name, name_of_id(push.batch))


def _short(queue: str) -> str:
    """The name of a queue, also of one that is given by its ARN."""
    return queue.rpartition("/")[2]
