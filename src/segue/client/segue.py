"""The object that users work with: a database, and the operations on it.

`Segue(url)` does not connect until it is first used. Threads may share it; after a fork make a new one. Objects for the
same database share its connections, which are closed with the last of these objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload
from uuid import UUID

from segue.authoring import sleep, to_plan, wait_for
from segue.authoring.compose import Element
from segue.authoring.definition import Definition, Foreign
from segue.authoring.elsewhere import OF_SEGUE, Unfamiliar
from segue.client.access import AccessRecords
from segue.client.debounce import Debounce, debounced_start
from segue.client.executors import Executors
from segue.client.failures import Failures
from segue.client.given import checked, guarded, whole_id
from segue.client.limits import Limits
from segue.client.listed import ListedRun, listed
from segue.client.overview import Overview
from segue.client.pages import Paged
from segue.client.payloads import StoredPayloads
from segue.client.retention import Retention
from segue.client.run import Run
from segue.client.selection import RunFilters, Selection, run_filter
from segue.client.statistics import Measured
from segue.client.stores import StoreUse, shared_engine
from segue.client.subscriptions import Subscriptions
from segue.client.waiting import Approvals, Events, checked_run_at, seconds_until, send
from segue.clock import Clock
from segue.config import database_url, namespace_name
from segue.engine.definitions import write_code_version
from segue.engine.engine import Engine
from segue.engine.labels import annotate
from segue.engine.sending import Sent
from segue.engine.views import look
from segue.engine.views.definitions import DefinitionInfo, list_definitions
from segue.engine.views.find import find_run
from segue.errors import ConfigError
from segue.given import shown
from segue.observing.observers import observers, on
from segue.payloads.address import payloads_of
from segue.payloads.keeping import Payloads
from segue.payloads.moving import moved
from segue.payloads.protocol import PayloadStore
from segue.plan.beginning import begun_at
from segue.plan.graph import Plan, RunTerms
from segue.plan.indexed import check_key
from segue.plan.labels import checked_tags, encoded_metadata, with_terms
from segue.plan.namespaces import check_namespace

if TYPE_CHECKING:
    from segue.client.schedules import Schedules

P = ParamSpec("P")
R = TypeVar("R")
Work = Definition[..., R] | Element[R]


@guarded
class Segue(Unfamiliar, Measured, Paged, Overview):
    """A database of workflows.

    Example::

        segue = Segue("sqlite:///segue.db")  # SEGUE_DATABASE_URL when left out
        run = segue.start(nightly, "2026-11-20", key="2026-11-20")
        run.wait(timeout=60)
        print(run.result())

    `namespace` (SEGUE_NAMESPACE when left out) separates applications that share a database: each sees only its own
    runs, schedules, limits and workers. With '*' it sees all namespaces, and can pause, cancel and otherwise change
    their runs, but can start nothing.

    `payloads` (SEGUE_PAYLOADS when left out) is a store for long values: those whose JSON has more than
    `payload_threshold` characters (SEGUE_PAYLOAD_THRESHOLD, otherwise 131,072) lie there instead of in the database.
    Workers need the same one::

        segue = Segue(url, payloads=FilePayloads("/var/lib/segue/payloads"))

    `clock` replaces the database's clock, in this process only; it is for tests, see `segue.testing.Workbench`.
    """

    def __init__(
        self, url: str | None = None, *, namespace: str | None = None,
        payloads: Payloads | PayloadStore | str | None = None, payload_threshold: int | None = None,
        clock: Clock | None = None,
    ) -> None:  # fmt: skip
        if url is not None and not isinstance(url, str):
            raise ConfigError(f"Segue({shown(url)}) names no database. Give a text, for example sqlite:///segue.db.")
        self._hold(
            *shared_engine(
                database_url(url), check_namespace(namespace_name(namespace)), payloads_of(payloads, payload_threshold),
                clock=clock,
            )
        )  # fmt: skip

    def _hold(self, engine: Engine, use: StoreUse | None) -> None:
        """Work with this engine; `use` is what to give back in the end."""
        self.engine, self._use = engine, use
        self.namespace = self.engine.namespace
        self.url = self.engine.store.url  # with an absolute path, for SQLite
        self.subscriptions = Subscriptions(self.engine)
        self.retention = Retention(self.engine)
        self.approvals = Approvals(self.engine)
        self.events = Events(self.engine)
        self.limits = Limits(self.engine)
        self.failures = Failures(self.engine)
        self.payloads = StoredPayloads(self.engine)
        self.executors = Executors(self.engine)
        self.access = AccessRecords(self.engine)

    _elsewhere = OF_SEGUE

    on = staticmethod(on)
    """The same as `segue.on`: an observer belongs to the process and receives events of every database."""

    wait_for = wait_for
    """The same as `segue.wait_for`: a step that waits for a message."""

    sleep = sleep
    """The same as `segue.sleep`: a step that waits for a duration."""

    @cached_property
    def schedules(self) -> Schedules:
        """Work that starts by itself at given times."""
        from segue.client.schedules import Schedules  # noqa: PLC0415 - takes milliseconds; few processes ask

        return Schedules(self.engine)

    @overload
    def start(self, work: Definition[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Run[R]: ...
    @overload
    def start(self, work: Element[R], /) -> Run[R]: ...
    @overload
    def start(self, work: Plan | Foreign, /, **options: Any) -> Run[Any]: ...
    @overload
    def start(self, work: Work[R], /, *args: Any, key: str | None, **others: Any) -> Run[R]: ...
    @overload
    def start(self, work: Work[R], /, *args: Any, tags: Iterable[str], **others: Any) -> Run[R]: ...
    @overload
    def start(self, work: Work[R], /, *args: Any, metadata: Mapping[str, Any] | None, **others: Any) -> Run[R]: ...
    @overload
    def start(
        self, work: Work[R], /, *args: Any, deadline: float | timedelta | datetime | None, **others: Any
    ) -> Run[R]: ...
    @overload
    def start(self, work: Work[R], /, *args: Any, debounce: Debounce | None, **others: Any) -> Run[R]: ...
    @overload
    def start(self, work: Work[R], /, *args: Any, connection: Any, **others: Any) -> Run[R]: ...
    @overload
    def start(self, work: Work[R], /, *args: Any, run_at: datetime | None, **others: Any) -> Run[R]: ...
    @overload
    def start(self, work: Work[R], /, *args: Any, reuse_key: bool, **others: Any) -> Run[R]: ...
    def start(  # type: ignore[misc]  # the words that a start keeps for itself may be names of parameters
        self, work: Any, /, *args: Any, key: str | None = None, tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None, deadline: float | timedelta | datetime | None = None,
        debounce: Debounce | None = None, connection: Any | None = None, run_at: datetime | None = None,
        reuse_key: bool = False, **kwargs: Any,
    ) -> Run[Any]:  # fmt: skip
        """Start a run of a workflow, task, signature, chain or group; it is durable when this returns.

        With `key`, a second start of the same workflow under the same key starts nothing and returns the first run; its
        `is_new` is False. With `reuse_key` only until that run has ended; then the new run takes the key.
        `tags` (words) and `metadata` (a JSON object) are stored with the run, and `select` finds runs by them.
        If the run has not ended at its `deadline` (seconds or a timedelta from its start, or a datetime), it fails.
        With `run_at`, an aware datetime, it begins then; its `deadline` and SLA count from then.
        With `debounce` all starts under its key within a window become one run.
        With `connection` (a DBAPI connection, a SQLAlchemy Connection or Session, Django's `connection`, open on the
        same database) the run begins when the caller commits; after a rollback it never existed.
        Raises PlanError, listing every problem, before anything is written.
        """
        check_key("key", key, tells_apart="one run from another")
        begins = None if run_at is None else checked_run_at(run_at, self.engine.store.now())
        seconds = None if deadline is None else seconds_until(deadline, begins or self.engine.store.now())
        terms = _terms(tags, metadata, seconds)
        if debounce is not None:
            if not isinstance(debounce, Debounce):
                raise ConfigError(
                    f"debounce={shown(debounce)} is not a Debounce. Give a segue.Debounce(key=..., window=...)."
                )
            _refuse_beside_debounce(key=key, connection=connection, run_at=run_at, reuse_key=reuse_key or None)
            self.engine.in_one_namespace("start a run")
            joined, is_first = debounced_start(self.engine, work, args, kwargs, debounce, terms)
            return Run(self.engine, joined, is_new=is_first)
        plan = self._plan(work, args, kwargs, terms)
        if begins is not None:
            plan = begun_at(plan, begins)
        _check_reuse(key, reuse_key)
        begun: set[str] = set()
        [id_] = self.engine.start([(plan, key)], connection=connection, begun=begun, reuse_key=reuse_key)
        return Run(self.engine, id_, is_new=id_ in begun)

    def start_many(
        self, work: Definition[..., R], arguments: Iterable[Sequence[Any]], /, *,
        keys: Iterable[str | None] | None = None,
        tags: Iterable[str] = (), metadata: Mapping[str, Any] | None = None, connection: Any | None = None,
    ) -> list[Run[R]]:  # fmt: skip
        """Start one run for each tuple of positional arguments, in few transactions (1,000 runs each).

        `keys` gives a key, or None, for each run. `tags` and `metadata` apply to every run. Example::

            segue.start_many(import_file, [(path,) for path in paths], keys=paths)
        """
        terms = _terms(tags, metadata)
        if not isinstance(arguments, Iterable):
            raise ConfigError(f"start_many: arguments={shown(arguments)} is not a list. Write [(value,), ...].")
        plans = [self._plan(work, _as_tuple(args), {}, terms) for args in arguments]
        names: list[str | None] = [None] * len(plans) if keys is None else list(keys)
        if len(names) != len(plans):
            raise ConfigError(
                f"start_many was given {len(plans)} arguments and {len(names)} keys; give one key for each."
            )
        for name in names:
            check_key("key", name, tells_apart="one run from another")
        begun: set[str] = set()
        ids = self.engine.start(list(zip(plans, names, strict=True)), connection=connection, begun=begun)
        runs: list[Run[R]] = []
        for id_ in ids:
            runs.append(Run(self.engine, id_, is_new=id_ in begun))
            begun.discard(id_)  # a second start under the same key is not new
        return runs

    @overload
    def run(self, work: Definition[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def run(self, work: Element[R], /) -> R: ...
    @overload
    def run(self, work: Plan | Foreign, /, **options: Any) -> Any: ...
    @overload
    def run(self, work: Work[R], /, *args: Any, key: str | None, **others: Any) -> R: ...
    @overload
    def run(self, work: Work[R], /, *args: Any, tags: Iterable[str], **others: Any) -> R: ...
    @overload
    def run(self, work: Work[R], /, *args: Any, metadata: Mapping[str, Any] | None, **others: Any) -> R: ...
    def run(  # type: ignore[misc]  # the same
        self, work: Any, /, *args: Any, key: str | None = None, tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Start a run, execute it in this process, and return its result. Raises RunFailedError.

        Every step is as durable as on a worker: if this process dies, any worker continues the run.
        """
        from segue.worker.inline import work_run  # noqa: PLC0415 - most users of this module never run a worker

        run = self.start(work, *args, key=key, tags=tags, metadata=metadata, **kwargs)
        work_run(self.engine, run.id)
        return run.wait().result()

    def send(self, run: Run | str, name: str, value: Any = None, *, key: str | None = None) -> Sent:
        """Send a message to a run, or to the one with this id; see `Run.send`."""
        return send(self.engine, self._mine(run), name, value, key)

    def get(self, run_id: str | UUID) -> Run:
        """The run with this id, or with an id that begins with it or ends with it. Raises RunNotFoundError.

        The last 8 digits are the short id, which the command line shows. Several matches are an error that lists them.
        """
        with self.engine.reading() as tx:
            return Run(self.engine, find_run(tx, str(run_id), prefix=self.engine.prefix))

    def runs(self, *, before: str | None = None, limit: int = 50, **chosen: Unpack[RunFilters]) -> list[ListedRun]:
        """The runs that match, as for `select`, the newest first. For the next page give the last id as `before`.

        Each has the fields of a `RunInfo`, and the verbs of a `Run`. Example::

            for listed in segue.runs(status="failed"):
                listed.retry()
        """
        wanted = run_filter(self.engine.store.now(), chosen, namespace=self.namespace)
        with self.engine.reading() as tx:
            found = look.list_runs(tx, wanted, before=before, limit=limit)
        return [listed(self.engine, info) for info in found]

    def select(self, **chosen: Unpack[RunFilters]) -> Selection:
        """The runs that match all of these filters, to count and list them, or to pause, resume, cancel or retry them.

        `workflow` is the full name. `status` and `tag` are a text or a list (any of the statuses, all of the tags).
        `older_than` and `newer_than` are timedeltas since the creation of a run. `error_type` is the type of the error
        that decided the outcome. `metadata` matches the metadata of the run or of one of its steps. `ids` names the
        runs.

        Example::

            segue.select(workflow="shop.nightly", status="running", metadata={"customer": 42}).pause()
        """
        return Selection(self.engine, run_filter(self.engine.store.now(), chosen, namespace=self.namespace))

    def annotate(
        self, run: Run | str, *, tags: Iterable[str] = (), without: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None, step: str | int | None = None,
    ) -> None:  # fmt: skip
        """Add tags to a run and remove those in `without`. Set keys of its metadata, where None removes a key.

        With `step`, a name or a number, set the metadata of that step. Raises RunNotFoundError or StepNotFoundError.

        Example::

            segue.annotate(run, tags=["looked-at"], metadata={"ticket": "OPS-17"})
        """
        id_ = self._mine(checked("annotate", "run", run, whole_id) if isinstance(run, str) else run)
        self.engine.act(annotate, id_, tags=tags, without=without, metadata=metadata, step=step)

    def workers(self) -> list[look.WorkerInfo]:
        """The workers that have not ended."""
        with self.engine.reading() as tx:
            return look.list_workers(tx, prefix=self.engine.prefix)

    def definitions(self, *, version: str | None = None) -> list[DefinitionInfo]:
        """The tasks and workflows that live workers and schedulers define, by name, with their parameters.

        If several versions of the code are alive, the newest one decides for each name. If none is alive, the result is
        what the newest version defined. With `version` (`WorkerInfo.code_version`), the result is what that version
        defines; it is empty for an unknown version.

        Example::

            for each in segue.definitions():
                print(each.kind, each.name, each.title, list(each.parameters["properties"]))
        """
        with self.engine.reading() as tx:
            return list_definitions(tx, self.engine.store.now(), version=version, namespace=self.namespace)

    def publish_definitions(self) -> str | None:
        """Store the definitions in the code that this process has imported. Returns its version, or None if it defines
        nothing.

        Workers and schedulers do this when they start. Use it if the definitions must be in the database before then,
        for example during a deployment. Starting a run does not do it: a script often imports only a part of the code.

        Example::

            import shop.tasks

            Segue(url).publish_definitions()
        """
        from segue.authoring.describing.describe import code_version  # noqa: PLC0415 - takes milliseconds

        code = code_version()
        if code is None:
            return None
        self.engine.in_one_namespace("publish definitions")
        self.engine.act(write_code_version, code, self.namespace)
        return code.version

    def upgrade(self) -> list[int]:
        """Create or update the tables for this version of Segue. Returns the migrations applied."""
        return self.engine.store.upgrade()

    def prune(self, *, older_than: timedelta) -> int:
        """Delete the runs that ended longer ago than this, in small transactions. Returns their number."""
        total = 0
        while deleted := self.engine.prune(older_than=older_than, prefix=self.engine.prefix):
            total += deleted
        return total

    def close(self) -> None:
        """Close its connections, unless other objects use them. Observers get a moment to receive the remaining events.

        An object that is garbage-collected closes itself in the same way. An object that is used again connects again.
        """
        observers.flush()
        if self._use is not None:
            self._use.give_back()

    def __enter__(self) -> Segue:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _mine(self, run: Run | str) -> str:
        """The id of a run. Raises RunNotFoundError for a run in another namespace."""
        if isinstance(run, str):
            return self.get(run).id
        id_ = _id_of(run)
        return id_ if run._engine.namespace == self.namespace else self.get(id_).id

    def _plan(self, work: Any, args: tuple[Any, ...], kwargs: dict[str, Any], terms: RunTerms | None) -> Plan:
        plan = moved(to_plan(work, *args, **kwargs), self.engine.payloads, self.engine.payload_executors)
        return plan if terms is None else with_terms(plan, terms)


