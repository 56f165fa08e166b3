"""The process behind `benchmarks.turns`: does a round of turns for each line that it reads, and says what they took.

It is run as a script, with the version of Segue to be measured on its path; hence it uses only what all versions have.
"""

from __future__ import annotations

import json
import sys
import time
import typing
from collections.abc import Iterator

from segue.engine.engine import Engine
from segue.engine.identity import WorkerIdentity
from segue.engine.ids import new_id
from segue.engine.turn import TurnRequest
from segue.model import Outcome, Verdict
from segue.plan.graph import Node, Plan
from segue.store import open_store

TASKS: typing.Any = typing.get_origin(typing.get_type_hints(WorkerIdentity)["tasks"])  # a list in older versions
STARTS = 200


def chain(count: int) -> Plan:
    """Steps one after another."""
    return Plan("chain", tuple(Node(f"s{at}", "t", parents=(at - 1,) if at else ()) for at in range(count)))


def fan(width: int) -> Plan:
    """One step, many beside each other, one behind all of them."""
    members = tuple(Node(f"m{at}", "t", parents=(0,)) for at in range(width))
    return Plan("fan", (Node("first", "t"), *members, Node("last", "t", parents=tuple(range(1, width + 1)))))


def turns(engine: Engine, worker: WorkerIdentity, want: int) -> Iterator[float]:
    """Work off what there is; yields the time of each turn that had as much work as it could take, for each step."""
    outcomes: list[Outcome] = []
    while True:
        begun = time.perf_counter_ns()
        result = engine.turn(worker, TurnRequest(outcomes=outcomes, want=want))
        spent = time.perf_counter_ns() - begun
        if result.jobs and (want == 1 or len(result.jobs) == want):
            yield spent / 1000 / len(result.jobs)
        ended = [Outcome(job.run_id, job.step, job.attempt, Verdict.SUCCEEDED, "1") for job in result.jobs]
        outcomes = [*ended, *result.outcomes]
        if not outcomes and not result.again:
            return


def main() -> None:
    """Answer each line with a round."""
    engine = Engine(open_store(sys.argv[1]))
    worker = WorkerIdentity(new_id(engine.store.now()), "turns", ("default",), TASKS(["t"]), lease_seconds=3600)
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
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
