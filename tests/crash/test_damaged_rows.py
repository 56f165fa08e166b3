"""Rows that are damaged, or written by hand: they cost their own run, and nobody else anything.

Each test damages rows while work is under way, in every way that a column can be damaged, beside runs that are sound.
The sound ones always end, the worker and the chores go on, and whatever is asked of the damaged ones is answered.
"""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, NamedTuple

import psycopg
import pytest
from click.testing import CliRunner

from segue import Debounce, Run, Segue
from segue.cli.root import segue as command
from segue.errors import SegueError
from segue.scheduler.chores import Chores
from segue.worker.launch import make_worker
from segue.worker.worker import Worker, WorkerOptions
from tests.crash import damaged_tasks
from tests.crash.worker_processes import eventually
from tests.crash.working import connect
from tests.thorough import IS_THOROUGH

SECONDS = 20.0
SEED = 7
RUNS = 40 if not IS_THOROUGH else 130
PARTS = 1 if not IS_THOROUGH else 5
TEXTS = (
    "{not json", "", "null", "[]", "{}", '"text"', "[[1],{}]", '[["ref",0,["gone","gone"]]]', '["ref",-5,["x"]]',
    '[[[0,0],["ref",987654321987]]]', '["ref",2]', '["span",0,99999999999]', '["mapping",["a"],[]]', "?", "?[]",
    '{"retries":"many"}', '{"retry_delay":1e308,"retries":3}', '{"timeout":-1}', "[" * 5000, "1" * 6000, '"\\ud800"',
    '["no.such.task",1,[["nobody","",1]]]',
    '{"\\u0024segue.newer":1}', '[[{"\\u0024segue.newer":1}],{}]', '{"\\u0024segue.newer',
)  # fmt: skip
"""What stands where JSON should."""

STEP_COLUMNS = ("args", "holes", "when_expr", "policy", "result", "result_expr", "error", "lane", "metadata")
RUN_COLUMNS = ("result_expr", "error", "arguments", "tags", "metadata")
OTHERS = (
    ("segue_steps", "queue", "no-such-queue"), ("segue_steps", "name", ""), ("segue_steps", "task", "no.such.task"),
    ("segue_steps", "rule", "whenever"), ("segue_steps", "hook", "never"), ("segue_steps", "delay", 1e300),
    ("segue_steps", "delay", -1e300), ("segue_steps", "gate", "closed"), ("segue_steps", "scope", 77),
    ("segue_steps", "waiting_on", 5), ("segue_steps", "waiting_on", 0), ("segue_runs", "waiting_on", 0),
    ("segue_runs", "steps", 0), ("segue_runs", "has_hooks", True), ("segue_runs", "limit_name", "nobody"),
)  # fmt: skip
SQLITE_ONLY = (
    ("segue_steps", "children", "{not json"), ("segue_steps", "children", "[\"a\"]"),
    ("segue_steps", "ready_at", "yesterday"), ("segue_steps", "attempt", "first"), ("segue_steps", "failures", "few"),
    ("segue_steps", "args", b"\x00\xff"), ("segue_steps", "result", 5), ("segue_steps", "delay", "soon"),
    ("segue_runs", "created_at", "long ago"), ("segue_runs", "started_at", ""), ("segue_steps", "priority", "high"),
)  # fmt: skip
"""What only SQLite takes into such a column."""


class Damage(NamedTuple):
    """A value in a column, of the whole run or of what has not ended, or has, in it."""

    table: str
    column: str
    value: Any
    steps: str = "TRUE"


def damages(dialect: str) -> list[Damage]:
    found = [Damage("segue_runs", column, text) for column in RUN_COLUMNS for text in TEXTS]
    for which in ("status = 'blocked'", "status = 'succeeded'", "TRUE"):
        found += [Damage("segue_steps", column, text, which) for column in STEP_COLUMNS for text in TEXTS]
    for table, column, value in OTHERS if dialect != "sqlite" else OTHERS + SQLITE_ONLY:
        found += [Damage(table, column, value, which) for which in ("status = 'blocked'", "TRUE")]
    return found


