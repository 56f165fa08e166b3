"""The object that users hold: a database, and what is done with it.

`Segue(url)` connects to nothing until it is first used. It may be shared by threads; after a fork make a new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Unpack

from segue.authoring import sleep, to_plan, wait_for
from segue.client.debounce import Debounce, debounced_start
from segue.client.limits import Limits
from segue.client.retention import Retention
from segue.client.run import Run
from segue.client.selection import RunFilters, Selection, run_filter
from segue.client.subscriptions import Subscriptions
from segue.client.waiting import Approvals, Events, seconds_until, send
from segue.config import database_url
from segue.engine.engine import Engine
from segue.engine.labels import annotate
from segue.engine.sending import Sent
from segue.engine.views import look
from segue.errors import ConfigError
from segue.observing.observers import observers, on
from segue.plan.graph import Plan, RunTerms
from segue.plan.labels import checked_tags, encoded_metadata, with_terms
from segue.store import open_store

if TYPE_CHECKING:
    from segue.client.schedules import Schedules


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
        self.subscriptions = Subscriptions(self.engine)
        self.retention = Retention(self.engine)
        self.approvals = Approvals(self.engine)
        self.events = Events(self.engine)
        self.limits = Limits(self.engine)

    on = staticmethod(on)
    """The same as `segue.on`: an observer is of the process, whatever database things happen in."""

    wait_for = wait_for
    """The same as `segue.wait_for`: a step that waits for a message."""

    sleep = sleep
    """The same as `segue.sleep`: a step that lets time pass."""

    @cached_property
    def schedules(self) -> Schedules:
        """What is started by itself, and when."""
        from segue.client.schedules import Schedules  # noqa: PLC0415 - takes milliseconds; few processes ask

        return Schedules(self.engine)

    def start(
        self, work: Any, /, *args: Any, key: str | None = None, tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None, deadline: float | timedelta | datetime | None = None,
        debounce: Debounce | None = None, connection: Any | None = None, **kwargs: Any,
    ) -> Run:  # fmt: skip
        """Start a run of a workflow, task, signature, chain or group; it is durable when this returns.

        With `key`, a second start of the same workflow under the same key starts nothing and returns the first run; its
        `is_new` is False.
        `tags` (words) and `metadata` (a JSON object) are kept with the run, and runs are found by them: see `select`.
        At its `deadline` (seconds or a timedelta from its start, or a datetime) a run that has not ended fails.
        With `debounce` all starts under its key within a window become one run.
        With `connection` (a DBAPI connection, a SQLAlchemy Connection or Session, Django's `connection`, open on the
        same database) the run begins when the caller commits, and never existed when he rolls back.
        Raises PlanError, listing every problem, before anything is written.
        """
        _check_key(key)
        seconds = None if deadline is None else seconds_until(deadline, self.engine.store.now())
        terms = _terms(tags, metadata, seconds)
        if debounce is not None:
            _refuse_beside_debounce(key=key, connection=connection)
            joined, is_first = debounced_start(self.engine, work, args, kwargs, debounce, terms)
            return Run(self.engine, joined, is_new=is_first)
        plan = self._plan(work, args, kwargs, terms)
        begun: set[str] = set()
        [id_] = self.engine.start([(plan, key)], connection=connection, begun=begun)
        return Run(self.engine, id_, is_new=id_ in begun)

    def start_many(
        self, work: Any, arguments: Iterable[Sequence[Any]], /, *, keys: Iterable[str] | None = None,
        tags: Iterable[str] = (), metadata: Mapping[str, Any] | None = None, connection: Any | None = None,
    ) -> list[Run]:  # fmt: skip
        """Start one run for each tuple of positional arguments, in as few transactions as can be (1,000 runs each).

        `keys` gives a key for each; `tags` and `metadata` are those of every run. Example::

            segue.start_many(import_file, [(path,) for path in paths], keys=paths)
        """
        terms = _terms(tags, metadata)
        plans = [self._plan(work, _as_tuple(args), {}, terms) for args in arguments]
        names: list[str | None] = [None] * len(plans) if keys is None else list(keys)
        if len(names) != len(plans):
            raise ValueError(
                f"start_many was given {len(plans)} arguments and {len(names)} keys; give one key for each."
            )
        begun: set[str] = set()
        ids = self.engine.start(list(zip(plans, names, strict=True)), connection=connection, begun=begun)
        runs = []
        for id_ in ids:
            runs.append(Run(self.engine, id_, is_new=id_ in begun))
            begun.discard(id_)  # a second one under its key is not new
        return runs

    def run(
        self, work: Any, /, *args: Any, key: str | None = None, tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Start a run, work it here and now in this process, and return its result; raises RunFailedError.

        Every step is as durable as on a worker: when this process dies, any worker goes on with the run.
        """
        from segue.worker.inline import work_run  # noqa: PLC0415 - most users of this module never run a worker

        run = self.start(work, *args, key=key, tags=tags, metadata=metadata, **kwargs)
        work_run(self.engine, run.id)
        return run.wait().result()

    def send(self, run: Run | str, name: str, value: Any = None, *, key: str | None = None) -> Sent:
        """Send a message to a run, or to the one with this id; see `Run.send`."""
        return send(self.engine, self.get(run).id if isinstance(run, str) else run.id, name, value, key)

    def get(self, run_id: str) -> Run:
        """The run with this id, or whose id begins so; raises RunNotFoundError."""
        with self.engine.reading() as tx:
            return Run(self.engine, look.find_run(tx, run_id))

    def runs(self, *, before: str | None = None, limit: int = 50, **chosen: Unpack[RunFilters]) -> list[look.RunInfo]:
        """The newest runs first, of those that `select` chooses; for the next page give the last id as `before`."""
        wanted = run_filter(self.engine.store.now(), chosen)
        with self.engine.reading() as tx:
            return look.list_runs(self.engine.store, tx, wanted, before=before, limit=limit)

    def select(self, **chosen: Unpack[RunFilters]) -> Selection:
        """The runs for which all of this holds, to pause, resume or cancel them, or to count and list them.

        `workflow` is the full name, `status` and `tag` a text or a list of them (any of the statuses, all of the tags),
        `older_than` and `newer_than` are timedeltas since a run was created, `error_type` is that of the failure that
        decided, `metadata` what the run or a step of it was given. `ids` names the runs.

        Example::

            segue.select(workflow="shop.nightly", status="running", metadata={"customer": 42}).pause()
        """
        return Selection(self.engine, run_filter(self.engine.store.now(), chosen))

    def annotate(
        self, run: Run | str, *, tags: Iterable[str] = (), without: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None, step: str | int | None = None,
    ) -> None:  # fmt: skip
        """Add tags to a run and take those in `without` away; set keys of its metadata, where None removes one.

        With `step`, a name or a number, the metadata are that step's. Raises RunNotFoundError, StepNotFoundError.

        Example::

            segue.annotate(run, tags=["looked-at"], metadata={"ticket": "OPS-17"})
        """
        changes = partial(annotate, tags=tags, without=without, metadata=metadata, step=step)
        id_ = run if isinstance(run, str) else run.id
        self.engine.act(lambda tx, now: changes(self.engine.store, tx, id_, now))

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
        """Close the connections of this object, once observers were given a moment to hear what happened."""
        observers.flush()
        self.engine.store.close()

    def __enter__(self) -> Segue:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _plan(self, work: Any, args: tuple[Any, ...], kwargs: dict[str, Any], terms: RunTerms | None) -> Plan:
        plan = to_plan(work, *args, **kwargs)
        return plan if terms is None else with_terms(plan, terms)


def _terms(
    tags: Iterable[str], metadata: Mapping[str, Any] | None, deadline: float | None = None
) -> RunTerms | None:  # fmt: skip
    """What a start says of its run besides the work; None when it says nothing."""
    if not tags and metadata is None and deadline is None:
        return None
    kept = encoded_metadata("start", metadata or {})
    return RunTerms(tags=checked_tags("start", tags), metadata=kept, deadline=deadline)


def _refuse_beside_debounce(**others: object) -> None:
    for name, value in others.items():
        if value is not None:
            raise ConfigError(
                f"start was given both debounce= and {name}=, but a debounced start joins a run that may be there "
                f"already. Leave {name}= out."
            )


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
