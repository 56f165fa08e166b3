"""The Celery project that `benchmarks.celery_door` measures, and its client: one app, plain or connected to Segue.

`celery -A benchmarks.celery_door_project worker` imports this module as well; DOOR_* variables say where things are.
`python -m benchmarks.celery_door_project` is a client. It reads works from its input, a JSON list [work, size] in each
line, and answers with a number: less is better.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from celery import Celery, chain, chord, group

from segue import Segue
from segue.bench.timestamps import FOLDER_VARIABLE, Ledger, MeasureError, check_chain, check_fan, mark
from segue.executors.celery import install

TIMEOUT_SECONDS = 90.0
DIAMOND = 5  # tasks

app = Celery("door")
app.conf.update(
    broker_url=os.environ.get("DOOR_BROKER", ""),
    result_backend=os.environ.get("DOOR_RESULTS", ""),
    worker_prefetch_multiplier=64,  # as Celery's guide advises for many short tasks
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    result_expires=600,
)
if "DOOR_DATABASE" in os.environ:
    segue = Segue(os.environ["DOOR_DATABASE"])
    install(app, segue, canvas="durable", fence=os.environ["DOOR_FENCE"])  # type: ignore[arg-type]


@app.task(name="single", ignore_result=True)  # type: ignore[untyped-decorator]
def single(run: int, node: int) -> int:
    return mark(run, node)


@app.task(name="begin")  # type: ignore[untyped-decorator]
def begin(run: int, node: int) -> int:
    return mark(run, node)


@app.task(name="follow")  # type: ignore[untyped-decorator]
def follow(previous: Any, run: int, node: int) -> int:
    return mark(run, node)


class Works:
    """What is measured. Every figure counts only if each task ran once, in the order of its canvas."""

    def __init__(self) -> None:
        self._ledger = Ledger(Path(os.environ[FOLDER_VARIABLE]))
        self._run = 0

    def chain(self, size: int) -> float:
        """Milliseconds per step, from the first end to the last."""
        self._run += 1
        chain(begin.s(self._run, 0), *(follow.s(self._run, node) for node in range(1, size))).apply_async()
        marks = self._wait(size)
        check_chain(marks)
        return (marks[-1].ended - marks[0].ended) / (size - 1) * 1000

    def chord(self, size: int) -> float:
        """Seconds from the call to the end of the body."""
        self._run += 1
        run, begun = self._run, time.monotonic()
        chord([begin.s(run, node) for node in range(size)])(follow.s(run, size))
        marks = self._wait(size + 1)
        if max(each.ended for each in marks[:-1]) > marks[-1].begun:
            raise MeasureError("the body began before its header had ended")
        return marks[-1].ended - begun

    def fan(self, size: int) -> float:
        """Seconds from the call to the end of the body of a chord that a worker starts, behind a task."""
        self._run += 1
        run, begun = self._run, time.monotonic()
        members = group(follow.s(run, node) for node in range(1, size + 1))
        chain(begin.s(run, 0), members, follow.s(run, size + 1)).apply_async()
        marks = self._wait(size + 2)
        check_fan(marks)
        return marks[-1].ended - begun

    def diamonds(self, size: int) -> float:
        """Milliseconds for each, from the first call to the last end."""
        self._run += 1
        run, begun = self._run, time.monotonic()
        for first in range(0, DIAMOND * size, DIAMOND):
            sides = group(follow.s(run, node) for node in range(first + 1, first + 4))
            chain(begin.s(run, first), sides, follow.s(run, first + 4)).apply_async()
        marks = self._wait(DIAMOND * size)
        for first in range(0, DIAMOND * size, DIAMOND):
            check_fan(marks[first : first + DIAMOND])
        return (max(each.ended for each in marks) - begun) / size * 1000

    def lone(self, size: int) -> float:
        """Milliseconds for each of some tasks that are in no canvas, from the first call to the last end."""
        self._run += 1
        run, begun = self._run, time.monotonic()
        for node in range(size):
            single.delay(run, node)
        return (max(each.ended for each in self._wait(size)) - begun) / size * 1000

    def _wait(self, count: int) -> Any:
        return self._ledger.wait(self._run, count, timeout_seconds=TIMEOUT_SECONDS)


def main() -> None:
    """Measure what is asked for, until the input ends."""
    works = Works()
    for line in sys.stdin:
        work, size = json.loads(line)
        print(json.dumps(getattr(works, work)(size)), flush=True)


if __name__ == "__main__":
    main()
