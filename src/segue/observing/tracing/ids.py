"""The ids of traces and spans, made of those of runs and attempts. Pure.

So each process knows them without asking: an attempt knows its run's span, which is written when the run ends, and the
span of the attempt before. They are hashes, because samplers decide by the last bytes of a trace's id, and those of a
run's id are not evenly distributed.
"""

from __future__ import annotations

from hashlib import blake2b

TRACE_BYTES, SPAN_BYTES = 16, 8


def trace_id(run_id: str) -> int:
    """The trace of a run."""
    return _hashed(f"trace:{run_id}", TRACE_BYTES)


def run_span_id(run_id: str) -> int:
    """The span of a run, the root of its trace."""
    return _hashed(f"run:{run_id}", SPAN_BYTES)


def attempt_span_id(run_id: str, step: int, attempt: int) -> int:
    """The span of an attempt."""
    return _hashed(f"attempt:{run_id}:{step}:{attempt}", SPAN_BYTES)


def _hashed(text: str, length: int) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=length).digest()) or 1  # 0 stands for no id
