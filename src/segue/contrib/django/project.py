"""`segue`: the object with which a project starts and steers runs.

Promises: importing it connects to nothing. It works on the database that DATABASES names at the moment, so it follows
the test database. Inside `transaction.atomic()` everything done through it belongs to that transaction. A fork has its
own.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, cast
from uuid import UUID

from django.core import mail

from segue.client import Run, Segue
from segue.client.stores import shared_engine
from segue.clock import Clock
from segue.config import namespace_name
from segue.contrib.django.addresses import connection_of, is_in_memory, url_of
from segue.contrib.django.settings import ProjectSettings, project_settings
from segue.contrib.django.stores import ConnectionStore, ProjectStore
from segue.contrib.django.watching import ProjectWatch, PromptWatch
from segue.engine.engine import Engine
from segue.errors import ConfigError
from segue.payloads.address import payloads_of
from segue.plan.namespaces import check_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator


class DjangoRun(Run[Any]):
    """A run of the project."""

    def wait(self, timeout: float | None = None) -> Self:
        """`Run.wait`. Raises ConfigError inside an atomic block for a run that has not ended: workers cannot see it."""
        if self._engine.store.joins and not self.status.is_final:  # type: ignore[attr-defined]
            raise ConfigError(
                f"run {self.id} cannot be waited for inside transaction.atomic(): no worker sees it before the commit. "
                "Wait after the block; in a test, work it: self.run_pending()."
            )
        return super().wait(timeout)


class DjangoSegue(Segue):
    """A `Segue` on a database of the project: the one that SEGUE['DATABASE'] names in the settings.

    Use `segue.contrib.django.segue`, unless you need one with other settings. `clock` is for tests; with it, everything
    happens on Django's own connection. Example::

        with transaction.atomic():
            order.save()
            run = segue.start(ship, order.pk)   # on Django's connection: a rollback takes it back
            run.status                          # "pending", read in the same transaction
    """

    def __init__(self, project: ProjectSettings | None = None, *, clock: Clock | None = None) -> None:
        self.project = project or project_settings()
        alias = self.project.database
        namespace = check_namespace(namespace_name(self.project.namespace))
        payloads = payloads_of(self.project.payloads, self.project.payload_threshold)
        if clock is not None or works_on_connection(alias):
            store = ConnectionStore(alias, clock=clock)
            engine = Engine(store, namespace=namespace, payloads=payloads, **_stopwatch(clock))
            engine.watch = PromptWatch(store, ids=engine.ids, prefix=engine.prefix)
            self._hold(engine, None)
            return
        engine, use = shared_engine(url_of(alias), namespace, payloads)
        engine.watch = ProjectWatch(engine.store, alias, ids=engine.ids, prefix=engine.prefix)
        engine.store = ProjectStore(engine.store, alias)
        self._hold(engine, use)

    def start(self, work: Any, /, *args: Any, **options: Any) -> Run:
        """`Segue.start`. In an atomic block, the run begins with the commit of the outermost one."""
        if options.get("connection") is None and options.get("debounce") is None:
            options["connection"] = self._connection
        return self._ours(super().start(work, *args, **options))

    def start_many(self, work: Any, arguments: Any, /, **options: Any) -> list[Run]:
        """`Segue.start_many`, in the same way."""
        if options.get("connection") is None:
            options["connection"] = self._connection
        return [self._ours(run) for run in super().start_many(work, arguments, **options)]

    def get(self, run_id: str | UUID) -> Run:
        """`Segue.get`."""
        return self._ours(super().get(run_id))

    def _ours(self, run: Run) -> DjangoRun:
        return DjangoRun(self.engine, run.id, is_new=run.is_new)

    @property
    def _connection(self) -> Any:
        """Django's connection, if this thread has an atomic block open on it."""
        connection = connection_of(self.project.database)
        return connection if connection.in_atomic_block else None


def works_on_connection(alias: str) -> bool:
    """Whether only Django's own connection may be used: in tests, and for a database in memory."""
    return hasattr(mail, "outbox") or is_in_memory(alias)  # Django's test runner, and pytest-django, add the outbox


def _stopwatch(clock: Clock | None) -> dict[str, Any]:
    return {} if clock is None else {"monotonic": clock.monotonic}


class _Current:
    """The object that is right at the moment."""

    def __init__(self) -> None:
        self._made: DjangoSegue | None = None
        self._made_for: object = None
        self._replaced: DjangoSegue | None = None

    def get(self) -> DjangoSegue:
        """The object for this process, and the database that DATABASES names now."""
        if self._replaced is not None:
            return self._replaced
        project = project_settings()
        where = project.database if works_on_connection(project.database) else url_of(project.database)
        made_for = (os.getpid(), project, where, works_on_connection(project.database))
        if self._made is None or self._made_for != made_for:
            self._made, self._made_for = DjangoSegue(project), made_for
        return self._made

    @contextmanager
    def replaced(self, other: DjangoSegue) -> Iterator[None]:
        """Use another object within the block, as in a test with a clock of its own."""
        before, self._replaced = self._replaced, other
        try:
            yield
        finally:
            self._replaced = before


class _Lazy:
    """Passes everything on to the current object."""

    def __getattr__(self, name: str) -> Any:
        return getattr(current.get(), name)

    def __repr__(self) -> str:
        return "<segue of the Django project>"

    if not TYPE_CHECKING:

        @property
        def __class__(self):  # `isinstance(segue, Segue)`
            return DjangoSegue


current = _Current()
segue: DjangoSegue = cast(DjangoSegue, _Lazy())
"""The project's runs; see `DjangoSegue`."""
