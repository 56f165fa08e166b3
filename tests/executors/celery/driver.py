"""Drives real workers of Celery for the contract of executors: it holds their messages, and says what happens to them.

A message is held in a queue that no worker consumes. That it begins means that a copy of it is given to a worker; it is
lost when none is. What the body of its task does is told through files.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import redis

from segue import Segue
from segue.engine.dispatch import resend
from segue.engine.executing import overdue
from segue.engine.views.look import StepInfo, list_steps
from segue.executors.celery.door import Door, door_of
from segue.model import Attempt
from segue.testing import Event, Message
from tests.executors.celery.conftest import START_SECONDS, wait_until
from tests.executors.celery.scripted_project import HELD, make_app, order_of, said_of

LEASE_SECONDS = 300.0
WORKERS = 2  # the second one gets copies of messages

ENDS = {Event.SUCCEEDS, Event.FAILS, Event.SKIPS, Event.RETURNS_A_PLAN, Event.RETRIES, Event.IS_LOST, Event.IS_REVOKED}


class CeleryDriver:
    """A `CallbackDriver` of segue.testing."""

    def __init__(self, broker: str, database_url: str, folder: Path) -> None:
        self.name = "celery"
        self.is_fenced = True  # with fence="always"
        self._folder = folder
        self.app = make_app(broker, database_url, folder)
        self.segue: Segue = self.app.segue  # type: ignore[attr-defined]
        self._redis = redis.Redis.from_url(f"{broker}/0")
        self._redis.flushall()  # messages of a driver before
        self._messages: dict[Attempt, dict[str, Any]] = {}  # as they are at the broker
        self._new_ones: list[Message] = []  # that `take` has not returned yet
        self._running: dict[Attempt, int] = {}  # the process of the body
        environment = {
            **os.environ, "SCRIPTED_BROKER": broker, "SCRIPTED_DATABASE": database_url, "SCRIPTED_FOLDER": str(folder),
        }  # fmt: skip
        self._workers = [self._worker(number, environment) for number in range(WORKERS)]
        for number in range(WORKERS):
            wait_until(lambda number=number: " ready." in self._log(number).read_text(), START_SECONDS)  # type: ignore[misc]

    def _log(self, number: int) -> Path:
        return self._folder / f"worker-{number}.log"

    def _worker(self, number: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        command = [
            sys.executable, "-m", "celery", "-A", "tests.executors.celery.scripted_project", "worker", "-c", "3", "-l",
            "INFO", "-n", f"scripted-{number}@%h", "-Q", f"worker-{number}", "--without-gossip", "--without-mingle",
        ]  # fmt: skip
        with self._log(number).open("ab") as output:
            return subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)

    @property
    def engine(self) -> Any:
        """Acts on the database of this executor."""
        return self.segue.engine

    @property
    def queue(self) -> str:
        """The queue of its steps."""
        return f"@{self.name}:{HELD}"

    @property
    def task(self) -> str:
        """The task that follows a script."""
        return f"{self.name}:scripted"

    @property
    def cannot(self) -> frozenset[Event]:
        """Nobody withdraws a message of Celery; a worker gives back those of paused runs, when they begin."""
        return frozenset({Event.IS_RECALLED})

    def take(self) -> list[Message]:
        """Send what may be sent, and take the new messages out of the broker."""
        self._door.exchange([], timers=True)
        return self._taken()

    def repair(self) -> list[Message]:
        """Send every message again that has not begun, as if its time was over."""
        due = self.engine.store.now()
        with self.engine.reading() as tx:
            late = [found.attempt for found in overdue(tx, self.name, due.replace(year=due.year + 1))]
        self._resend(late)
        return self._taken()

    def play(self, message: Message, *events: Event | str) -> list[bool]:
        """Let these happen to a message."""
        return [self._happen(message.attempt, Event(event)) for event in events]

    def let_go(self) -> None:
        """End the bodies that still run, so that the workers have room for others."""
        for attempt in [*self._running]:
            was_current = self._is_current(attempt)
            self._end(attempt, Event.SKIPS)
            if was_current:
                wait_until(lambda attempt=attempt: not self._is_current(attempt))  # type: ignore[misc]

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
        self.segue.close()
        self.app.close()
        self._redis.close()

    @property
    def _door(self) -> Door:
        return door_of(self.app)

    def _taken(self) -> list[Message]:
        self._look()
        found, self._new_ones = self._new_ones, []
        return found

    def _look(self) -> None:
        while (raw := self._redis.rpop(HELD)) is not None:
            message = json.loads(raw)
            run_id, step, number, *_ = message["headers"]["segue"]
            self._messages[run_id, step, number] = message
            name = self._step((run_id, step, number)).name
            self._new_ones.append(Message((run_id, step, number), name, "", self.queue, ""))

    def _happen(self, attempt: Attempt, event: Event) -> bool:
        if event is Event.IS_OVERDUE:
            return self._resend([attempt]) > 0
        if event is Event.BEGINS_ELSEWHERE:
            return self._deliver(attempt, worker=1)
        if event is Event.BEGINS:
            return self._deliver(attempt, worker=0) or self._runs(attempt)
        if event not in ENDS:
            raise ValueError(event)
        if not self._runs(attempt) and not self._deliver(attempt, worker=0):
            return False
        before = self._step(attempt)
        self._end(attempt, event)
        wait_until(lambda: self._step(attempt) != before and not self._is_current(attempt))
        return True

    def _end(self, attempt: Attempt, event: Event) -> None:
        process = self._running.pop(attempt)
        if event is Event.IS_LOST:
            os.kill(process, signal.SIGKILL)
        elif event is Event.IS_REVOKED:
            self.app.control.revoke(self._messages[attempt]["headers"]["id"], terminate=True)
        else:
            part = order_of(self._folder, attempt).with_suffix(".part")
            part.write_text(str(event))
            part.rename(order_of(self._folder, attempt))

    def _deliver(self, attempt: Attempt, *, worker: int) -> bool:
        """Give a copy of a message to a worker; returns whether its body began, when that is known."""
        self._look()
        message = self._messages[attempt]
        message["properties"]["delivery_tag"] = str(uuid4())
        before = len(self._said(attempt))
        self._redis.lpush(f"worker-{worker}", json.dumps(message))
        wait_until(lambda: len(self._said(attempt)) > before)
        answer = self._said(attempt)[-1]
        if answer == "refused":
            self._let_be_recalled(attempt)
            return False
        self._running[attempt] = int(answer.split()[1])
        return True

    def _let_be_recalled(self, attempt: Attempt) -> None:
        """A worker that turns a message of a paused run away says so before its step is ready again."""
        if self.segue.get(attempt[0]).status == "paused":
            wait_until(lambda: (self._step(attempt).status, self._step(attempt).attempt) != ("sent", attempt[2]))

    def _said(self, attempt: Attempt) -> list[str]:
        path = said_of(self._folder, attempt)
        return path.read_text().splitlines() if path.exists() else []

    def _runs(self, attempt: Attempt) -> bool:
        return attempt in self._running and self._is_current(attempt)

    def _is_current(self, attempt: Attempt) -> bool:
        step = self._step(attempt)
        return step.status == "running" and step.attempt == attempt[2]

    def _step(self, attempt: Attempt) -> StepInfo:
        with self.engine.reading() as tx:
            return next(step for step in list_steps(tx, attempt[0]) if step.step == attempt[1])

    def _resend(self, attempts: list[Attempt]) -> int:
        if not attempts:
            return 0
        taken = self.engine.act(resend, attempts, wait_seconds=LEASE_SECONDS)
        left = taken.left + self._door.send(taken.sent)
        if left:
            self._door.exchange(left)
        return len(taken.sent) + len(taken.left)
