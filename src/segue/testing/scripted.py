"""An executor without a broker: its messages are in a list, and what happens to them is written in a script.

It reports as the processes of a callback executor do, through `Engine.exchange` and engine/executing.py, so the engine
does all that it does for Celery. Nothing runs, nothing sleeps, and no thread is started.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, assert_never

import msgspec

from segue.engine.dispatch import Dispatch, SentStep, resend
from segue.engine.engine import Engine
from segue.engine.executing import Executor, begin_steps, overdue, recall_steps, retry_steps
from segue.engine.identity import WorkerIdentity
from segue.model import Attempt, ErrorInfo, Job, Outcome, Verdict
from segue.plan.codec import decode_holes, encode, evaluate
from segue.plan.graph import Node, Plan
from segue.plan.namespaces import stored

PROCESSES = 2  # of the executor; the second one gets copies of messages
MOST_ROUNDS = 10_000


class Event(StrEnum):
    """What may happen to a message, as the executor's processes see it."""

    BEGINS = "begins"  # a process asks whether it may run it, or says that it does
    BEGINS_ELSEWHERE = "begins elsewhere"  # another process has a copy of it, and asks
    SUCCEEDS = "succeeds"
    FAILS = "fails"  # and is not tried again
    SKIPS = "skips"  # the task says that there is nothing to do
    RETURNS_A_PLAN = "returns a plan"  # the step waits for it, and has its result
    RETRIES = "retries"  # the executor's own retry follows
    IS_LOST = "is lost"  # the process that ran it died
    IS_REVOKED = "is revoked"  # the platform will not run it, or ended it
    IS_RECALLED = "is recalled"  # it was withdrawn, or is gone, and has not begun
    IS_OVERDUE = "is overdue"  # it has not begun in time, and is sent again


class Message(NamedTuple):
    """The message of one attempt, as it would be at a broker."""

    attempt: Attempt  # (run id, number of the step, number of the attempt): the fence
    name: str  # of the step
    task: str
    queue: str
    arguments: str  # JSON [args, kwargs], with the results of earlier steps in their places


class HasEngine(Protocol):
    """A `segue.Segue`, as far as this package knows it."""

    @property
    def engine(self) -> Engine:
        """Acts on its database."""


