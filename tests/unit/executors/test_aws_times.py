"""Whose clock says how old a job is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from segue.executors.aws import tasks
from segue.executors.aws.clients import ahead_of_us


def test_times_are_amazons() -> None:
    """The clock of a dispatcher may be wrong by hours; jobs must not end for it."""
    later = format_datetime(datetime.now(UTC) + timedelta(hours=2))
    answer = {"ResponseMetadata": {"HTTPHeaders": {"date": later}}}
    assert ahead_of_us(answer, 0.0) == pytest.approx(7200, abs=5)
    for odd in ({}, None, {"ResponseMetadata": {"HTTPHeaders": {"date": "?"}}}):
        assert ahead_of_us(odd, 7.0) == 7.0
    named = {"name": tasks.TIMEOUT, "value": "a while"}
    assert tasks.timeout_in({"overrides": {"containerOverrides": [{"environment": [named]}]}}) is None
