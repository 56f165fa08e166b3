"""Tasks of traced workers. Each process writes its spans as lines into a file of the folder that TRACE_FOLDER names."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from segue import chain, current, shell, task, workflow
from segue.observing import tracing

FOLDER = "TRACE_FOLDER"


class FileExporter(SpanExporter):
    """Writes spans as JSON lines."""

    def __init__(self, folder: str) -> None:
        self._path = Path(folder) / f"{os.getpid()}.jsonl"

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._path.open("a") as file:
            for span in spans:
                file.write(json.dumps({**json.loads(span.to_json()), "pid": os.getpid()}) + "\n")
        return SpanExportResult.SUCCESS


def provider() -> TracerProvider:
    """Made in each process: its exporter has a thread, which no fork would have."""
    made = TracerProvider(shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(FileExporter(os.environ[FOLDER]), schedule_delay_millis=100))
    return made


if FOLDER in os.environ:
    tracing.install(provider)


@task
def parse(number: int) -> str | None:
    with trace.get_tracer("of the user").start_as_current_span("their own"):
        logging.getLogger("tracing_tasks").info("parsing")
    return current().traceparent


@task(retries=1, retry_delay=0.05)
def flaky(seen: list[str]) -> list[str]:
    if current().failures == 0:
        raise ValueError("not yet")
    return seen


@task(transactional=True)
def book(connection: object, seen: list[str]) -> list[str]:
    return seen


@workflow
def traced(size: int) -> object:
    return book(flaky(parse.map(range(size))))


@workflow
def in_a_shell() -> object:
    return chain(shell.s("echo $TRACEPARENT"))


@workflow
def failing() -> object:
    return refused("sesame")


@task
def refused(word: str) -> None:
    raise LookupError(f"password={word}")
