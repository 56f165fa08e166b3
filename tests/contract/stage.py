"""Acts on an engine without workers: tests claim steps by hand, say how they ended, and move the clock.

`Stage` is one database with a clock that stands still. `node` and `plan` write plans briefly. Nothing here runs a task.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import msgspec
import psycopg
from msgspec.structs import replace

from segue.clock import ManualClock
from segue.engine.control import cancel_run
from segue.engine.engine import Engine
from segue.engine.identity import WorkerIdentity
from segue.engine.ids import Ids
from segue.engine.turn_request import TurnRequest, TurnResult
from segue.engine.views import look
from segue.engine.views.explain import explain
from segue.engine.views.reason import Reason
from segue.model import ErrorInfo, Hook, Job, JoinRule, Outcome, Policy, Value, Verdict
from segue.plan import codec
from segue.plan.graph import Node, Plan
from segue.store import open_store

TASK = "app.work"
LEASE_SECONDS = 10.0
AT_ONCE = Policy(retry_delay=0.0)
SHAPES = {
    "sqlite": "PRAGMA schema_version",
    "postgres": "SELECT count(*), max(xmin::text::bigint), count(*) FILTER (WHERE reltuples >= 0) FROM pg_class "
    "WHERE relnamespace = 'public'::regnamespace",
}


@contextmanager
def connect(url: str) -> Iterator[Any]:
    """A connection of the driver's own, with nothing of Segue's about it."""
    if url.startswith("sqlite"):
        connection: Any = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=5)
    else:
        connection = psycopg.connect(url)
    try:
        yield connection
    finally:
        connection.close()


def node(name: str, *parents: int, **fields: Any) -> Node:
    """A step that runs `TASK` (or none: `task=None`), with a policy that waits for nothing."""
    policy = {key: fields.pop(key) for key in list(fields) if key in Policy.__struct_fields__}
    task = fields.pop("task", TASK)
    rule, hook = JoinRule(fields.pop("rule", "all_succeeded")), fields.pop("hook", None)
    fields |= {"rule": rule, "hook": None if hook is None else Hook(hook)}
    return Node(name, task, parents=parents, policy=msgspec.structs.replace(AT_ONCE, **policy), **fields)


def plan(*nodes: Node, name: str = "flow", **fields: Any) -> Plan:
    return Plan(name, nodes, **fields)


def value(thing: Any) -> Value:
    return Value(msgspec.Raw(msgspec.json.encode(thing)))


def succeeded(job: Job, result: Any = None, **fields: Any) -> Outcome:
    return Outcome(job.run_id, job.step, job.attempt, Verdict.SUCCEEDED, msgspec.json.encode(result).decode(), **fields)


def failed(job: Job, message: str = "broke", **fields: Any) -> Outcome:
    return Outcome(job.run_id, job.step, job.attempt, Verdict.FAILED, error=ErrorInfo("Boom", message), **fields)


def ended(job: Job, verdict: Verdict) -> Outcome:
    return Outcome(job.run_id, job.step, job.attempt, verdict)


def expanded(job: Job, into: Plan) -> Outcome:
    return Outcome(job.run_id, job.step, job.attempt, Verdict.EXPANDED, codec.encode(into))


class Stage:
    """One database, one engine, a clock that the test moves, and a first worker."""

    def __init__(self, url: str) -> None:
        self.clock = ManualClock()
        self.store: Any = open_store(url, clock=self.clock)
        self.engine = self._new_engine()
        self._worker: WorkerIdentity | None = None
        self._cleaner = ExitStack()
        self._delete: Callable[[], None] | None = None
        self._connection: Any = None

    def _new_engine(self, ids: Ids | None = None) -> Engine:
        """Ids only ever ascend, and each test's clock begins anew: so does what makes them."""
        return Engine(self.store, ids=ids or Ids(), monotonic=self.clock.monotonic)

    @property
    def worker(self) -> WorkerIdentity:
        if self._worker is None:
            self._worker = self.hire("first")
        return self._worker

    def hire(
        self, name: str, *, queues: tuple[str, ...] = ("default",), tasks: Iterable[str] = (TASK,)
    ) -> WorkerIdentity:
        """Another worker, registered."""
        id_ = self.engine.new_id()
        identity = WorkerIdentity(id=id_, name=name, queues=queues, tasks=tuple(tasks), lease_seconds=LEASE_SECONDS)
        self.engine.register(identity, pool="none", concurrency=4, version="0")
        return identity

    def of_run(self, run_id: str) -> WorkerIdentity:
        """The first worker, taking steps of one run only."""
        return replace(self.worker, run_id=run_id)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds=seconds)

    def start(self, what: Plan, key: str | None = None) -> str:
        return self.engine.start([(what, key)])[0]

    def cancel(self, run_id: str) -> str:
        """End a run; returns its status."""
        return self.engine.act(cancel_run, run_id).status

    def turn(self, *outcomes: Outcome, by: WorkerIdentity | None = None, want: int = 0, **fields: Any) -> TurnResult:
        return self.engine.turn(by or self.worker, TurnRequest(outcomes=list(outcomes), want=want, **fields))

    def claim(self, by: WorkerIdentity | None = None, want: int = 100) -> list[Job]:
        """Claim what there is, `want` at most; steps that need not run are reported as a worker would."""
        return self.claim_after([], by, want)

    def claim_after(self, outcomes: list[Outcome], by: WorkerIdentity | None = None, want: int = 100) -> list[Job]:
        """Report these outcomes, then claim what there is."""
        jobs: list[Job] = []
        while True:
            result = self.turn(*outcomes, by=by, want=want - len(jobs))
            jobs += result.jobs
            outcomes = result.outcomes
            if not outcomes and (len(jobs) >= want or not result.again):
                return jobs

    def claim_named(self, *names: str, by: WorkerIdentity | None = None) -> list[Job]:
        """Claim, and get exactly the steps of these names, in this order."""
        jobs = {job.name: job for job in self.claim(by)}
        assert sorted(jobs) == sorted(names)
        return [jobs[name] for name in names]

    def work(self, outcomes: dict[str, Any] | None = None, *, turns: int = 200) -> None:
        """Work until nothing can be claimed; `outcomes` maps names to a function job → Outcome. Others succeed."""
        say = outcomes or {}
        for _ in range(turns):
            jobs = self.claim()
            if not jobs:
                return
            self.turn(*[say.get(job.name, succeeded)(job) for job in jobs])
        raise AssertionError(f"work was still left after {turns} turns")

    def statuses(self, run_id: str) -> dict[str, str]:
        return {step.name: str(step.status) for step in self.steps(run_id)}

    def steps(self, run_id: str) -> list[look.StepInfo]:
        with self.engine.reading() as tx:
            return look.list_steps(tx, run_id)

    def step(self, run_id: str, name: str) -> look.StepInfo:
        return next(step for step in self.steps(run_id) if step.name == name)

    def run(self, run_id: str) -> look.RunInfo:
        with self.engine.reading() as tx:
            return look.run_info(tx, run_id)

    def result(self, run_id: str) -> Any:
        with self.engine.reading() as tx:
            return msgspec.json.decode(look.run_result(tx, run_id))

    def attempts(self, run_id: str) -> list[look.AttemptInfo]:
        with self.engine.reading() as tx:
            return look.list_attempts(tx, run_id)

    def explain(self, run_id: str, step: str | None = None) -> list[Reason]:
        with self.engine.reading() as tx:
            return explain(tx, run_id, self.store.now(), step=step)

    def codes(self, run_id: str, step: str | None = None) -> list[str]:
        return [reason.code for reason in self.explain(run_id, step)]

    def is_sound(self) -> bool:
        """Nothing in the database breaks an invariant; the assertion shows what does."""
        broken = self.engine.broken_invariants()
        assert not broken, broken
        return True

    def read(self, statement: str) -> list[Any]:
        """The rows of a statement, on the connection that empties the database; of a stage that was emptied."""
        found: list[Any] = self._connection.execute(statement).fetchall()
        self._connection.commit()
        return found

    def shape(self) -> list[Any]:
        """Another value when tables, indexes or what the planner knows of them change; of a stage that was emptied."""
        return self.read(SHAPES[self.store.dialect])

    def empty(self) -> None:
        """Forget everything, so that the next example begins with an empty database."""
        if self._delete is None:
            self._delete = self._deleting()
        self._delete()
        self._worker = None
        self.engine = self._new_engine(self.engine.ids)

    def _deleting(self) -> Callable[[], None]:
        """What deletes all rows, on a connection that is kept: opening one takes longer than many examples."""
        with self.store.transaction():
            pass  # makes the tables
        self._connection = connection = self._cleaner.enter_context(connect(self.store.url))
        is_sqlite = self.store.dialect == "sqlite"
        names = (
            "SELECT name FROM sqlite_master WHERE type = 'table'" if is_sqlite else "SELECT tablename FROM pg_tables"
        )
        tables = sorted(name for (name,) in connection.execute(names) if name.startswith("segue_"))
        script = "".join(f"DELETE FROM {table};" for table in tables if table != "segue_schema")
        delete = connection.executescript if is_sqlite else connection.execute

        def run() -> None:
            delete(f"BEGIN IMMEDIATE;{script}" if is_sqlite else script)
            connection.commit()

        return run

    def renew(self) -> None:
        """Forget everything, and turn the clock back to where it began."""
        self.empty()
        self.clock.set(ManualClock().now())
        self.engine = self._new_engine()

    def close(self) -> None:
        self._cleaner.close()
        self.store.close()