class Scene:
    """A database with a worker and the chores, both in threads, so that a test sees whether they live."""

    def __init__(self, url: str, places: int) -> None:
        self.url = url
        self.segue = Segue(url)
        self.dialect = self.segue.engine.store.dialect
        options = WorkerOptions(concurrency=places, pool="thread", lease_seconds=30)
        self.worker: Worker = make_worker(self.segue.engine, options)
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._work)
        self.chores = Chores(self.segue.engine)

    def _work(self) -> None:
        try:
            self.worker.run()
        except BaseException as error:  # noqa: BLE001 - the test's own thread asks for it
            self.error = error

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self.worker.stop()
        self._thread.join(SECONDS)

    def assert_alive(self) -> None:
        assert self.error is None, self.error
        assert self._thread.is_alive()
        assert self.chores._thread is not None
        assert self.chores._thread.is_alive()

    def execute(self, text: str, *values: Any) -> None:
        with connect(self.url) as connection:
            mark = "?" if self.dialect == "sqlite" else "%s"
            connection.execute(text.replace("?", mark), values)

    def query(self, text: str) -> Any:
        with connect(self.url) as connection:
            return connection.execute(text).fetchone()[0]

    def damage(self, run: Run, what: Damage) -> bool:
        """False when the database refuses to hold it."""
        where = "id = ?" if what.table == "segue_runs" else f"run_id = ? AND {what.steps}"
        try:
            self.execute(f"UPDATE {what.table} SET {what.column} = ? WHERE {where}", what.value, run.id)
        except (sqlite3.Error, psycopg.Error, UnicodeError):
            return False
        return True

    def assert_sound_runs_end(self, *, count: int = 3) -> None:
        for number in range(count):
            run = self.segue.start(damaged_tasks.healthy, number).wait(SECONDS)
            assert run.result() == number + 2

    def ask(self, *words: str) -> str:
        """What the command line says, which is never a traceback."""
        result = CliRunner().invoke(command, list(words), env={"SEGUE_DATABASE_URL": self.url}, prog_name="segue")
        assert result.exception is None or isinstance(result.exception, SystemExit), (words, result.exception)
        return result.output

    def assert_answered(self, run: Run, *, in_words: bool) -> None:
        """Whatever is asked of a damaged run is answered, and one that does not move says why."""
        is_final, reasons = run.info().status.is_final, run.explain()
        assert is_final or reasons
        run.steps()
        run.attempts()
        with suppress(SegueError):
            run.result()
        for words in (("show", run.id), ("show", run.id, "--json"), ("explain", run.id)) if in_words else ():
            self.ask(*words)


@contextmanager
def scene(url: str, places: int = 4) -> Iterator[Scene]:
    damaged_tasks.gates.clear()
    found = Scene(url, places)
    with found.segue, found.chores:
        found.begin()
        try:
            yield found
            found.assert_alive()
        finally:
            damaged_tasks.gates.set()
            found.end()


@pytest.mark.parametrize("part", range(PARTS))
def test_a_run_with_a_damaged_row_costs_nobody_else_anything(database_url: str, part: int) -> None:
    todo = damages("sqlite" if database_url.startswith("sqlite") else "postgres")
    random.Random(SEED).shuffle(todo)
    todo = todo[part * RUNS : (part + 1) * RUNS]
    with scene(database_url, places=len(todo) + 2) as stage:
        runs = stage.segue.start_many(damaged_tasks.sick, [(number,) for number in range(len(todo))])
        at_the_gate = "SELECT count(*) FROM segue_steps WHERE status = 'running' AND name = 'gate'"
        eventually(lambda: stage.query(at_the_gate) == len(todo))
        sick = [(run, what) for run, what in zip(runs, todo, strict=True) if stage.damage(run, what)]
        damaged_tasks.gates.set()
        stage.assert_sound_runs_end()
        for number, (run, what) in enumerate(sick):
            try:
                if what.column != "priority":  # SQLite keeps a text there; nobody can say when its turn comes
                    eventually(lambda run=run: run.status.is_final or not _moves(run))  # type: ignore[misc]
                stage.assert_answered(run, in_words=number % 10 == 0)
            except Exception as error:
                raise AssertionError(f"of run {run.id}, damaged so: {what}") from error
        stage.ask("runs")
        stage.assert_sound_runs_end()


def _moves(run: Run) -> bool:
    return any(reason.code in ("running", "waiting_for_place") for reason in run.explain())


TABLES = {
    "segue_schedules": (
        "plan", "tick_argument", "arguments", "expression", "timezone", "tags", "workflow", "problem",
    ),
    "segue_debounces": ("plan", "terms", "starts", "keep", "workflow"),
    "segue_subscriptions": ("events", "workflow", "target"),
    "segue_alarms": ("kind",),
    "segue_events": ("kind", "detail"),
    "segue_workers": ("queues", "tasks", "pool", "version"),
}  # fmt: skip
TIMES = {
    "segue_schedules": ("next_tick", "due_at", "anchor_at", "starts_at", "ends_at", "created_at", "updated_at"),
    "segue_debounces": ("due_at", "begun_at"), "segue_alarms": ("due_at",), "segue_leader": ("lease_until", "since"),
    "segue_subscriptions": ("created_at",), "segue_ticks": ("tick", "decided_at"), "segue_events": ("at",),
    "segue_workers": ("started_at", "heartbeat_at"),
}  # fmt: skip
NUMBERS = {
    "segue_schedules": ("jitter", "catch_up_window"), "segue_alarms": ("seconds",),
    "segue_limits": ("concurrency", "rate", "period", "burst"), "segue_retention": ("max_age", "max_count"),
}  # fmt: skip


