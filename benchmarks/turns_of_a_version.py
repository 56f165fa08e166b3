"""The process behind `benchmarks.turns`: executes a round of turns for each line that it reads, and prints the times.

It is run as a script, with the measured version of Segue on its path; so it uses only what all versions have.
"""

from __future__ import annotations

import json
import sys
import time
import typing
import uuid
from collections.abc import Callable, Iterator

from segue.engine.engine import Engine
from segue.engine.identity import WorkerIdentity
from segue.engine.turn import TurnRequest
from segue.model import Job, Outcome, Ref, Verdict
from segue.plan import codec
from segue.plan.graph import Node, Plan
from segue.store import open_store

TASKS: typing.Any = typing.get_origin(typing.get_type_hints(WorkerIdentity)["tasks"])  # a list in older versions
STARTS, ALONE, CALLS, PLANS = 200, 40, 60, 32
CALL = Plan("call", (Node("again", "t"),), Ref(0))


def chain(count: int) -> Plan:
    """Steps one after another."""
    return Plan("chain", tuple(Node(f"s{at}", "t", parents=(at - 1,) if at else ()) for at in range(count)))


def fan(width: int) -> Plan:
    """One step, many in parallel after it, one after all of them."""
    members = tuple(Node(f"m{at}", "t", parents=(0,)) for at in range(width))
    return Plan("fan", (Node("first", "t"), *members, Node("last", "t", parents=tuple(range(1, width + 1)))))


def succeed(job: Job) -> Outcome:
    """What most steps come to."""
    return Outcome(job.run_id, job.step, job.attempt, Verdict.SUCCEEDED, "1")


class Expanding:
    """Lets the first `count` attempts return a plan, and the others succeed."""

    def __init__(self, count: int, plan: Plan) -> None:
        self._left = count
        self._text = codec.encode(plan)

    def __call__(self, job: Job) -> Outcome:
        """The outcome of this attempt."""
        self._left -= 1
        if self._left < 0:
            return succeed(job)
        return Outcome(job.run_id, job.step, job.attempt, Verdict.EXPANDED, self._text)


def turns(
    engine: Engine, worker: WorkerIdentity, want: int, end: Callable[[Job], Outcome] = succeed
) -> Iterator[float]:  # fmt: skip
    """Execute all steps; yields the time per step of each turn that was full."""
    outcomes: list[Outcome] = []
    while True:
        begun = time.perf_counter_ns()
        result = engine.turn(worker, TurnRequest(outcomes=outcomes, want=want))
        spent = time.perf_counter_ns() - begun
        if result.jobs and (want == 1 or len(result.jobs) == want):
            yield spent / 1000 / len(result.jobs)
        ended = [end(job) for job in result.jobs]
        outcomes = [*ended, *result.outcomes]
        if not outcomes and not result.again:
            return


def main() -> None:
    """Execute a round for each line."""
    engine = Engine(open_store(sys.argv[1]))
    worker = WorkerIdentity(str(uuid.uuid4()), "turns", ("default",), TASKS(["t"]), lease_seconds=3600)
    engine.register(worker, pool="none", concurrency=1, version="0")
    single, line, wide = chain(1), chain(150), fan(1000)
    for _ in sys.stdin:
        times: dict[str, list[float]] = {}
        engine.start([(line, None)])
        times["chain, one at a time"] = list(turns(engine, worker, 1))
        engine.start([(wide, None)])
        times["fan-out, 64 at a time"] = list(turns(engine, worker, 64))
        begun = time.perf_counter_ns()
        engine.start([(single, None)] * STARTS)
        times[f"start of {STARTS} runs of one step"] = [(time.perf_counter_ns() - begun) / 1000 / STARTS]
        times["runs of one step, 64 at a time"] = list(turns(engine, worker, 64))
        for _ in range(ALONE):
            begun = time.perf_counter_ns()
            engine.start([(single, None)])
            times.setdefault("start of one run", []).append((time.perf_counter_ns() - begun) / 1000)
        list(turns(engine, worker, 64))
        engine.start([(single, None)])
        begun = time.perf_counter_ns()  # the end of the last call may end all the others: this turn counts, too
        list(turns(engine, worker, 1, Expanding(CALLS, CALL)))
        times["calls in a row, one at a time"] = [(time.perf_counter_ns() - begun) / 1000 / (CALLS + 1)]
        engine.start([(single, None)] * PLANS)
        begun = time.perf_counter_ns()
        list(turns(engine, worker, 16, Expanding(PLANS, chain(4))))
        times["plans of 4 steps, 16 at a time"] = [(time.perf_counter_ns() - begun) / 1000 / (5 * PLANS)]
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
