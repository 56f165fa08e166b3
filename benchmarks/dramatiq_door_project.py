"""The Dramatiq project that `benchmarks.dramatiq_door` measures, and its client.

`dramatiq benchmarks.dramatiq_door_project` imports this module as well; DOOR_* variables say where things are. As a
program it is a client: see benchmarks/doors.py.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import GroupCallbacks
from dramatiq.rate_limits.backends import RedisBackend

from segue import Segue
from segue.bench.timestamps import FOLDER_VARIABLE, Ledger, MeasureError, check_chain, check_fan, mark

TIMEOUT_SECONDS = 120.0
DIAMOND = 5  # tasks
SYSTEM, BROKER = os.environ.get("DOOR_SYSTEM", ""), os.environ.get("DOOR_BROKER", "redis://localhost:6379/0")

broker = RedisBroker(url=BROKER)
if SYSTEM.startswith("Segue"):
    from segue.executors.dramatiq import Chain, Group, SegueMiddleware

    segue = Segue(os.environ["DOOR_DATABASE"])
    broker.add_middleware(SegueMiddleware(segue))
elif SYSTEM == "dramatiq-workflow":
    from dramatiq_workflow import Chain, Group, Workflow, WorkflowMiddleware

    broker.add_middleware(WorkflowMiddleware(RedisBackend(url=BROKER)))
else:
    broker.add_middleware(GroupCallbacks(RedisBackend(url=BROKER)))
dramatiq.set_broker(broker)


@dramatiq.actor
def first(run: int, node: int) -> None:
    mark(run, node)


@dramatiq.actor
def spread(run: int, node: int, width: int) -> None:
    """Plain Dramatiq has no task that a group follows: the task itself starts the group."""
    mark(run, node)
    group = dramatiq.group([first.message(run, other) for other in range(node + 1, node + width + 1)])
    group.add_completion_callback(first.message(run, node + width + 1))
    group.run()


class Works:
    """What is measured. Every figure counts only if each task ran once, in the order of its workflow."""

    def __init__(self) -> None:
        self._ledger = Ledger(Path(os.environ[FOLDER_VARIABLE]))
        self._run = 0

    def chain(self, size: int) -> float:
        """Milliseconds per step, from the first end to the last."""
        self._run += 1
        messages = [first.message(self._run, node) for node in range(size)]
        if SYSTEM == "plain Dramatiq":
            dramatiq.pipeline([messages[0], *(each.copy(options={"pipe_ignore": True}) for each in messages[1:])]).run()
        else:
            self._start(Chain(*messages))
        marks = self._wait(size)
        check_chain(marks)
        return (marks[-1].ended - marks[0].ended) / (size - 1) * 1000

    def fan(self, size: int) -> float:
        """Seconds from the call to the end of the last task."""
        self._run += 1
        begun = time.monotonic()
        self._fan(0, size)
        marks = self._wait(size + 2)
        check_fan(marks)
        return marks[-1].ended - begun

    def diamonds(self, size: int) -> float:
        """Milliseconds for each, from the first call to the last end."""
        self._run += 1
        begun = time.monotonic()
        for node in range(0, DIAMOND * size, DIAMOND):
            self._fan(node, DIAMOND - 2)
        marks = self._wait(DIAMOND * size)
        for node in range(0, DIAMOND * size, DIAMOND):
            check_fan(marks[node : node + DIAMOND])
        return (max(each.ended for each in marks) - begun) / size * 1000

    def lone(self, size: int) -> float:
        """Milliseconds for each of some messages that are in no workflow, from the first call to the last end."""
        self._run += 1
        begun = time.monotonic()
        for node in range(size):
            first.send(self._run, node)
        return (max(each.ended for each in self._wait(size)) - begun) / size * 1000

    def _fan(self, node: int, width: int) -> None:
        run = self._run
        if SYSTEM == "plain Dramatiq":
            spread.send(run, node, width)
            return
        members = (first.message(run, other) for other in range(node + 1, node + width + 1))
        self._start(Chain(first.message(run, node), Group(*members), first.message(run, node + width + 1)))

    def _start(self, workflow: Any) -> None:
        if SYSTEM == "dramatiq-workflow":
            Workflow(workflow).run()
        else:
            segue.start(workflow)

    def _wait(self, count: int) -> Any:
        return self._ledger.wait(self._run, count, timeout_seconds=TIMEOUT_SECONDS)


def main() -> None:
    """Measure what is asked for, until the input ends."""
    works = Works()
    for line in sys.stdin:
        work, size = json.loads(line)
        try:
            print(json.dumps(getattr(works, work)(size)), flush=True)
        except MeasureError as error:
            raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
