"""Traces across real processes: one for each run, whoever starts it and whichever workers run it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from segue import Segue
from segue.observing.tracing import ids
from tests.system import tracing_tasks
from tests.system.cli_tasks import PATIENCE_SECONDS
from tests.system.test_cli_processes import Spawn, finish, spawning
from tests.system.test_health import ready

Span = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(tracing_tasks.FOLDER, str(tmp_path))
    return tmp_path


@pytest.fixture
def spawn(database_url: str, folder: Path) -> Iterator[Spawn]:
    with spawning(database_url) as start:
        yield start


def spans_in(folder: Path) -> list[Span]:
    return [json.loads(line) for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]


def of(span: Span) -> tuple[int, int]:
    return int(span["context"]["trace_id"], 16), int(span["context"]["span_id"], 16)


def test_a_run_is_one_trace_across_two_workers(database_url: str, spawn: Spawn, folder: Path) -> None:
    workers = [
        ready(spawn("worker", "-A", tracing_tasks.__name__, "-c", "2", "--log-format", "json")) for _ in range(2)
    ]
    with Segue(database_url) as segue:
        run = segue.start(tracing_tasks.traced, 6)
        assert run.wait(timeout=PATIENCE_SECONDS).status == "succeeded"
        seen = run.result()
    logs = []
    for worker in workers:
        worker.terminate()
        logs += [json.loads(line) for line in finish(worker)[1].splitlines() if line.startswith("{")]
    spans = spans_in(folder)
    trace = ids.trace_id(run.id)
    assert {of(span)[0] for span in spans} == {trace}
    [root] = [span for span in spans if span["parent_id"] is None]
    assert root["name"] == f"run {tracing_tasks.traced.name}"
    assert of(root)[1] == ids.run_span_id(run.id)
    assert root["attributes"]["segue.run.status"] == "succeeded"
    attempts = [span for span in spans if span["kind"] == "SpanKind.CONSUMER"]
    assert {int(span["parent_id"], 16) for span in attempts} == {ids.run_span_id(run.id)}
    assert sorted(span["name"].rpartition(".")[2] for span in attempts) == ["book", "flaky", "flaky"] + ["parse"] * 6
    assert len({span["pid"] for span in attempts}) >= 2
    assert {f"00-{trace:032x}-{of(span)[1]:016x}-01" for span in attempts if "parse" in span["name"]} == set(seen)
    first, second = sorted(
        (span for span in attempts if span["name"].endswith("flaky")),
        key=lambda span: span["attributes"]["segue.attempt"],
    )
    assert (first["status"]["status_code"], first["attributes"]["error.type"]) == ("ERROR", "ValueError")
    assert [int(link["context"]["span_id"], 16) for link in second["links"]] == [of(first)[1]]
    assert all(span["attributes"]["segue.wait_seconds"] >= 0 for span in attempts)
    said = [line for line in logs if line["logger"] == "tracing_tasks"]
    assert len(said) == 6
    own = {span["context"]["span_id"] for span in spans if span["name"] == "their own"}
    assert not own, "the user's own provider is the global one, which was not set"
    assert {line["trace_id"] for line in said} == {f"{trace:032x}"}
    assert {int(line["span_id"], 16) for line in said} == {of(span)[1] for span in attempts if "parse" in span["name"]}


def test_a_failed_run_says_so_without_secrets_and_a_shell_has_the_span(
    database_url: str, spawn: Spawn, folder: Path
) -> None:
    worker = ready(spawn("worker", "-A", tracing_tasks.__name__, "-c", "1"))
    with Segue(database_url) as segue:
        failed, in_shell = segue.start(tracing_tasks.failing), segue.start(tracing_tasks.in_a_shell)
        assert failed.wait(timeout=PATIENCE_SECONDS).status == "failed"
        in_shell.wait(timeout=PATIENCE_SECONDS)
        shown = in_shell.result()["output"].strip()

    worker.terminate()
    finish(worker)
    spans = spans_in(folder)
    roots = {of(span)[0]: span for span in spans if span["parent_id"] is None}
    root = roots[ids.trace_id(failed.id)]
    assert root["status"] == {"status_code": "ERROR", "description": "LookupError"}
    assert root["attributes"]["error.type"] == "LookupError"
    assert "sesame" not in json.dumps(spans)
    [attempt] = [span for span in spans if span["name"] == "segue.shell"]
    assert shown == f"00-{of(attempt)[0]:032x}-{of(attempt)[1]:016x}-01"
