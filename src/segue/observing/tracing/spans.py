"""The spans of runs and attempts.

    start WORKFLOW   in the trace of the process that starts a run; linked to the run
    run WORKFLOW     the root of the run's own trace, from its creation to its end; linked to the start
    TASK             each attempt, a child of the run; linked to the attempt before

Promises: no error of a provider reaches the work; no span has arguments, results or secrets; a run has 2,000 spans of
attempts, and then only those that failed and the first of each group.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)

from segue.observing.extensions import AttemptFacts, EndedRun
from segue.observing.harmless_log import get_logger
from segue.observing.once import Once
from segue.observing.tracing import ids
from segue.observing.tracing.attempt_span import AttemptSpan
from segue.observing.tracing.provider import Providing, wanted

MOST_SPANS = 2000
"""The number of the step from which on attempts have no span of their own, unless they fail."""

FIRST_OF_GROUP = 20
"""Of each `map` and group, so many have one."""

REMEMBERED = 1000

logger = get_logger("segue.tracing")

_INDEX = re.compile(r"\[(\d+)\]")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED, _UNSAMPLED = TraceFlags(TraceFlags.SAMPLED), TraceFlags(TraceFlags.DEFAULT)


class OtelSpans:
    """Writes the spans of this process."""

    def __init__(self, make_provider: Callable[[], Any] | None, *, reads_traces: bool) -> None:
        self.reads_traces = reads_traces
        self._providing = Providing(make_provider)
        self._once = Once()
        self._started: OrderedDict[str, str | None] = OrderedDict()  # a start may be repeated
        self._ended: OrderedDict[tuple[str, Any], None] = OrderedDict()
        self._says_messaging = "messaging" in os.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").split(",")

    def started(self, run_id: str, workflow: str) -> str | None:
        """Write the span of a start. Returns it as text; None if nothing traces here."""
        if run_id not in self._started:
            text: str | None = None
            with self._harmless():
                links = [] if self.reads_traces else [Link(self._run_context(run_id, None))]
                attributes = {"segue.run.id": run_id, "segue.workflow": workflow}
                span = self._providing.tracer.start_span(
                    f"start {workflow}", kind=SpanKind.PRODUCER, attributes=attributes, links=links
                )
                span.end()
                text = _text(span.get_span_context())
            self._started[run_id] = text
            if len(self._started) > REMEMBERED:
                self._started.popitem(last=False)
        return self._started[run_id]

    def attempt(self, facts: AttemptFacts) -> AttemptSpan:
        """The span of an attempt, current in the block."""
        return AttemptSpan(lambda: self._begin(facts), lambda: self._begin_late(facts), facts.secrets, self._harmless)

    def failed(self, error_type: str, message: str) -> None:
        """Mark the current span."""
        with self._harmless():
            span = get_current_span()
            span.set_attribute("error.type", error_type)
            span.set_status(Status(StatusCode.ERROR, error_type))

    def traceparent(self) -> str | None:
        """The current span as text."""
        return _text(get_current_span().get_span_context())

    def traceparent_of_run(self, run_id: str, trace: str | None) -> str:
        """The span of a run as text."""
        return _text(self._run_context(run_id, trace)) or ""

    def ids(self) -> dict[str, str]:
        """The ids of the current span."""
        context = get_current_span().get_span_context()
        if not context.is_valid:
            return {}
        return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}

    def flush(self) -> None:
        """Send all."""
        self._providing.flush()

    # Attempts ---------------------------------------------------------------------------------------------------------

    def _begin(self, facts: AttemptFacts) -> tuple[Span, bool]:
        """The span, and whether it is one that says nothing: the run has enough of them."""
        parent = self._run_context(facts.run_id, facts.trace)
        if _is_left_out(facts):
            quiet = SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=_UNSAMPLED)
            return NonRecordingSpan(quiet), True
        return self._span_of(facts, parent), False

    def _begin_late(self, facts: AttemptFacts) -> Span:
        """The span of an attempt that was left out, and has failed."""
        return self._span_of(facts, self._run_context(facts.run_id, facts.trace))

    def _span_of(self, facts: AttemptFacts, parent: SpanContext) -> Span:
        run_id, step, attempt = facts.run_id, facts.step, facts.attempt
        links = []
        if attempt > 1:
            before = ids.attempt_span_id(run_id, step, attempt - 1)
            links = [Link(SpanContext(parent.trace_id, before, is_remote=True, trace_flags=parent.trace_flags))]
        with wanted(parent.trace_id, ids.attempt_span_id(run_id, step, attempt)):
            return self._providing.tracer.start_span(
                facts.task, context=set_span_in_context(NonRecordingSpan(parent)), kind=SpanKind.CONSUMER,
                attributes=self._attributes(facts), links=links,
            )  # fmt: skip

    def _attributes(self, facts: AttemptFacts) -> dict[str, Any]:
        found: dict[str, Any] = {
            "segue.run.id": facts.run_id, "segue.step": facts.step, "segue.step.name": facts.name,
            "segue.attempt": facts.attempt, "segue.task": facts.task,
        }  # fmt: skip
        if facts.queue:
            found["segue.queue"] = facts.queue
        if facts.waited is not None:
            found["segue.wait_seconds"] = facts.waited
        if self._says_messaging:
            found |= {
                "messaging.system": "segue", "messaging.operation.name": "process",
                "messaging.operation.type": "process", "messaging.destination.name": facts.queue,
                "messaging.message.id": f"{facts.run_id}:{facts.step}:{facts.attempt}",
                "messaging.message.conversation_id": facts.run_id,
            }  # fmt: skip
        return found

    # Runs -------------------------------------------------------------------------------------------------------------

    def _run_context(self, run_id: str, trace: str | None) -> SpanContext:
        """The span of a run, which is written when it ends, as the parent of its attempts."""
        span_id = ids.run_span_id(run_id)
        start = _context_of(trace) if self.reads_traces else None
        if start is not None:
            return SpanContext(start.trace_id, span_id, is_remote=True, trace_flags=start.trace_flags)
        trace_id = ids.trace_id(run_id)
        flags = _SAMPLED if self._providing.samples(trace_id, "run") else _UNSAMPLED
        return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)

    def ended(self, run: EndedRun) -> None:
        """Write the span of a run."""
        with self._harmless():
            self._write(run)

    def _write(self, run: EndedRun) -> None:
        if (run.run_id, run.finished_at) in self._ended:
            return
        self._ended[run.run_id, run.finished_at] = None
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        own, start = self._run_context(run.run_id, run.trace), _context_of(run.trace)
        is_inside = self.reads_traces and start is not None
        context = set_span_in_context(NonRecordingSpan(start), Context()) if is_inside and start else Context()
        with wanted(own.trace_id, own.span_id):
            span = self._providing.tracer.start_span(
                f"run {run.workflow}", context=context, attributes=_attributes_of(run),
                links=[Link(start)] if start is not None and not is_inside else [],
                start_time=_nanoseconds(run.created_at),
            )  # fmt: skip
        if run.status == "failed":
            span.set_status(Status(StatusCode.ERROR, run.error_type or "failed"))
        span.end(_nanoseconds(run.finished_at))

    def _harmless(self) -> _Harmless:
        return _Harmless(self._once)


class _Harmless(suppress):
    """Logs what a provider raises, once in a while, and goes on."""

    def __init__(self, once: Once) -> None:
        super().__init__(Exception)
        self._once = once

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        if isinstance(error, Exception) and self._once.is_news((kind, str(error)[:200])):
            logger.warning("a span cannot be written: %s", error, exc_info=error)
        return bool(super().__exit__(kind, error, trace))


def _attributes_of(run: EndedRun) -> dict[str, Any]:
    found: dict[str, Any] = {
        "segue.run.id": run.run_id, "segue.workflow": run.workflow, "segue.run.status": run.status,
        "segue.run.steps": run.steps,
    }  # fmt: skip
    if run.key is not None:
        found["segue.run.key"] = run.key
    if run.error_type is not None:
        found["error.type"] = run.error_type
    return found


def _is_left_out(facts: AttemptFacts) -> bool:
    if facts.step < MOST_SPANS:
        return False
    places = _INDEX.findall(facts.name)
    return not places or int(places[-1]) >= FIRST_OF_GROUP


def _text(context: SpanContext) -> str | None:
    if context is INVALID_SPAN_CONTEXT or not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & TraceFlags.SAMPLED:02x}"


def _context_of(text: str | None) -> SpanContext | None:
    """The span that a text names; None if it names none."""
    found = _TRACEPARENT.fullmatch(text or "")
    if found is None:
        return None
    trace, span, flags = (int(part, 16) for part in found.groups())
    context = SpanContext(trace, span, is_remote=True, trace_flags=TraceFlags(flags))
    return context if context.is_valid else None


def _nanoseconds(moment: Any) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000
