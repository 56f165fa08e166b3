"""The provider of this process, and ids for its spans that are known beforehand."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Tracer, get_tracer_provider

from segue.version import __version__

FLUSH_MILLISECONDS = 1500
"""The longest that the end of a process waits for its spans to be sent. A child of a pool has 2 seconds to end."""

_wanted: ContextVar[tuple[int, int] | None] = ContextVar("segue_wanted_span", default=None)


class GivenIds:
    """Gives a span the ids that `wanted` names; otherwise those of the generator that the user chose."""

    def __init__(self, others: Any) -> None:
        self._others = others

    def generate_trace_id(self) -> int:
        """The trace of the next span that has no parent."""
        wanted = _wanted.get()
        return int(self._others.generate_trace_id()) if wanted is None else wanted[0]

    def generate_span_id(self) -> int:
        """The id of the next span."""
        wanted = _wanted.get()
        return int(self._others.generate_span_id()) if wanted is None else wanted[1]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._others, name)


@contextmanager
def wanted(trace_id: int, span_id: int) -> Iterator[None]:
    """A span that is begun in the block has these ids, if the provider is that of OpenTelemetry's SDK."""
    token = _wanted.set((trace_id, span_id))
    try:
        yield
    finally:
        _wanted.reset(token)


class Providing:
    """The provider, made once in each process, also after a fork."""

    def __init__(self, make: Callable[[], Any] | None) -> None:
        self._make = make
        self._made: tuple[int, Any] | None = None
        self._tracer: tuple[Any, Tracer] | None = None

    @property
    def provider(self) -> Any:
        """The provider. Raises what the user's function raises."""
        if self._make is None:
            return get_tracer_provider()
        if self._made is None or self._made[0] != os.getpid():
            self._made = (os.getpid(), self._make())
            atexit.register(self.flush)
        return self._made[1]

    @property
    def tracer(self) -> Tracer:
        """Segue's tracer of it."""
        provider = self.provider
        if self._tracer is None or self._tracer[0] is not provider:
            generator = getattr(provider, "id_generator", None)
            if generator is not None and not isinstance(generator, GivenIds):
                provider.id_generator = GivenIds(generator)
            self._tracer = (provider, provider.get_tracer("segue", __version__))
        return self._tracer[1]

    def samples(self, trace_id: int, name: str) -> bool:
        """Whether its sampler would take a new trace with this id; true if that cannot be asked."""
        sampler = getattr(self.provider, "sampler", None)
        if sampler is None:
            return True
        return bool(sampler.should_sample(Context(), trace_id, name).decision.is_sampled())

    def flush(self) -> None:
        """Send what is left, if there is a provider that can."""
        with suppress(Exception):
            provider = self.provider if self._make is None or self._made is not None else None
            force = getattr(provider, "force_flush", None)
            if force is not None:
                force(FLUSH_MILLISECONDS)
