"""How long runs that have ended are kept: rules by workflow and status, and their deletion little by little."""

from __future__ import annotations

import json
import re
import sqlite3
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from segue.client.retention import Retention
from segue.engine import chores, retention
from segue.engine.act import Act
from segue.engine.audit import record_event
from segue.engine.chores import delete_runs
from segue.engine.ids import first_id_at
from segue.engine.reopening.retry import retry_run
from segue.engine.retention import BUILT_IN, Rule
from segue.engine.views import look
from segue.engine.views.select import RunFilter
from segue.errors import ConfigError
from segue.scheduler import sweeping
from segue.scheduler.sweeping import FIRST_ID, Sweeper
from segue.store import named, postgres_sql
from segue.store.protocol import Transaction
from tests.contract.scheduling import NAME, Clockwork
from tests.contract.stage import Stage, connect, failed, node, plan

DAY = 24 * 3600


@pytest.fixture
def rules(stage: Stage) -> Retention:
    return Retention(stage.engine)


def end(stage: Stage, workflow: str = "flow", *, fails: bool = False, steps: int = 1) -> str:
    run_id = stage.start(plan(*[node(f"s{number}") for number in range(steps)], name=workflow))
    stage.work({"s0": failed} if fails else {})
    return run_id


def swept(stage: Stage, rules: Retention) -> int:
    """How many runs and ticks a sweep deletes; the events of what has changed, of no run, are counted elsewhere."""
    before = _changes(stage)
    deleted = rules.sweep()
    return deleted - (before - _changes(stage))


def _changes(stage: Stage) -> int:
    with connect(stage.store.url) as connection:
        return int(connection.execute("SELECT count(*) FROM segue_events WHERE run_id IS NULL").fetchone()[0])


def left(stage: Stage) -> list[str]:
    with stage.engine.reading() as tx:
        return [run.id for run in look.list_runs(tx, RunFilter(), limit=1000)][::-1]


def test_without_a_rule_runs_are_kept_for_thirty_days(stage: Stage, rules: Retention) -> None:
    first = end(stage)
    alive = stage.start(plan(node("a", delay=1e6)))
    stage.advance(DAY)
    second = end(stage)
    assert rules.get("flow", "succeeded") == BUILT_IN
    stage.advance(29 * DAY - 1)
    assert rules.sweep() == 0
    stage.advance(2)
    assert rules.sweep() == 1
    assert left(stage) == [alive, second]
    assert first not in left(stage)


def test_the_most_specific_rule_counts() -> None:
    rules = [Rule("", "", 1.0), Rule("", "failed", 2.0), Rule("a", "", 3.0), Rule("a", "failed", 4.0)]
    found = {
        (workflow, status): retention.rule_for(rules, workflow, status).max_age
        for workflow in "ab"
        for status in ("failed", "succeeded")
    }
    assert found == {("a", "failed"): 4.0, ("a", "succeeded"): 3.0, ("b", "failed"): 2.0, ("b", "succeeded"): 1.0}
    assert retention.rule_for([], "a", "failed") == BUILT_IN
    assert retention.portions([Rule("a", "", None)], "a") == []


def test_rules_by_workflow_and_status(stage: Stage, rules: Retention) -> None:
    kept = end(stage, "kept")
    failure = end(stage, "poll", fails=True)
    end(stage, "poll")
    end(stage, "other")
    rules.set(max_age=timedelta(days=2))
    rules.set("poll", max_age=timedelta(days=1))
    rules.set("poll", "failed", max_age=timedelta(days=90))
    rules.set("kept", max_age=None)
    stage.advance(DAY + 1)
    assert swept(stage, rules) == 1
    stage.advance(DAY)
    assert swept(stage, rules) == 1
    stage.advance(60 * DAY)
    assert swept(stage, rules) == 0
    assert left(stage) == [kept, failure]
    assert rules.remove("poll", "failed")
    assert not rules.remove("poll", "failed")
    assert swept(stage, rules) == 1
    assert [(rule.workflow, rule.max_age) for rule in rules.list()] == [
        ("", 2.0 * DAY),
        ("kept", None),
        ("poll", 1.0 * DAY),
    ]


def test_only_so_many_are_kept_of_each_workflow(stage: Stage, rules: Retention) -> None:
    mine = [end(stage, "poll", fails=number == 0) for number in range(5)]
    other = [end(stage, "other") for _ in range(3)]
    alive = stage.start(plan(node("a", delay=1e6), name="poll"))
    rules.set("poll", max_count=3)
    assert swept(stage, rules) == 2
    assert left(stage) == [*mine[2:], *other, alive]
    rules.set("poll", "failed", max_count=0)
    rules.set(max_age=None, max_count=1)
    assert swept(stage, rules) == 2
    assert left(stage) == [*mine[2:], other[2], alive]


