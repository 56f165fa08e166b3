"""Spans of starts, attempts and runs, on both databases, with a provider that keeps them in memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode

from segue import Segue, current, task
from segue.attempt.runner import run_job, run_job_async
from segue.errors import ConfigError, Skip
from segue.model import Job, Verdict
from segue.observing.tracing import flush, ids, install, uninstall
from segue.observing.tracing.spans import FIRST_OF_GROUP, MOST_SPANS
from segue.observing.tracing.switch import tracing
from tests.contract.stage import Stage, failed, node, plan, succeeded


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


@pytest.fixture
def memory() -> InMemorySpanExporter:
    return InMemorySpanExporter()


Trace = Callable[..., TracerProvider]


@pytest.fixture
def traced(memory: InMemorySpanExporter) -> Iterator[Trace]:
    """Switches tracing on; returns the provider."""

    def on(*, trace: str = "new", sampler: Sampler | None = None) -> TracerProvider:
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(memory))
        install(lambda: provider, trace=trace)
        return provider

    yield on
    uninstall()


def named(memory: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    flush()
    return {span.name: span for span in memory.get_finished_spans()}


def span_id(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


def trace_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.trace_id


@task(name="tracing.says")
def says(what: str) -> str | None:
    if what == "skip":
        raise Skip("not today")
    if what == "fail":
        raise LookupError(f"token={what}")
    return current().traceparent


@task(name="tracing.awaits")
async def awaits() -> str | None:
    await asyncio.sleep(0)
    return current().traceparent


def job(what: str = "ok", *, step: int = 0, name: str = "says", attempt: int = 1, **fields: Any) -> Job:
    run_id = "01a1fc28-9888-71dc-81c8-a4c2cf7f2c17"
    return Job(run_id, step, attempt, name, "tracing.says", f'[["{what}"],{{}}]', None, {}, None, **fields)


def test_the_start_is_in_the_callers_trace_and_the_run_in_its_own(
    stage: Stage, traced: Trace, memory: InMemorySpanExporter
) -> None:
    provider = traced()
    with provider.get_tracer("caller").start_as_current_span("request") as request:
        run_id = stage.start(plan(node("a"), name="nightly"), key="k")
    [claimed] = stage.claim()
    assert claimed.trace is None  # it is not asked for
    stage.advance(5)
    stage.turn(succeeded(claimed))
    spans = named(memory)
    start, run = spans["start nightly"], spans["run nightly"]
    assert start.kind is SpanKind.PRODUCER
    assert start.parent is not None
    assert start.parent.span_id == request.get_span_context().span_id
    assert trace_of(run) == ids.trace_id(run_id) != trace_of(start)
    assert (span_id(run), run.parent) == (ids.run_span_id(run_id), None)
    assert [link.context.span_id for link in run.links] == [span_id(start)]
    assert [link.context.span_id for link in start.links] == [span_id(run)]
    assert run.attributes == {
        "segue.run.id": run_id, "segue.workflow": "nightly", "segue.run.key": "k",
        "segue.run.status": "succeeded", "segue.run.steps": 1,
    }  # fmt: skip
    assert run.start_time is not None
    assert run.end_time is not None
    assert 5.0 <= (run.end_time - run.start_time) / 1e9 < 6.0


def test_with_same_the_run_is_inside_the_callers_trace(
    stage: Stage, traced: Trace, memory: InMemorySpanExporter
) -> None:
    provider = traced(trace="same")
    with provider.get_tracer("caller").start_as_current_span("request") as request:
        run_id = stage.start(plan(node("a"), name="nightly"))
    [claimed] = stage.claim()
    spans = named(memory)
    start = spans["start nightly"]
    assert claimed.trace == f"00-{trace_of(start):032x}-{span_id(start):016x}-01"
    run_job(job(step=0, trace=claimed.trace))
    stage.turn(failed(claimed))
    spans = named(memory)
    run = spans["run nightly"]
    assert {trace_of(span) for span in spans.values()} == {request.get_span_context().trace_id}
    assert run.parent is not None
    assert (run.parent.span_id, span_id(run)) == (span_id(start), ids.run_span_id(run_id))
    assert run.status.status_code is StatusCode.ERROR
    assert run.links == ()


def test_a_start_that_is_repeated_has_one_span_and_one_under_a_known_key_has_none(
    stage: Stage, traced: Trace, memory: InMemorySpanExporter
) -> None:
    traced()
    first = stage.start(plan(node("a"), name="nightly"), key="k")
    assert stage.start(plan(node("a"), name="nightly"), key="k") == first
    assert tracing.spans is not None
    tracing.spans.started(first, "nightly")  # the transaction was repeated
    assert [span.name for span in memory.get_finished_spans()] == ["start nightly"]


def test_an_attempt_knows_its_span_and_links_to_the_one_before(traced: Trace, memory: InMemorySpanExporter) -> None:
    traced()
    run_job(job("fail", queue="mail", waited=1.5))
    outcome = run_job(job(attempt=2))
    first, second = memory.get_finished_spans()
    run_id = job().run_id
    assert first.context is not None
    assert first.parent is not None
    assert (span_id(first), first.parent.span_id) == (ids.attempt_span_id(run_id, 0, 1), ids.run_span_id(run_id))
    assert outcome.result == f'"00-{ids.trace_id(run_id):032x}-{span_id(second):016x}-01"'
    assert [link.context.span_id for link in second.links] == [span_id(first)]
    assert (first.name, first.kind, first.status.status_code) == ("tracing.says", SpanKind.CONSUMER, StatusCode.ERROR)
    assert first.attributes is not None
    assert first.attributes["error.type"] == "LookupError"
    assert (first.attributes["segue.queue"], first.attributes["segue.wait_seconds"]) == ("mail", 1.5)
    assert not [name for name in first.attributes if name.startswith("messaging.")]
    [event] = first.events
    assert event.attributes is not None
    assert event.attributes["exception.message"] == "token=***"
    assert not otel.get_current_span().get_span_context().is_valid


def test_a_skip_is_no_error(traced: Trace, memory: InMemorySpanExporter) -> None:
    traced()
    assert run_job(job("skip")).verdict == Verdict.SKIPPED
    [span] = memory.get_finished_spans()
    assert (span.status.status_code, span.events) == (StatusCode.UNSET, ())


def test_an_async_task_has_its_span_on_a_shared_loop(traced: Trace, memory: InMemorySpanExporter) -> None:
    traced()

    async def both() -> list[str | None]:
        jobs = [Job(job().run_id, step, 1, "awaits", "tracing.awaits", "[[],{}]", None, {}, None) for step in (0, 1)]
        return [outcome.result for outcome in await asyncio.gather(*map(run_job_async, jobs))]

    results = asyncio.run(both())
    assert {text.split("-")[2] for text in results if text} == {
        f"{span_id(s):016x}" for s in memory.get_finished_spans()
    }


def test_messaging_attributes_are_there_if_they_are_wanted(
    traced: Trace, memory: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http,messaging")
    traced()
    run_job(job(queue="mail"))
    [span] = memory.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["messaging.system"] == "segue"
    assert span.attributes["messaging.message.id"] == f"{job().run_id}:0:1"


def test_a_large_run_has_spans_of_what_failed_and_of_the_first_of_each_group(
    traced: Trace, memory: InMemorySpanExporter
) -> None:
    provider = traced()
    run_job(job(step=MOST_SPANS - 1))
    run_job(job(step=MOST_SPANS, name=f"says[{FIRST_OF_GROUP - 1}]"))
    assert len(memory.get_finished_spans()) == 2
    outcome = run_job(job(step=MOST_SPANS, name=f"says[{FIRST_OF_GROUP}]"))
    assert outcome.result == f'"00-{ids.trace_id(job().run_id):032x}-{ids.run_span_id(job().run_id):016x}-00"'
    assert len(memory.get_finished_spans()) == 2
    run_job(job("fail", step=MOST_SPANS, name="says"))
    [*_, late] = memory.get_finished_spans()
    assert span_id(late) == ids.attempt_span_id(job().run_id, MOST_SPANS, 1)
    assert late.status.status_code is StatusCode.ERROR
    assert provider is not None


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_samplers_of_all_processes_decide_alike(traced: Trace, memory: InMemorySpanExporter, share: float) -> None:
    traced(sampler=ParentBased(TraceIdRatioBased(share)))
    runs = [f"01a1fc28-9888-71dc-81c8-{number:012x}" for number in range(200)]
    assert tracing.spans is not None
    for run_id in runs:
        run_job(Job(run_id, 0, 1, "says", "tracing.says", '[["ok"],{}]', None, {}, None))
    sampled = {trace_of(span) for span in memory.get_finished_spans()}
    flags = {ids.trace_id(run_id): tracing.spans.traceparent_of_run(run_id, None)[-2:] for run_id in runs}
    assert {trace_id for trace_id, flag in flags.items() if flag == "01"} == sampled
    assert abs(len(sampled) / len(runs) - share) < 0.15


def test_what_is_not_sampled_costs_the_run_nothing(stage: Stage, traced: Trace, memory: InMemorySpanExporter) -> None:
    traced(sampler=ALWAYS_OFF)
    stage.start(plan(node("a")))
    [claimed] = stage.claim()
    stage.turn(succeeded(claimed))
    assert named(memory) == {}


def test_a_broken_provider_breaks_no_work(
    stage: Stage, traced: Trace, caplog: pytest.LogCaptureFixture, memory: InMemorySpanExporter
) -> None:
    def broken() -> TracerProvider:
        raise RuntimeError("no collector")

    install(broken)
    try:
        run_id = stage.start(plan(node("a")))
        [claimed] = stage.claim()
        assert run_job(job()).verdict == Verdict.SUCCEEDED
        assert run_job(job("fail")).verdict == Verdict.FAILED
        stage.turn(succeeded(claimed))
        flush()
        assert stage.statuses(run_id) == {"a": "succeeded"}
        assert any("no collector" in record.getMessage() for record in caplog.records)
    finally:
        uninstall()


def test_a_fork_writes_its_own_spans(traced: Trace, memory: InMemorySpanExporter) -> None:
    made: list[int] = []

    def provider() -> TracerProvider:
        made.append(os.getpid())
        return TracerProvider(shutdown_on_exit=False)

    install(provider)
    try:
        run_job(job())
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            run_job(job())
            os.write(write, f"{made[-1]} {os.getpid()}".encode())
            os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        with os.fdopen(read) as pipe:
            assert pipe.read() == f"{child} {child}"
        assert made == [os.getpid()]
    finally:
        uninstall()


def test_inline_runs_are_traced_as_well(sqlite_url: str, traced: Trace, memory: InMemorySpanExporter) -> None:
    traced()
    with Segue(sqlite_url) as segue:
        said = segue.run(says, "ok")
    spans = named(memory)
    assert set(spans) == {"start tracing.says", "tracing.says", "run tracing.says"}
    assert said is not None
    assert said.split("-")[1] == f"{trace_of(spans['run tracing.says']):032x}"


def test_other_words_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGUE_TRACE", "mine")
    with pytest.raises(ConfigError, match="SEGUE_TRACE='mine' is not a choice"):
        install()
    assert tracing.spans is None


def test_without_tracing_there_is_no_span_and_no_traceparent() -> None:
    outcome = run_job(job())
    assert outcome.result == "null"
