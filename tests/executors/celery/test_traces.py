"""Spans of attempts that the children of a Celery worker run: in the trace of their run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from celery import chain

from segue.observing.tracing import ids
from tests.conftest import a_database
from tests.executors.celery.conftest import a_project, wait_until
from tests.system.tracing_tasks import FOLDER

Span = dict[str, Any]


def attempts_in(folder: Path) -> list[Span]:
    lines = [line for file in folder.glob("*.jsonl") for line in file.read_text().splitlines() if line.endswith("}")]
    return [span for span in map(json.loads, lines) if "segue.attempt" in span["attributes"]]


def test_each_attempt_has_its_span_in_the_trace_of_its_run(
    request: pytest.FixtureRequest, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with a_database("sqlite", request, tmp_path) as url, a_project(redis_url, url, tmp_path) as project:
        good = project.segue.start(chain(project.sig("add", 1, 2), project.sig("flaky", 1)))
        bad = project.segue.start(chain(project.sig("fail")))
        project.ended(good)
        project.ended(bad)
        wait_until(lambda: len(attempts_in(tmp_path)) >= 4)
        spans = attempts_in(tmp_path)
    mine = [span for span in spans if int(span["context"]["trace_id"], 16) == ids.trace_id(good.id)]
    assert {int(span["parent_id"], 16) for span in mine} == {ids.run_span_id(good.id)}
    assert sorted((span["attributes"]["segue.step"], span["attributes"]["segue.attempt"]) for span in mine)[0] == (0, 1)
    assert {span["attributes"]["segue.run.id"] for span in mine} == {good.id}
    [failed] = [span for span in spans if span["attributes"]["segue.run.id"] == bad.id]
    assert (failed["status"]["status_code"], failed["attributes"]["error.type"]) == ("ERROR", "ValueError")


def test_a_retry_is_known_although_instrumentation_nests_the_headers(
    request: pytest.FixtureRequest, redis_url: str, tmp_path: Path
) -> None:
    with a_database("sqlite", request, tmp_path) as url, a_project(redis_url, url, tmp_path) as project:
        flaky = project.sig("flaky", 1, 1).set(headers={"headers": {"sentry-trace": "1"}})
        run = project.ended(project.segue.start(chain(flaky)))
        assert (run.status, run.result()) == ("succeeded", [1, 1])