def test_a_sweep_goes_on_in_small_portions(stage: Stage, rules: Retention, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chores, "STEPS_AT_ONCE", 4)
    monkeypatch.setattr(sweeping, "WALKED_AT_ONCE", 3)
    runs = [end(stage, "poll", steps=3, fails=number % 2 == 0) for number in range(8)]
    rules.set("poll", "succeeded", max_age=0.0)
    rules.set("poll", "failed", max_age=None)
    stage.advance(1)
    sweeper = Sweeper(monotonic=stage.clock.monotonic)
    counts = []
    while sweeper.go_on(stage.engine):
        counts.append(len(left(stage)))
    assert counts[:4] == [7, 6, 5, 4]
    assert left(stage) == runs[::2]


def test_what_is_kept_longer_is_not_looked_at_in_every_sweep(stage: Stage, rules: Retention) -> None:
    stays = end(stage, "poll", fails=True)
    late = stage.start(plan(node("s0"), name="poll"))
    rules.set("poll", max_age=None)
    rules.set("poll", "succeeded", max_age=60.0)
    sweeper = Sweeper(monotonic=stage.clock.monotonic)
    stage.advance(100)
    assert sweeper.go_on(stage.engine) == 0
    [walked] = sweeper._walked.values()
    assert stays < walked <= first_id_at(stage.clock.now())
    stage.work()  # a run that was alive when the sweep passed it
    stage.advance(100)
    assert sweeper.go_on(stage.engine) == 0
    stage.advance(3600)
    while sweeper.go_on(stage.engine):
        pass
    assert left(stage) == [stays]
    assert late not in left(stage)


def test_a_run_that_is_retried_meanwhile_is_not_deleted(stage: Stage, rules: Retention) -> None:
    run_id = end(stage, fails=True)
    with stage.store.transaction() as tx:
        retry_run(Act(tx, stage.store.now()), run_id)
    with stage.store.transaction() as tx:
        assert delete_runs(tx, [run_id]) == 0
    assert left(stage) == [run_id]


