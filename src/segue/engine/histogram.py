"""A histogram of durations: a few buckets, each about 1.4 times as long as the one before. Pure.

A bucket is a number. Bucket 0 is of durations below half a millisecond; bucket n ends at `ends_at(n)` seconds.
Histograms of different processes are added up, and quantiles are read from the sum, with an error of some ten percent.

Example::

    took: Histogram = {}
    add(took, 0.25)
    quantile(took, 0.95)  # about 0.25
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

Histogram = dict[int, int]

LAST = 62  # of durations of some ten days and more
_PER_SECOND = 2000.0
_HALF = math.sqrt(0.5)

_decoder = msgspec.json.Decoder(dict[int, int])


def bucket_of(seconds: float) -> int:
    """The bucket of a duration."""
    mantissa, exponent = math.frexp(seconds * _PER_SECOND)
    bucket = 2 * exponent - (mantissa <= _HALF)
    return 0 if bucket < 0 or seconds <= 0.0 else min(bucket, LAST)


def ends_at(bucket: int) -> float:
    """The longest duration of a bucket, in seconds."""
    return float(2.0 ** (bucket / 2) / _PER_SECOND)


def add(histogram: Histogram, seconds: float) -> None:
    """Count a duration."""
    bucket = bucket_of(seconds)
    histogram[bucket] = histogram.get(bucket, 0) + 1


def join(histogram: Histogram, other: Histogram) -> None:
    """Add another histogram to the first."""
    for bucket, count in other.items():
        histogram[bucket] = histogram.get(bucket, 0) + count


def quantile(histogram: Histogram, share: float) -> float | None:
    """The duration below which this share of all are, in seconds; None if nothing was counted."""
    total = sum(histogram.values())
    if not total:
        return None
    rank, passed = share * total, 0
    for bucket in sorted(histogram):
        count = histogram[bucket]
        if count and passed + count >= rank:
            begin = ends_at(bucket - 1) if bucket else 0.0
            return begin + (ends_at(bucket) - begin) * max(rank - passed, 0.0) / count
        passed += count
    return ends_at(max(histogram))


def encoded(histogram: Histogram) -> str:
    """A histogram as JSON."""
    return msgspec.json.encode(histogram).decode()


def decoded(text: Any) -> Histogram:
    """What `encoded` wrote; empty if it cannot be read, because one damaged row must not hide the others."""
    try:
        return {min(max(bucket, 0), LAST): max(count, 0) for bucket, count in _decoder.decode(text).items()}
    except (msgspec.MsgspecError, TypeError):
        return {}
