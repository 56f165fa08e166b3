"""How long runs that have ended are kept: rules by workflow and status, and their deletion little by little."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg import sql

from segue.client.retention import Retention
from segue.engine import retention
from segue.engine.chores import delete_runs
from segue.engine.events import record_event
from segue.engine.ids import first_id_at
from segue.engine.reopening.retry import retry_run
from segue.engine.retention import BUILT_IN, FIRST_ID, Rule, Sweeper
from segue.engine.views import look
from segue.engine.views.select import RunFilter
from segue.errors import ConfigError
from segue.store import named, postgres_sql
from segue.store.protocol import Transaction
from tests.contract.acting import Stage, connect, failed, node, plan
from tests.contract.scheduling import NAME, Clockwork

DAY = 24 * 3600


@pytest.fixture
def rules(stage: Stage) -> Retention:
    return Retention(stage.engine)


def end(stage: Stage, workflow: str = "flow", *, fails: bool = False, steps: int = 1) -> str:
    run_id = stage.start(plan(*[node(f"s{number}") for number in range(steps)], name=workflow))
    stage.work({"s0": failed} if fails else {})
    return run_id


def left(stage: Stage) -> list[str]:
    with stage.engine.reading() as tx:
        return [run.id for run in look.list_runs(stage.store, tx, RunFilter(), limit=1000)][::-1]


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
    assert rules.sweep() == 1
    stage.advance(DAY)
    assert rules.sweep() == 1
    stage.advance(60 * DAY)
    assert rules.sweep() == 0
    assert left(stage) == [kept, failure]
    assert rules.remove("poll", "failed")
    assert not rules.remove("poll", "failed")
    assert rules.sweep() == 1
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
    assert rules.sweep() == 2
    assert left(stage) == [*mine[2:], *other, alive]
    rules.set("poll", "failed", max_count=0)
    rules.set(max_age=None, max_count=1)
    assert rules.sweep() == 2
    assert left(stage) == [*mine[2:], other[2], alive]


def test_a_sweep_goes_on_in_small_portions(stage: Stage, rules: Retention, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEPS_AT_ONCE", 4)
    monkeypatch.setattr(retention, "WALKED_AT_ONCE", 3)
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
        retry_run(stage.store, tx, run_id, stage.store.now())
    with stage.store.transaction() as tx:
        assert delete_runs(tx, [run_id]) == 0
    assert left(stage) == [run_id]


def test_old_ticks_go_too_but_the_last(stage: Stage, rules: Retention) -> None:
    clockwork = Clockwork(stage)
    clockwork.create(schedule="@daily", overlap="allow")
    for _ in range(40):
        clockwork.tick(DAY)
    clockwork.finish(40)
    assert rules.sweep() == 9
    assert len(clockwork.ticks()) == 31
    stage.advance(100 * DAY)
    assert rules.sweep() == 40 + 30
    [last] = clockwork.ticks()
    assert (last.status, last.run_status) == ("started", None)
    rules.set(max_age=None)
    clockwork.schedules.remove(NAME)
    assert rules.sweep() == 0


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
    def tell(tx: Transaction, now: datetime) -> None:
        record_event(tx, now, "schedule.stuck", schedule="nightly")

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