def test_old_ticks_go_too_but_the_last(stage: Stage, rules: Retention) -> None:
    clockwork = Clockwork(stage)
    clockwork.create(schedule="@daily", overlap="allow")
    for _ in range(40):
        clockwork.tick(DAY)
    clockwork.finish(40)
    assert swept(stage, rules) == 9
    assert len(clockwork.ticks()) == 31
    stage.advance(100 * DAY)
    assert swept(stage, rules) == 40 + 30
    [last] = clockwork.ticks()
    assert (last.status, last.run_status) == ("started", None)
    rules.set(max_age=None)
    clockwork.schedules.remove(NAME)
    assert swept(stage, rules) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "running"}, {"max_age": -1.0}, {"max_count": -1}, {"max_age": float("inf")}, {"max_count": 2**31},
        {"workflow": "no\0good"}, {"workflow": "no\ud800good"},
    ],
)  # fmt: skip
def test_rules_that_make_no_sense_are_refused(rules: Retention, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        rules.set(**wrong)  # type: ignore[arg-type]
    assert rules.list() == []
    assert not rules.remove(str(wrong.get("workflow", "other")))


def test_events_of_no_run_go_when_runs_of_their_time_go(stage: Stage, rules: Retention) -> None:
    def tell(act) -> None:
        record_event(act, "schedule.stuck", schedule="nightly")

    for _ in range(3):
        stage.engine.act(tell)
        stage.advance(20 * DAY)
    assert rules.sweep() == 2
    assert rules.sweep() == 0


@pytest.mark.parametrize("statement", ["surplus_runs", "aged_runs"])
def test_a_workflow_with_few_runs_is_not_looked_for_among_all_runs(stage: Stage, statement: str) -> None:
    """Not even where nearly all runs are of another one, so that "any workflow" is nearly all runs."""
    with stage.store.transaction():
        pass  # makes the tables
    with connect(stage.store.url) as connection:
        for digit, workflow, count in ((1, "big", 20_000), (2, "rare", 20)):
            cursor = connection.cursor()
            cursor.executemany(
                "INSERT INTO segue_runs (id, workflow, status, waiting_on, steps, created_at, finished_at) VALUES "
                f"({', '.join([MARK[stage.store.dialect]] * 2)}, 'succeeded', 0, 0, '2026-01-01', '2026-01-01')",
                [(f"{digit}0000000-0000-7000-8000-{number:012}", workflow) for number in range(count)],
            )
        connection.execute("ANALYZE")
        connection.commit()
        values = {
            "workflow": "rare", "statuses": ["succeeded"], "keep": 5, "limit": 200, "since": FIRST_ID,
            "until": "f0000000-0000-0000-0000-000000000000", "before": "2027-01-01",
        }  # fmt: skip
        text = EXPLAINED[stage.store.dialect](connection, statement, values)
    assert "segue_runs_workflow" in text
    assert not re.search("pkey|autoindex|PRIMARY KEY", text)


def _on_sqlite(connection: Any, statement: str, values: dict[str, Any]) -> str:
    bound = {name: json.dumps(value) if isinstance(value, list) else value for name, value in values.items()}
    rows = connection.execute("EXPLAIN QUERY PLAN " + named.load("sqlite")[statement].sql, bound).fetchall()
    return "\n".join(row[3] for row in rows)


def _on_postgres(connection: Any, statement: str, values: dict[str, Any]) -> str:
    found = postgres_sql.compiled(statement)
    connection.execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off")
    connection.execute(f"PREPARE chosen AS {found.text}")
    bound = sql.SQL(", ").join(sql.Literal(values[name]) for name in found.order)
    rows = connection.execute(sql.SQL("EXPLAIN EXECUTE chosen({})").format(bound)).fetchall()
    return "\n".join(row[0] for row in rows)


MARK = {"sqlite": "?", "postgres": "%s"}
EXPLAINED = {"sqlite": _on_sqlite, "postgres": _on_postgres}


def test_a_large_run_goes_at_once_and_its_steps_little_by_little(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chores, "STEPS_AT_ONCE", 4)
    large, small = end(stage, steps=10), end(stage)
    stage.advance(10)
    assert stage.engine.prune(older_than=timedelta(seconds=1), at_once=False) == 1
    assert left(stage) == [small]  # and nobody sees a half of the other one
    assert stage.is_sound()
    assert rows_of(stage, large) == 10
    deleted = [stage.engine.act(chores.delete_steps) for _ in range(4)]
    assert deleted == [1, 1, 1, 0]
    assert rows_of(stage, large) == 0
    assert rows_of(stage, small) == 1
    assert stage.is_sound()


def test_the_next_sweep_deletes_what_one_that_died_had_left(
    stage: Stage, rules: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chores, "STEPS_AT_ONCE", 4)
    large = end(stage, steps=10)
    stage.advance(10)
    stage.engine.prune(older_than=timedelta(seconds=1), at_once=False)
    assert rows_of(stage, large) == 10
    assert rules.sweep() == 0
    assert rows_of(stage, large) == 0


def test_one_transaction_deletes_no_more_steps_than_it_may(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chores, "STEPS_AT_ONCE", 4)
    for steps in (3, 2, 1, 1, 9):
        end(stage, steps=steps)
    stage.advance(10)
    assert [stage.engine.prune(older_than=timedelta(seconds=1)) for _ in range(4)] == [1, 3, 1, 0]
    assert stage.is_sound()


def rows_of(stage: Stage, run_id: str) -> int:
    with connect(stage.store.url) as connection:
        rows = connection.execute(f"SELECT count(*) FROM segue_steps WHERE run_id = '{run_id}'").fetchone()
        return int(rows[0])


DAMAGED_NUMBERS = ("many", "", "-1", "1e999", b"\x00")


@pytest.mark.parametrize("column", ["max_age", "max_count"])
def test_a_rule_that_cannot_be_read_keeps_what_it_is_about_and_the_others_count(
    stage: Stage, rules: Retention, column: str
) -> None:
    """And no more general rule takes its place: that might keep less."""
    rules.set(max_age=DAY)
    for number in range(len(DAMAGED_NUMBERS)):
        rules.set(f"flow-{number}", max_age=DAY)
    kept = []
    for number, value in enumerate(DAMAGED_NUMBERS):
        run_id = end(stage, f"flow-{number}")
        if damage(stage, f"flow-{number}", column, value):
            kept.append(run_id)
    gone = [end(stage, "other"), end(stage, "a-first"), end(stage, "z-last")]
    assert kept
    stage.advance(2 * DAY)
    assert swept(stage, rules) == len(gone) + len(DAMAGED_NUMBERS) - len(kept)
    assert left(stage) == kept
    assert {rule.workflow for rule in rules.list()} == {"", *(f"flow-{at}" for at in range(len(DAMAGED_NUMBERS)))}


def damage(stage: Stage, workflow: str, column: str, value: str | bytes) -> bool:
    """False when the database refuses to hold it."""
    with connect(stage.store.url) as connection:
        mark = "?" if stage.store.dialect == "sqlite" else "%s"
        statement = f"UPDATE segue_retention SET {column} = {mark} WHERE workflow = {mark}"
        try:
            connection.execute(statement, [value, workflow])
            connection.commit()
        except (sqlite3.Error, psycopg.Error):
            return False
    return True


def test_a_workflow_whose_runs_cannot_be_deleted_holds_up_no_other(
    stage: Stage, rules: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules.set(max_age=DAY)
    stuck, gone = end(stage, "b-stuck"), [end(stage, "a-first"), end(stage, "c-last")]
    delete_runs = sweeping.delete_runs

    def refuse(tx: Transaction, ids: list[str]) -> int:
        if stuck in ids:
            raise ValueError("a row that nobody can read")
        return delete_runs(tx, ids)

    monkeypatch.setattr(sweeping, "delete_runs", refuse)
    stage.advance(2 * DAY)
    assert swept(stage, rules) == len(gone)
    assert left(stage) == [stuck]
