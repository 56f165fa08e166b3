"""`Retry`: a time that makes sense is kept in seconds, and anything else is refused where it is raised."""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from segue.authoring import task
from segue.authoring.task import is_retryable
from segue.errors import LONGEST_SECONDS, DefinitionError, Retry


@task(retry_on=OSError)
def choosy() -> None: ...


@pytest.mark.parametrize(
    "after, seconds",
    [
        (None, None), (0, 0.0), (30, 30.0), (1.5, 1.5), (Decimal("1.5"), 1.5), (Fraction(3, 2), 1.5),
        (timedelta(minutes=1), 60.0), (-5, 0.0), (timedelta(seconds=-1), 0.0), (-1e300, 0.0),
    ],
)  # fmt: skip
def test_a_time_of_any_kind_is_seconds(after: Any, seconds: float | None) -> None:
    assert Retry("busy", after=after).after == seconds


@pytest.mark.parametrize(
    "after",
    [
        math.nan, math.inf, -math.inf, 1e12, LONGEST_SECONDS, 10**5000, timedelta.max, Decimal("NaN"), Decimal("sNaN"),
        Decimal("1e400"), "30", b"30", True, [30], object(), 1j,
    ],
    ids=lambda after: type(after).__name__,
)  # fmt: skip
def test_what_cannot_be_waited_for_is_refused(after: Any) -> None:
    with pytest.raises(DefinitionError, match=r"^Retry\(after=.*give seconds as a number .* or a timedelta") as caught:
        Retry("busy", after=after)
    assert len(str(caught.value)) < 300
    assert is_retryable(choosy, caught.value)  # to be tried again is what the task asked for
