"""The HTTP API: what each operation does, on both databases, and that it answers what the command line prints."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec import json

from segue import Segue
from segue.cli.root import segue as command_line
from segue.web import brief
from segue.worker.inline import work_run
from tests.contract.web.asking import approved, client, takings

pytestmark = pytest.mark.contract


def said(segue: Segue, *words: str) -> Any:
    """What the command line prints with --json."""
    env = {"SEGUE_DATABASE_URL": segue.url, "SEGUE_APP": ""}
    done = CliRunner().invoke(command_line, [*words, "--json"], env=env, prog_name="segue")
    assert done.exit_code == 0, done.output
    return json.decode(done.stdout)


def test_views_are_what_the_command_line_prints(segue: Segue) -> None:
    run = segue.start(takings, [1, -2], key="day", tags=["a"], metadata={"password": "hunter2", "n": 3})
    work_run(segue.engine, run.id)
    segue.start(approved, 3.0)
    segue.schedules.create("daily", takings, [1], schedule="@daily", timezone="Europe/Paris")
    segue.limits.set("queue:net", concurrency=3)
    segue.retention.set("shop.takings", max_age=timedelta(days=2))
    segue.subscriptions.add("ops", events=["run.failed"], to="https://example.org/x?token=secret")
    run.cancel(reason="late")
    web = client(segue)
    for path, words in (
        (f"/runs/{run.id}", None),
        ("/approvals", ["approvals"]),
        (f"/runs/{run.id}/explain", ["explain", run.id]),
        ("/schedules", ["schedules", "list"]),
        ("/schedules/daily", ["schedules", "show", "daily"]),
        ("/schedules/daily/next", ["schedules", "next", "daily"]),
        ("/limits", ["limits", "list", "--shares"]),
        ("/retention", ["retention", "list"]),
        ("/subscriptions", ["subscriptions", "list"]),
        ("/workers", ["workers"]),
        ("/executors", ["executors"]),
        ("/definitions", ["definitions"]),
        ("/payloads", ["payloads", "count"]),
    ):
        answer = web.get(path)
        assert answer.status_code == 200, (path, answer.text)
        if words is not None:
            assert answer.json() == said(segue, *words), path
    shown = said(segue, "show", run.id, "--attempts")
    assert web.get(f"/runs/{run.id}").json() == shown["run"]
    assert shown["run"]["metadata"] == {"password": "***", "n": 3}
    steps = [{name: value for name, value in step.items() if name != "checkpoints"} for step in shown["steps"]]
    assert web.get(f"/runs/{run.id}/steps").json() == {"items": steps, "next": None}
    assert web.get(f"/runs/{run.id}/attempts").json() == shown["attempts"]
    assert web.get(f"/runs/{run.id}/events").json()["items"] == shown["events"]
    assert web.get("/events").json()["items"] == said(segue, "events")
    assert web.get("/runs").json()["items"] == [
        {name: value for name, value in each.items() if name != "counts"} for each in said(segue, "runs")
    ]
    [step] = said(segue, "show", run.id, "--step", "price[0]")["steps"]
    assert web.get(f"/runs/{run.id}/steps/price[0]").json() == step
    assert web.get(f"/runs/{run.id}/steps/{step['step']}").json() == step


def test_a_question_that_takes_too_long_is_ended(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    web = client(segue)
    assert web.get("/runs").status_code == 200
    slow = {
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1e9) SELECT max(i) FROM n",
        "postgres": "SELECT pg_sleep(30)",
    }

    def workers() -> list[Any]:
        with segue.engine.reading() as tx:
            ask(tx, slow[segue.engine.store.dialect])
        return []

    monkeypatch.setattr(segue, "workers", workers)
    monkeypatch.setattr(brief, "SECONDS", 0.2)
    answer = web.get("/workers")
    assert (answer.status_code, answer.json()["code"]) == (503, "QueryTooBroad"), answer.text
    assert answer.headers["retry-after"] == "2"
    assert web.get("/runs").status_code == 200
    with segue.engine.store.reading_within(0.2), segue.engine.store.transaction() as tx:  # what writes is not bounded
        ask(tx, "SELECT 1")


def ask(tx: Any, statement: str) -> None:
    """A statement of no area."""
    if hasattr(tx, "_wire"):
        tx._wire.send(statement, ()).rows()
    else:
        tx._connection.execute(statement).fetchall()
