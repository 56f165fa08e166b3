"""The HTTP API: what each operation does, on both databases, and that it answers what the command line prints."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner
from msgspec import json
from openapi_spec_validator import OpenAPIV31SpecValidator

from segue import Segue
from segue.authoring import declared
from segue.cli.root import segue as command_line
from segue.scheduler.debouncing import start_due_debounces
from segue.web import brief
from segue.web.openapi import document
from segue.web.operations import OPERATIONS
from segue.worker.inline import work_run
from tests.contract.web.asking import approved, client, price, takings

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
    assert web.get("/approvals").json() == {"items": said(segue, "approvals"), "next": None}
    assert web.get("/runs").json()["items"] == [
        {name: value for name, value in each.items() if name != "counts"} for each in said(segue, "runs")
    ]
    [step] = said(segue, "show", run.id, "--step", "price[0]")["steps"]
    assert web.get(f"/runs/{run.id}/steps/price[0]").json() == step
    assert web.get(f"/runs/{run.id}/steps/{step['step']}").json() == step


def test_lists_have_pages_without_gaps(segue: Segue) -> None:
    web = client(segue, "viewer")
    started = [segue.start(takings, [number]).id for number in range(7)]
    run = segue.start(takings, list(range(6)))
    for path, expected in (
        ("/runs?workflow=shop.takings&limit=3", [run.id, *reversed(started)]),
        (f"/runs/{run.id}/steps?limit=4", list(range(7))),
    ):
        found: list[Any] = []
        while True:
            answer = web.get(path)
            found += [each.get("id", each.get("step")) for each in answer.json()["items"]]
            if "next" not in answer.links:
                break
            path = str(httpx2.URL(str(answer.url)).join(answer.links["next"]["url"]))
            segue.start(price, 1)  # what comes meanwhile is in no later page
        assert found == expected
    assert [web.get(f"/runs?limit={limit}").status_code for limit in (0, 201, "x")] == [400, 400, 400]
    wrong = web.get("/runs?no_such_field=1").json()
    assert wrong["code"] == "InvalidQuery"
    assert "unknown field `no_such_field`. Known are: " in wrong["detail"]


def test_a_graph_has_pages_and_is_small_when_folded(segue: Segue) -> None:
    run = segue.start(takings, list(range(12)))
    work_run(segue.engine, run.id)
    api = client(segue)
    whole = api.get(f"/runs/{run.id}/graph").json()
    assert whole["next"] is None
    assert len(whole["nodes"]) == run.info().steps
    assert {target for _, target in whole["edges"]} <= {node["step"] for node in whole["nodes"]}
    nodes: list[Any] = []
    edges: list[Any] = []
    after: Any = -1
    while after is not None:
        found = api.get(f"/runs/{run.id}/graph", params={"after": after, "limit": 5}).json()
        nodes, edges, after = nodes + found["nodes"], edges + found["edges"], found["next"]
    assert (nodes, edges) == (whole["nodes"], whole["edges"])
    folded = api.get(f"/runs/{run.id}/graph/folded").json()
    assert sum(sum(step["counts"].values()) for step in folded["steps"]) == len(nodes)
    assert api.get(f"/runs/{run.id}/graph?limit=2001").status_code == 400
    assert api.get(f"/runs/{run.id}/graph/folded?open=-1").status_code == 400


def test_what_has_not_changed_is_not_sent_again(segue: Segue) -> None:
    web = client(segue)
    run = segue.start(takings, [1])
    for path in (f"/runs/{run.id}", f"/runs/{run.id}/steps/0"):
        tag = web.get(path).headers["etag"]
        same = web.get(path, headers={"if-none-match": f'"other", {tag}'})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    run.cancel()
    assert web.get(f"/runs/{run.id}", headers={"if-none-match": tag}).status_code == 200


def test_a_repeated_request_is_done_once(segue: Segue) -> None:
    web = client(segue)
    key = {"idempotency-key": "request-7"}
    for name in ("north", "south"):
        segue.schedules.create(name, takings.s([1]), schedule="@yearly")
    for path, body in (
        ("/runs", {"name": "takings", "args": [[1]]}),
        (f"/runs/{segue.start(takings, [1]).id}/fork", {"step": "0", "args": [5]}),
        ("/selections/apply", {"verb": "annotate", "workflow": "shop.takings", "tags": ["seen"]}),
        ("/schedules/north/run", {}),
        ("/schedules/south/run", {}),
        ("/schedules/south/run", {"key": "today"}),
    ):
        first, second = (web.post(path, json=body, headers=key).json() for _ in range(2))
        assert (first["is_new"], second["is_new"], first["id"]) == (True, False, second["id"]), (first, second)
    wait = segue.start(approved, 1.0)
    sent = [web.post(f"/runs/{wait.id}/send", json={"name": "approved", "value": 1}, headers=key) for _ in range(2)]
    assert [each.json()["is_new"] for each in sent] == [True, False]


def test_who_did_what_and_why_is_recorded(segue: Segue) -> None:
    web = client(segue)
    made = web.post("/runs", json={"name": "takings", "args": [[1]]}).json()
    assert made["started_by"] == "ann"
    web.post(f"/runs/{made['id']}/pause", json={"reason": "lunch"})
    segue.schedules.create("daily", takings, [1], schedule="@daily")
    web.post("/schedules/daily/deactivate", json={"reason": "holidays"})
    web.put("/limits/queue:net", json={"concurrency": 3, "reason": "slow"})
    said = {each["kind"]: each["detail"] for each in web.get("/events").json()["items"]}
    for kind, reason in (("run.paused", "lunch"), ("schedule.deactivated", "holidays"), ("limit.set", "slow")):
        assert (said[kind]["actor"], said[kind]["reason"]) == ("ann", reason)


def test_work_of_other_code_is_started_by_name(segue: Segue) -> None:
    """A server without the code: what workers define is known by name, and is called by one of them."""
    segue.publish_definitions()
    web = client(segue)
    body = {"name": "shop.takings", "args": [[1, 2]], "key": "day", "tags": ["a"], "metadata": {"n": 1}, "deadline": 60}
    known = [declared.tasks, declared.workflows]
    hidden = [{name: kind.pop(name) for name in list(kind) if name.startswith("shop.")} for kind in known]
    try:
        made = web.post("/runs", json=body)
        assert (made.status_code, made.json()["status"], made.json()["steps"]) == (201, "pending", 0), made.text
        again = web.post("/runs", json=body).json()
        assert (again["id"], again["is_new"]) == (made.json()["id"], False)
        id_ = made.json()["id"]
        assert web.get(f"/runs/{id_}/explain").json()["reasons"][0]["code"] == "deferred"
        assert start_due_debounces(segue.engine) == 0  # this process cannot call it
        price_run = web.post("/runs", json={"name": "price", "args": [4], "kwargs": {"factor": 2.5}}).json()["id"]
        cancelled = web.post("/runs", json={"name": "takings", "args": [[1]]}).json()["id"]
        far = {"name": "takings", "args": [[1]], "run_at": "2030-01-01T00:00:00Z"}
        later = web.post("/runs", json=far).json()["id"]
        wrong = web.post("/runs", json={"name": "takings", "args": [[1], 2]})
        assert (wrong.status_code, wrong.json()["problems"][0]["node"]) == (422, "shop.takings")
        bad = web.post("/runs", json={"name": "price", "args": ["no number"]}).json()["id"]
        assert web.post("/runs", json={"name": "takeings"}).status_code == 404
        segue.get(cancelled).cancel()
    finally:
        for kind, found in zip(known, hidden, strict=True):
            kind.update(found)
    while start_due_debounces(segue.engine):
        pass
    for run_id in (id_, price_run):
        work_run(segue.engine, run_id)
    info = segue.get(id_).info()
    assert (segue.get(id_).result(), info.steps, info.key, info.tags) == (4.5, 3, "day", ("a",))
    assert (info.metadata, info.started_by) == ({"n": 1}, "ann")
    assert (segue.get(price_run).result(), segue.get(price_run).info().workflow) == (10.0, "shop.price")
    assert (segue.get(cancelled).status, segue.get(cancelled).info().steps) == ("cancelled", 0)
    [reason] = segue.get(later).explain()
    assert (segue.get(later).status, reason.code, reason.text[:9]) == ("pending", "deferred", "begins at")
    assert segue.get(bad).status == "failed"
    assert segue.engine.broken_invariants() == []


@pytest.mark.parametrize(
    "body", [{"name": "segue.shell", "args": ["id"]}, {"name": "shell", "args": ["id"]}, {"name": "segue.bulk"}]
)
def test_own_tasks_are_not_started(segue: Segue, body: dict[str, Any]) -> None:
    answer = client(segue).post("/runs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (403, "OwnTask")
    assert client(segue, "operator", allow_shell=True).post("/runs", json=body).status_code == 403
    assert segue.runs() == []


def test_odd_bodies_are_refused(segue: Segue) -> None:
    web = client(segue)
    kind = {"content-type": "application/json"}
    for content, status in (
        (b"[" * 65 + b"]" * 65, 422), (b'{"name": "takings", "args": ' + b"[" * 100_000, 422), (b"{", 422),
        (b"\xff", 422),
        (b'{"name": "takings", "nonsense": 1}', 422), (b'{"name": 7}', 422), (b'"x"', 422), (b"x" * 2_000_000, 413),
        (b'{"name": "tak\\u0000ings"}', 400), (b'{"name": "takings", "key": "\\ud800"}', 422),
        (b'{"name": "takings", "args": [[1]], "key": "' + b"k" * 5000 + b'"}', 422),
    ):  # fmt: skip
        answer = web.post("/runs", content=content, headers=kind)
        assert answer.status_code == status, (content[:60], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    assert web.post("/runs", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert (
        web.post("/runs", content=b'{"name": "price", "args": ["[[[[' + b"[" * 200 + b'"]}', headers=kind).status_code
        != 500
    )
    assert segue.runs(workflow="shop.takings") == []


def test_a_run_is_followed(segue: Segue) -> None:
    web = client(segue, "viewer")
    run = segue.start(takings, [1])
    work_run(segue.engine, run.id)
    lines = web.get(f"/runs/{run.id}/follow")
    assert lines.headers["content-type"].startswith("application/x-ndjson")
    [line] = lines.text.splitlines()
    assert json.decode(line) == said(segue, "show", run.id, "--follow")
    events = web.get(f"/runs/{run.id}/follow", headers={"accept": "text/event-stream"})
    assert events.text == f"data: {line}\n\n"


def test_the_document_is_valid() -> None:
    OpenAPIV31SpecValidator(document()).validate()
    names = [each["operationId"] for path in document()["paths"].values() for each in path.values()]
    assert sorted(names) == sorted(OPERATIONS)


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