class ScriptedExecutor:
    """An executor of this name; steps of the queue `.queue` are its own.

    `is_fenced`: its processes ask before they begin. Messages that have not begun after `lease_seconds` are overdue.
    Example::

        far = ScriptedExecutor(segue)
        plan = Plan("orders", (Node("fetch", "fetch", queue=far.queue, executor=far.name),))
        segue.engine.start([(plan, None)])
        [message] = far.take()
        assert far.play(message, "begins", "begins elsewhere", "succeeds", "succeeds") == [True, False, True, False]
    """

    def __init__(
        self, owner: HasEngine, *, name: str = "scripted", is_fenced: bool = True, lease_seconds: float = 60.0
    ) -> None:
        self.name = name
        self.is_fenced = is_fenced
        self.messages: list[Message] = []
        self._engine = owner.engine
        self._executor = Executor(name, is_fenced=is_fenced)
        self._lease_seconds = lease_seconds
        self._processes: list[WorkerIdentity] = []

    @property
    def queue(self) -> str:
        """The queue on which its steps wait until they are sent."""
        return f"@{self.name}:default"

    @property
    def task(self) -> str:
        """The task of its steps, if it is to be tested by the contract."""
        return "scripted"

    @property
    def cannot(self) -> frozenset[Event]:
        """Events that can never happen to its messages: none."""
        return frozenset()

    def take(self) -> list[Message]:
        """Send what may be sent now; returns the new messages, which are also at the end of `messages`."""
        before = len(self.messages)
        self._exchange([], limit=500)
        return self.messages[before:]

    def play(self, message: Message, *events: Event | str, result: Any = None) -> list[bool]:
        """Let these happen to a message, one after the other. Says of each whether it counted.

        An event that does not count changes nothing. What becomes ready is sent by the next `take`. Raises ValueError
        for an unknown event.
        """
        return [self._happen(message, Event(event), result) for event in events]

    def repair(self) -> list[Message]:
        """Send every message again that has not begun, as if its time was over; returns the new ones."""
        before = len(self.messages)
        due = self._engine.store.now() + timedelta(seconds=self._lease_seconds + 1)
        with self._engine.reading() as tx:
            late = [found.attempt for found in overdue(tx, self.name, due)]
        self._resend(late)
        return self.messages[before:]

    def follow(self, script: Mapping[str, Sequence[Sequence[Event | str]]]) -> list[Message]:
        """Play a script until nothing is left to send; returns all messages since then, in order.

        For each step, by name: the events of its first message, of its second, and so on. Messages beyond that begin
        and succeed, and steps that are not named do. A message without events is lost on its way: it is sent again.
        Example, in which a message comes twice, the next one never, and the third one reports only its end::

            far.follow({"fetch": [["begins", "begins elsewhere", "retries"], [], ["succeeds"]]})
        """
        first, count = len(self.messages), dict.fromkeys(script, 0)
        for _ in range(MOST_ROUNDS):
            messages = self.take() or self.repair()
            if not messages:
                return self.messages[first:]
            for message in messages:
                mine = script.get(message.name, ())
                number = count[message.name] = count.get(message.name, 0) + 1
                self.play(message, *(mine[number - 1] if number <= len(mine) else (Event.BEGINS, Event.SUCCEEDS)))
        raise RuntimeError(f"The script has not ended after {MOST_ROUNDS} rounds: {script}")

    def _happen(self, message: Message, event: Event, result: Any) -> bool:
        attempt = message.attempt
        match event:
            case Event.BEGINS | Event.BEGINS_ELSEWHERE:
                process = self._process(event is Event.BEGINS_ELSEWHERE)
                return bool(self._engine.act(begin_steps, [attempt], worker_id=process.id))
            case Event.SUCCEEDS:
                return self._report(attempt, Verdict.SUCCEEDED, result=msgspec.json.encode(result).decode())
            case Event.FAILS:
                return self._report(attempt, Verdict.FAILED, error=ErrorInfo("ScriptedError", "as the script says"))
            case Event.IS_REVOKED:
                return self._report(attempt, Verdict.FAILED, error=ErrorInfo("RevokedError", "turned away"))
            case Event.SKIPS:
                return self._report(attempt, Verdict.SKIPPED)
            case Event.RETURNS_A_PLAN:
                inner = Plan("inner", (Node("inner", message.task, queue=self.queue, executor=self.name),))
                return self._report(attempt, Verdict.EXPANDED, result=encode(inner))
            case Event.IS_LOST:
                return self._report(attempt, Verdict.LOST)
            case Event.RETRIES:
                error = ErrorInfo("ScriptedError", "tried again")
                outcome = Outcome(*attempt, Verdict.FAILED, error=error)
                return bool(self._engine.act(retry_steps, [outcome], by=self.name))
            case Event.IS_RECALLED:
                return bool(self._engine.act(recall_steps, [attempt]))
            case Event.IS_OVERDUE:
                return bool(self._resend([attempt]))
            case _:
                assert_never(event)

    def _report(self, attempt: Attempt, verdict: Verdict, **fields: Any) -> bool:
        return not self._exchange([Outcome(*attempt, verdict, retryable=False, **fields)], limit=0)

    def _exchange(self, outcomes: list[Outcome], *, limit: int) -> int:
        """Report, and take at most so many; returns how many outcomes were refused."""
        prefix = stored(self._engine.namespace, f"@{self.name}:")
        dispatch = Dispatch(self._executor, prefix, limit=limit, wait_seconds=self._lease_seconds, timers=limit > 0)
        refused = 0
        while True:
            taken = self._engine.exchange(outcomes, dispatch=dispatch, by=self.name)
            self._keep(taken.sent)
            refused += taken.refused
            if not taken.left and not (limit and taken.is_full):
                return refused
            outcomes = taken.left

    def _resend(self, attempts: Iterable[Attempt]) -> int:
        taken = self._engine.act(resend, list(attempts), wait_seconds=self._lease_seconds)
        self._keep(taken.sent)
        if taken.left:
            self._exchange(taken.left, limit=0)
        return len(taken.sent) + len(taken.left)

    def _keep(self, steps: Sequence[SentStep]) -> None:
        for step in steps:
            job = step.job
            attempt = (job.run_id, job.step, job.attempt)
            self.messages.append(Message(attempt, job.name, job.task, step.queue, _arguments(job)))

    def _process(self, is_second: bool) -> WorkerIdentity:
        while len(self._processes) < PROCESSES:
            name = f"{self.name}-{len(self._processes)}"
            identity = WorkerIdentity(
                id=self._engine.new_id(), name=name, queues=(), tasks=(), lease_seconds=self._lease_seconds,
                namespace=self._engine.namespace,
            )  # fmt: skip
            self._engine.register(identity, pool=self.name, concurrency=1, version="")
            self._processes.append(identity)
        return self._processes[is_second]


def _arguments(job: Job) -> str:
    """The arguments of a job as one text, with the results that go into them."""
    found: Any = msgspec.json.decode(job.args)
    for hole in decode_holes(job.holes):
        place = found
        for key in hole.where[:-1]:
            place = place[key]
        place[hole.where[-1]] = msgspec.Raw(evaluate(hole.what, job.values).encode())
    return msgspec.json.encode(found).decode()
