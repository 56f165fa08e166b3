"""Traces and metrics of steps that Dramatiq's workers run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from segue.loop.measuring import Ends
from segue.observing.metrics import registry
from segue.observing.metrics.meter import metering
from segue.observing.metrics.prometheus import PrometheusMeter
from segue.observing.tracing import flush, ids, install, uninstall
from tests.executors.dramatiq.conftest import Project, wait_until


@pytest.fixture
def memory() -> Iterator[InMemorySpanExporter]:
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    install(lambda: provider)
    yield memory
    uninstall()


def attempts_in(memory: InMemorySpanExporter, run_id: str) -> list[ReadableSpan]:
    spans = [
        span for span in memory.get_finished_spans() if span.context and span.context.trace_id == ids.trace_id(run_id)
    ]
    return [span for span in spans if span.attributes and "segue.attempt" in span.attributes]


def attribute(span: ReadableSpan, name: str) -> Any:
    return None if span.attributes is None else span.attributes.get(name)


def test_each_attempt_of_a_message_has_its_span(inner: Project, memory: InMemorySpanExporter, tmp_path: Path) -> None:
    run = inner.ended(inner.message("flaky", str(tmp_path / "tries"), 2) | inner.message("add", 1))
    wait_until(lambda: len(attempts_in(memory, run.id)) == 3)
    flush()
    first, second, last = sorted(attempts_in(memory, run.id), key=lambda span: span.start_time or 0)
    assert [attribute(span, "segue.attempt") for span in (first, second, last)] == [1, 2, 1]
    assert first.status.status_code is StatusCode.ERROR
    assert [link.context.span_id for link in second.links] == [ids.attempt_span_id(run.id, 0, 1)]
    assert {span.parent.span_id for span in (first, second, last) if span.parent} == {ids.run_span_id(run.id)}
    [root] = [span for span in memory.get_finished_spans() if span.name.startswith("run ")]
    assert root.context is not None
    assert root.context.span_id == ids.run_span_id(run.id)


def test_attempts_and_runs_are_counted(inner: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = PrometheusMeter()
    monkeypatch.setattr(metering, "meter", meter)
    with Ends(inner.segue.engine) as ends:
        run = inner.ended(inner.message("add", 1, 2))
        assert run.status == "succeeded"

        def attempts() -> float:
            ends.look()
            samples = [sample for family in meter.registry.collect() for sample in family.samples]
            counted = [s for s in samples if s.name == registry.ATTEMPTS.name and s.labels["outcome"] == "succeeded"]
            return sum(sample.value for sample in counted if sample.labels["task"].endswith("add"))

        wait_until(lambda: attempts() == 1)
        samples = [sample for family in meter.registry.collect() for sample in family.samples]
        assert [s.value for s in samples if s.name == registry.RUNS_ENDED.name] == [1]