def test_what_is_damaged_beside_runs_holds_up_no_chore(database_url: str) -> None:
    """Schedules, debounces, alarms, subscriptions, limits, rules: each damaged in one row, beside sound ones."""
    is_sqlite = database_url.startswith("sqlite")
    kinds = [(table, column, text) for table, columns in TABLES.items() for column in columns for text in TEXTS[::3]]
    if is_sqlite:
        kinds += [(table, column, text) for table, columns in TIMES.items() for column in columns for text in ("", "x")]
        kinds += [(table, column, "many") for table, columns in NUMBERS.items() for column in columns]
    random.Random(SEED).shuffle(kinds)
    if not IS_THOROUGH:
        kinds = kinds[:30]
    with scene(database_url) as stage:
        segue = stage.segue
        damaged_tasks.gates.set()
        for number in range(len(kinds)):
            name = f"n{number:03d}"
            segue.schedules.create(name, damaged_tasks.well, 1, schedule=timedelta(hours=1))
            segue.start(damaged_tasks.gathered, number, debounce=Debounce(key=name, window=3600, keep="all"))
            segue.start(damaged_tasks.held, number, key=name, deadline=3600)
            segue.subscriptions.add(name, events=["run.failed"], to=damaged_tasks.use)
            segue.limits.set(name, concurrency=1)
            segue.retention.set(max_age=timedelta(days=400), workflow=name)
        keys = {
            "segue_schedules": "name", "segue_debounces": "key", "segue_subscriptions": "name", "segue_limits": "name",
            "segue_retention": "workflow",
        }  # fmt: skip
        for number, (table, column, text) in enumerate(kinds):
            where = f"{keys[table]} = 'n{number:03d}'" if table in keys else "TRUE"
            if table == "segue_alarms":
                where = f"run_id = (SELECT id FROM segue_runs WHERE key = 'n{number:03d}')"
            with suppress(sqlite3.Error, psycopg.Error, UnicodeError):
                stage.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", text)
        for table in ("segue_schedules", "segue_debounces", "segue_alarms"):
            stage.execute(f"UPDATE {table} SET due_at = '2001-01-01 00:00:00.000000' WHERE due_at > '2020-01-01'")
        segue.schedules.create("sound", damaged_tasks.well, 1, schedule=timedelta(seconds=1), overlap="allow")
        debounced = segue.start(damaged_tasks.gathered, 1, debounce=Debounce(key="sound", window=0.5, keep="all"))
        late = segue.start(damaged_tasks.held, 1, deadline=0.5)
        assert debounced.wait(SECONDS).status == "succeeded"
        assert late.wait(SECONDS).status == "failed"
        eventually(lambda: len(segue.schedules.ticks("sound")) >= 2)
        stage.assert_sound_runs_end()
        for words in (
            ("schedules", "list"), ("schedules", "list", "--json"), ("subscriptions", "list"), ("limits", "list"),
            ("runs",), ("workers",), ("events",), ("retention",),
        ):  # fmt: skip
            stage.ask(*words)
        listed = {info.name for info in segue.schedules.list()}  # beside what other tests' modules declare
        assert {"sound", *(f"n{number:03d}" for number in range(len(kinds)))} <= listed
        assert {info.state for info in segue.schedules.list()} > {"broken"}


VERBS = ("cancel", "pause", "resume", "retry", "skip", "mark", "edit")


@pytest.mark.parametrize("verb", VERBS)
def test_what_a_person_does_to_a_damaged_run_is_done_or_refused_in_words(database_url: str, verb: str) -> None:
    """Also beside others: what cannot be done to one of many runs keeps nobody from the rest."""
    with Segue(database_url) as segue:
        stage = Scene(database_url, 1)
        todo = damages(stage.dialect)
        random.Random(f"{SEED} {verb}").shuffle(todo)
        todo = [Damage("segue_steps", "hook", "never"), *todo[:RUNS]]
        runs = segue.start_many(damaged_tasks.sick, [(number,) for number in range(len(todo))])
        sick = [(run, what) for run, what in zip(runs, todo, strict=True) if stage.damage(run, what)]
        for run, what in sick:
            try:
                with suppress(SegueError):
                    _say(run, verb)
            except Exception as error:
                raise AssertionError(f"of run {run.id}, damaged so: {what}") from error
        if verb == "cancel":
            healthy = segue.start(damaged_tasks.healthy, 1)
            applied = segue.select(ids=[*(run.id for run, _ in sick), healthy.id]).cancel()
            assert healthy.status == "cancelled"
            assert applied.changed >= 1
            stage.ask("cancel", *(run.id for run, _ in sick))


def _say(run: Run, verb: str) -> None:
    match verb:
        case "skip":
            run.step("gate").skip()
        case "mark":
            run.step("gate").mark(1)
        case "edit":
            run.step("gate").edit(5)
        case _:
            getattr(run, verb)()
