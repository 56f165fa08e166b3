"""Switches tracing on."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from segue.errors import ConfigError
from segue.observing.extensions import extensions
from segue.observing.tracing.switch import tracing

NAME = "tracing"
VARIABLE = "SEGUE_TRACE"
NEW, SAME = "new", "same"


def install(make_provider: Callable[[], Any] | None = None, *, trace: str | None = None) -> None:
    """Trace runs and attempts in this process and in the children of its pools.

    Call it in the module of your tasks, and in programs that start runs. `make_provider` returns a TracerProvider of
    OpenTelemetry's SDK; it is called once in each process that needs one, children of the pool included. Without it,
    the global provider is used. `trace` is `new`, so that each run has a trace of its own, or `same`, so that it
    continues the one that is current at its start; without it, SEGUE_TRACE says so. All processes must say the same.

    Raises ConfigError for another word, or if opentelemetry-api is not installed. Calling it again replaces what was
    there. Example::

        def provider() -> TracerProvider:
            made = TracerProvider(resource=Resource.create({"service.name": "shop"}))
            made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            return made

        install(provider)
    """
    word = trace or os.environ.get(VARIABLE) or NEW
    if word not in (NEW, SAME):
        raise ConfigError(f"{VARIABLE}={word!r} is not a choice. Write {NEW} or {SAME}.")
    try:
        from segue.observing.tracing.spans import OtelSpans  # noqa: PLC0415 - an optional library
    except ImportError as error:
        raise ConfigError("Traces need opentelemetry-api. Install it: pip install 'segue[otel]'.") from error
    spans = OtelSpans(make_provider, reads_traces=word == SAME)
    extensions.around[NAME] = spans.attempt
    extensions.ended[NAME] = spans.ended
    extensions.flushes[NAME] = spans.flush
    tracing.spans = spans


def uninstall() -> None:
    """Trace no more in this process."""
    extensions.detach(NAME)
    tracing.spans = None


def flush() -> None:
    """Write the spans of runs that have ended, and send all that waits; without tracing, do nothing.

    Segue does it when a process that runs attempts ends. This is for scripts and tests. It waits for some seconds.
    """
    extensions.flush()
