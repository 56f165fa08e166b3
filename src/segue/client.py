"""The object that users hold: a database, and what is done with it.

`Segue(url)` connects to nothing until it is first used. It may be shared by threads; after a fork make a new one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from segue.authoring import decode_result, registry, to_plan
from segue.authoring.values import annotations_of
from segue.config import database_url
from segue.engine import explain as explaining
from segue.engine import look
from segue.engine.engine import Engine
from segue.engine.patience import Patience
from segue.errors import ConfigError, NotFinishedError, RunFailedError, WaitTimeoutError
from segue.model import RunStatus, StepStatus
from segue.plan.graph import Plan
from segue.store import open_store

if TYPE_CHECKING:
    from segue.store.protocol import Transaction

_FIRST_LOOK_SECONDS = 0.002
_LAST_LOOK_SECONDS = 0.1
_DATABASE_AWAY_SECONDS = 30.0
"""How long `Run.wait` puts up with a database that does not answer."""


class Segue:
    """A database of workflows.

    Example::

        segue = Segue("sqlite:///segue.db")  # SEGUE_DATABASE_URL when left out
        run = segue.start(nightly, "2026-11-20", key="2026-11-20")
        run.wait(timeout=60)
        print(run.result())
    """

    def __init__(self, url: str | None = None) -> None:
        self.url = database_url(url)
        self.engine = Engine(open_store(self.url))

    def start(
        self, work: Any, /, *args: Any, key: str | None = None, connection: Any | None = None, **kwargs: Any
    ) -> Run:
        """Start a run of a workflow, task, signature, chain or group; it is durable when this returns.

        With `key`, a second start of the same workflow under the same key starts nothing and returns the first run.
        With `connection` (a DBAPI connection, a SQLAlchemy Connection or Session, Django's `connection`, open on the
        same database) the run begins when the caller commits, and never existed when he rolls back.
        Raises PlanError, listing every problem, before anything is written.
        """
        _check_key(key)
        ids = self.engine.start([(self._plan(work, args, kwargs), key)], connection=connection)
        return Run(self, ids[0])

    def start_many(
        self, work: Any, arguments: Iterable[Sequence[Any]], /, *, keys: Iterable[str] | None = None,
        connection: Any | None = None,
    ) -> list[Run]:  # fmt: skip
        """Start one run for each tuple of positional arguments, in as few transactions as can be (1,000 runs each).

        `keys` gives a key for each. Example::

            segue.start_many(import_file, [(path,) for path in paths], keys=paths)
        """
        plans = [self._plan(work, _as_tuple(args), {}) for args in arguments]
        names: list[str | None] = [None] * len(plans) if keys is None else list(keys)
        if len(names) != len(plans):
            raise ValueError(
                f"start_many was given {len(plans)} arguments and {len(names)} keys; give one key for each."
            )
        ids = self.engine.start(list(zip(plans, names, strict=True)), connection=connection)
        return [Run(self, id_) for id_ in ids]

    def run(self, work: Any, /, *args: Any, key: str | None = None, **kwargs: Any) -> Any:
        """Start a run, work it here and now in this process, and return its result; raises RunFailedError.

        Every step is as durable as on a worker: when this process dies, any worker goes on with the run.
        """
        from segue.worker.inline import work_run  # noqa: PLC0415 - most users of this module never run a worker

        run = self.start(work, *args, key=key, **kwargs)
        work_run(self.engine, run.id)
        return run.wait().result()

    def get(self, run_id: str) -> Run:
        """The run with this id, or whose id begins so; raises RunNotFoundError."""
        with self.engine.reading() as tx:
            return Run(self, look.find_run(tx, run_id))

    def runs(
        self, *, status: str | None = None, workflow: str | None = None, key: str | None = None,
        before: str | None = None, limit: int = 50,
    ) -> list[look.RunInfo]:  # fmt: skip
        """The newest runs first. For the next page give the last id of this one as `before`."""
        if status is not None and status not in tuple(RunStatus):
            raise ConfigError(f"{status!r} is no status of a run. Those are: {', '.join(RunStatus)}.")
        with self.engine.reading() as tx:
            return look.list_runs(
                self.engine.store, tx, status=status, workflow=workflow, key=key, before=before, limit=limit
            )  # fmt: skip

    def workers(self) -> list[look.WorkerInfo]:
        """The workers that have not ended."""
        with self.engine.reading() as tx:
            return look.list_workers(self.engine.store, tx)

    def upgrade(self) -> list[int]:
        """Bring the tables up to this version of Segue; returns the migrations applied (none when all is well)."""
        return self.engine.store.upgrade()

    def prune(self, *, older_than: timedelta) -> int:
        """Delete the runs that ended longer ago than this, in small transactions; returns how many."""
        total = 0
        while deleted := self.engine.prune(older_than=older_than):
            total += deleted
        return total

    def close(self) -> None:
        """Close the connections of this object."""
        self.engine.store.close()

    def __enter__(self) -> Segue:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _plan(self, work: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Plan:
        return to_plan(work, *args, **kwargs)


class Run:
    """One run. Reading an attribute asks the database anew; nothing here is remembered but the id."""

    def __init__(self, segue: Segue, id_: str) -> None:
        self._segue = segue
        self.id = id_

    def __repr__(self) -> str:
        return f"<Run {self.id}>"

    def info(self) -> look.RunInfo:
        """Everything about the run itself, at one moment."""
        with self._look() as tx:
            return look.run_info(self._store, tx, self.id)

    @property
    def status(self) -> RunStatus:
        """Its status now."""
        return self.info().status

    def counts(self) -> dict[StepStatus, int]:
        """How many of its steps have each status."""
        with self._look() as tx:
            return look.count_steps(tx, self.id)

    def steps(
        self, *, status: str | None = None, name: str | None = None, after: int = -1, limit: int = 1000
    ) -> list[look.StepInfo]:
        """Its steps by number, `limit` of them after number `after`."""
        with self._look() as tx:
            return look.list_steps(self._store, tx, self.id, status=status, name=name, after=after, limit=limit)

    def attempts(self, *, step: int | None = None) -> list[look.AttemptInfo]:
        """The attempts that failed, were lost or printed something, with their errors and output."""
        with self._look() as tx:
            return look.list_attempts(self._store, tx, self.id, step=step)

    def wait(self, timeout: float | None = None) -> Run:
        """Wait until it is final, at most `timeout` seconds (WaitTimeoutError); returns itself."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _FIRST_LOOK_SECONDS
        patience = Patience(_DATABASE_AWAY_SECONDS)
        while not patience.ask(self._is_final, otherwise=False):
            left = pause if deadline is None else min(pause, deadline - time.monotonic())
            if left <= 0:
                reasons = "; ".join(str(reason) for reason in self.explain()[:3])
                raise WaitTimeoutError(f"run {self.id} did not end within {timeout:g} s: {reasons}")
            time.sleep(left)
            pause = min(pause * 1.5, _LAST_LOOK_SECONDS)
        return self

    def result(self) -> Any:
        """What the workflow returned, typed by its annotation; raises NotFinishedError, or RunFailedError."""
        with self._look() as tx:
            info = look.run_info(self._store, tx, self.id)
            text = look.run_result(tx, self.id) if info.status is RunStatus.SUCCEEDED else None
        if text is not None:
            return decode_result(_result_annotation(info.workflow), text)
        if not info.status.is_final:
            raise NotFinishedError(f"run {self.id} is {info.status}; wait for it first: run.wait(timeout=60)")
        why = f": {info.error.step} failed with {info.error.type}: {info.error.message}" if info.error else ""
        raise RunFailedError(f"run {self.id} of {info.workflow} {info.status}{why}")

    def cancel(self) -> RunStatus:
        """End it: what has not begun never will, what runs is ended, finalizers still run. Returns its status."""
        return RunStatus(self._segue.engine.cancel(self.id))

    def explain(self, step: str | int | None = None) -> list[explaining.Reason]:
        """Why the run, or its step of this name or number, is where it is."""
        now = self._store.now()
        with self._look() as tx:
            return explaining.explain(self._store, tx, self.id, now, step=step)

    def _is_final(self) -> bool:
        with self._look() as tx:
            rows = tx.all("run_status", run_id=self.id)
        return RunStatus(rows[0][0]).is_final if rows else self.info().status.is_final

    @property
    def _store(self) -> Any:
        return self._segue.engine.store

    @contextmanager
    def _look(self) -> Iterator[Transaction]:
        with self._segue.engine.reading() as tx:
            yield tx


def _result_annotation(workflow: str) -> Any:
    found = registry.workflows.get(workflow) or registry.tasks.get(workflow)
    return annotations_of(found.fn).get("return", Any) if found is not None else Any


def _check_key(key: str | None) -> None:
    if key == "":
        raise ConfigError(
            f"key={key!r} cannot tell one run from another. Give a text that is not empty, or leave it out."
        )


def _as_tuple(args: Any) -> tuple[Any, ...]:
    if not isinstance(args, (tuple, list)):
        raise ConfigError(
            f"start_many takes a tuple of arguments for each run, not {args!r}. Write [(value,) for value in ...]."
        )
    return tuple(args)
