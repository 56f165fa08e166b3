"""Measures how long operations on one large run block others: the longest transaction of each, with 100,000 steps.

    python -m benchmarks.large_runs                                          # SQLite
    python -m benchmarks.large_runs --database postgresql://me@localhost/    # and a PostgreSQL server
    python -m benchmarks.large_runs --steps 10000 --only control             # smaller, and some acts

A transaction that changes a run holds its lock, and on SQLite the lock of the whole database, until it commits. So
the longest transaction matters, not the duration of the whole operation. Both are shown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from segue.bench.scratch import POSTGRES, Site
from segue.engine.control import cancel_run, pause_run, resume_run
from segue.engine.engine import Engine
from segue.engine.identity import WorkerIdentity
from segue.engine.reopening.edit import NewArguments, edit_step
from segue.engine.reopening.fork import fork_run
from segue.engine.reopening.manual import mark_step, skip_step
from segue.engine.reopening.retry import retry_from, retry_run
from segue.engine.turn import TurnRequest
from segue.model import Gather, JoinRule, Outcome, Ref, Verdict
from segue.plan import codec
from segue.plan.graph import Node, Plan
from segue.store import open_store

TASK = "t"


class Measured:
    """A database with an engine whose transactions are timed, and one worker."""

    def __init__(self, url: str) -> None:
        self.store: Any = open_store(url)
        self.store.upgrade()
        self.times: list[float] = []
        self._open = self.store.transaction
        self.store.transaction = self._timed
        if self.store.dialect == POSTGRES:  # a reader is an ordinary transaction, and blocks nothing
            self.store.reading = self._open
        self.engine = Engine(self.store)
        self.worker = self._hire()

    @contextmanager
    def _timed(self) -> Iterator[Any]:
        with self._open() as tx:
            begun = time.perf_counter()
            yield tx
        self.times.append(time.perf_counter() - begun)

    def _hire(self) -> WorkerIdentity:
        worker = WorkerIdentity(self.engine.new_id(), "large", ("default",), (TASK,), lease_seconds=86400)
        self.engine.register(worker, pool="none", concurrency=1, version="0")
        return worker

    def say(self, verb: Callable[..., Any], run_id: str, **fields: Any) -> None:
        """Execute one verb on a run."""
        self.engine.act(verb, run_id, **fields)

    def turn(self, *outcomes: Outcome, want: int = 0) -> list[Any]:
        """Execute one turn; returns the jobs."""
        return self.engine.turn(self.worker, TurnRequest(outcomes=list(outcomes), want=want)).jobs

    def end(self, job: Any, verdict: Verdict = Verdict.SUCCEEDED, result: str = "1") -> None:
        """Report how one attempt ended."""
        self.turn(Outcome(job.run_id, job.step, job.attempt, verdict, result, retryable=False))


# Shapes -----------------------------------------------------------------------------------------------------------


def chain(count: int) -> Plan:
    """Steps one after another."""
    return Plan("chain", tuple(Node(f"s{at}", TASK, parents=(at - 1,) if at else ()) for at in range(count)))


def fan(count: int) -> Plan:
    """One step, many in parallel after it, one after all of them."""
    members = tuple(Node(f"m{at}", TASK, parents=(0,)) for at in range(count - 2))
    return Plan("fan", (Node("first", TASK), *members, Node("last", TASK, parents=tuple(range(1, count - 1)))))


def wide(count: int) -> Plan:
    """Many in parallel, all ready at once."""
    return Plan("wide", tuple(Node(f"m{at}", TASK) for at in range(count)))


def diamonds(count: int) -> Plan:
    """One step, two in parallel after it, one after both, and so on."""
    nodes = [Node("s0", TASK)]
    while len(nodes) < count:
        top = len(nodes) - 1
        nodes += [Node(f"a{top}", TASK, parents=(top,)), Node(f"b{top}", TASK, parents=(top,))]
        nodes.append(Node(f"s{top}", TASK, parents=(top + 1, top + 2)))
    return Plan("diamonds", tuple(nodes))


def joins(count: int) -> Plan:
    """Joins in sequence: they need no worker, so all are passed at once."""
    none = JoinRule.ALL_DONE
    return Plan("joins", (
        Node("first", TASK),
        *(Node(f"j{at}", None, parents=(at - 1,), rule=none, result=Ref(at - 1)) for at in range(1, count)),
    ))  # fmt: skip


SHAPES = {"wide": wide, "fan": fan, "chain": chain, "diamonds": diamonds}


# Acts -------------------------------------------------------------------------------------------------------------


class Bench:
    """The operations, each on a run of a shape; prints a line for each."""

    def __init__(self, db: Measured, count: int) -> None:
        self.db = db
        self.count = count

    def timed(self, act: str, shape: str, do: Callable[[], Any]) -> Any:
        self.db.times.clear()
        begun = time.perf_counter()
        done = do()
        took = time.perf_counter() - begun
        longest, times = max(self.db.times, default=0.0), len(self.db.times)
        print(
            f"{act:<12} {shape:<10} longest {longest:6.2f} s   whole {took:6.2f} s   {times:>6} transactions",
            flush=True,
        )
        return done

    def finish(self, do: Callable[[], Any]) -> None:
        """Execute it, with all parts that it leaves for later."""
        do()
        while self.db.engine.carry_on():
            pass

    def start(self, shape: str) -> str:
        plan = SHAPES[shape](self.count)
        return self.timed("start", shape, lambda: self.db.engine.start([(plan, None)])[0])

    def run(self, only: str | None) -> None:
        """Execute all operations, or those of one kind."""
        kinds: dict[str, Callable[[], None]] = {
            "control": lambda: self._shapes(self._control),
            "ends": lambda: self._shapes(self._ends),
            "expand": self._expand,
            "joins": self._joins,
            "nested": lambda: self._nested(min(self.count, 20_000)),
        }
        for name, measure in kinds.items():
            if only in (None, name):
                measure()

    def _shapes(self, measure: Callable[[str], None]) -> None:
        for shape in SHAPES:
            measure(shape)

    def _control(self, shape: str) -> None:
        db, say = self.db, self.db.say
        run_id = self.start(shape)
        self.timed("pause", shape, lambda: say(pause_run, run_id))
        self.timed("resume", shape, lambda: say(resume_run, run_id))
        job = db.turn(want=1)[0]
        self.timed("stop", shape, lambda: say(pause_run, run_id, stop_running=True))
        say(resume_run, run_id)
        db.end(job, Verdict.RELEASED)
        self.timed(
            "edit",
            shape,
            lambda: say(edit_step, run_id, step=self.count - 1, new=NewArguments(["1"]), parameters=lambda _: None),
        )
        new = db.engine.new_id()
        self.timed("fork", shape, lambda: say(fork_run, run_id, new_id=new, step=0, parameters=lambda _: None))
        say(cancel_run, new)
        self.timed("mark", shape, lambda: say(mark_step, run_id, step=1 if shape == "wide" else 0, result="1"))
        self.timed("cancel", shape, lambda: say(cancel_run, run_id))
        self.timed("retry", shape, lambda: say(retry_run, run_id))
        self.timed("retry-from", shape, lambda: say(retry_from, run_id, step=0))
        say(cancel_run, run_id)

    def _ends(self, shape: str) -> None:
        db = self.db
        run_id = self.start(shape)
        job = db.turn(want=1)[0]
        self.timed("fail", shape, lambda: self.finish(lambda: db.end(job, Verdict.FAILED)))
        if shape != "wide":
            self.timed("retry", shape, lambda: db.say(retry_run, run_id))
            self.timed("skip", shape, lambda: self.finish(lambda: db.say(skip_step, run_id, step=0)))
            self.timed("retry-from", shape, lambda: db.say(retry_from, run_id, step=0))
            job = db.turn(want=1)[0]
            self.timed("succeed", shape, lambda: self.finish(lambda: db.end(job)))
        db.say(cancel_run, run_id)
        self.timed("prune", shape, lambda: db.engine.prune(older_than=timedelta(seconds=-1)))

    def _expand(self) -> None:
        db = self.db
        db.engine.start([(chain(1), None)])
        job = db.turn(want=1)[0]
        plan = codec.encode(wide(self.count))
        self.timed("expand", "wide", lambda: db.end(job, Verdict.EXPANDED, plan))
        db.say(cancel_run, job.run_id)

    def _joins(self) -> None:
        db = self.db
        db.engine.start([(joins(self.count), None)])
        job = db.turn(want=1)[0]
        self.timed("succeed", "joins", lambda: self.finish(lambda: db.end(job)))
        assert db.engine.is_final(job.run_id)

    def _nested(self, depth: int) -> None:
        """Each step returns a plan whose result wraps the result of its only step; then the last step ends."""
        db = self.db
        db.engine.start([(chain(1), None)])
        plan = codec.encode(Plan("wrap", (Node("inner", TASK),), Gather((Ref(0),))))
        job = db.turn(want=1)[0]
        begun = time.perf_counter()
        for _ in range(depth):
            job = db.engine.turn(db.worker, TurnRequest(outcomes=[
                Outcome(job.run_id, job.step, job.attempt, Verdict.EXPANDED, plan)], want=1)).jobs[0]  # fmt: skip
        print(f"nested {depth}: {(time.perf_counter() - begun) / depth * 1000:.2f} ms a level")
        self.timed("unwind", "nested", lambda: self.finish(lambda: db.end(job)))
        assert db.engine.is_final(job.run_id)
        self.timed("prune", "nested", lambda: db.engine.prune(older_than=timedelta(seconds=-1)))


def main() -> None:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--database", help="a PostgreSQL server, or a SQLite file in a folder; default: SQLite")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--only", choices=["control", "ends", "expand", "joins", "nested"])
    args = parser.parse_args()
    site = Site(args.database)
    print(site.describe())
    with site.scratch() as scratch:
        Bench(Measured(scratch.url), args.steps).run(args.only)


if __name__ == "__main__":
    main()