def _terms(
    tags: Iterable[str], metadata: Mapping[str, Any] | None, deadline: float | None = None
) -> RunTerms | None:  # fmt: skip
    """The terms of a run: what a start sets besides the work. None if it sets nothing."""
    if not tags and metadata is None and deadline is None:
        return None
    kept = encoded_metadata("start", metadata or {})
    return RunTerms(tags=checked_tags("start", tags), metadata=kept, deadline=deadline)


def _check_reuse(key: str | None, reuse_key: object) -> None:
    if not isinstance(reuse_key, bool):
        raise ConfigError(f"reuse_key={shown(reuse_key)} is not a boolean. Write reuse_key=True, or leave it out.")
    if reuse_key and key is None:
        raise ConfigError("reuse_key=True is about a key, and there is none. Give key=..., or leave reuse_key out.")


def _refuse_beside_debounce(**others: object) -> None:
    for name, value in others.items():
        if value is not None:
            raise ConfigError(
                f"start was given both debounce= and {name}=, but a debounced start joins a run that may be there "
                f"already. Leave {name}= out."
            )


def _id_of(run: Run) -> str:
    if not isinstance(run, Run):
        raise ConfigError(f"run={shown(run)} is not a run. Give the object that `start` returned, or the run's id.")
    return run.id


def _as_tuple(args: Any) -> tuple[Any, ...]:
    if not isinstance(args, (tuple, list)):
        raise ConfigError(
            f"start_many takes a tuple of arguments for each run, not {shown(args)}. Write [(value,) for value in ...]."
        )
    return tuple(args)
