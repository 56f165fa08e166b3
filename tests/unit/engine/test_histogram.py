"""Histograms of durations: every duration is in the bucket that includes it, and quantiles are near."""

from __future__ import annotations

import pytest

from segue.engine.histogram import LAST, Histogram, add, bucket_of, decoded, encoded, ends_at, join, quantile


@pytest.mark.parametrize("seconds", [0.0006, 0.001, 0.0123, 0.5, 1.0, 59.9, 3600.0, 500_000.0])
def test_a_duration_is_in_its_bucket(seconds: float) -> None:
    bucket = bucket_of(seconds)
    assert ends_at(bucket - 1) * 0.999 < seconds <= ends_at(bucket) * 1.001


def test_odd_durations() -> None:
    assert [bucket_of(seconds) for seconds in (-1.0, 0.0, 1e-9, 0.0004)] == [0, 0, 0, 0]
    assert bucket_of(1e12) == LAST


def test_quantiles_are_near() -> None:
    took: Histogram = {}
    for number in range(1, 1001):
        add(took, number / 1000)
    assert quantile(took, 0.5) == pytest.approx(0.5, rel=0.1)
    assert quantile(took, 0.95) == pytest.approx(0.95, rel=0.1)
    other: Histogram = {}
    for _ in range(9000):
        add(other, 0.01)
    join(took, other)
    assert quantile(took, 0.5) == pytest.approx(0.01, rel=0.4)
    assert quantile({}, 0.5) is None


def test_what_is_written_comes_back() -> None:
    took = {0: 3, 17: 2}
    assert decoded(encoded(took)) == took
    assert decoded("nonsense") == {}
    assert decoded(None) == {}
    assert decoded('{"900": 2, "-4": -1}') == {LAST: 2, 0: 0}
