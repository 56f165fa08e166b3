"""Whose clock says how old a job is, and what variables say of an attempt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from segue.dispatcher.protocol import Push
from segue.executors.aws import tasks
from segue.executors.aws.clients import ahead_of_us
from segue.executors.aws.requests import filled


def test_times_are_amazons() -> None:
    """The clock of a dispatcher may be wrong by hours; jobs must not end for it."""
    later = format_datetime(datetime.now(UTC) + timedelta(hours=2))
    answer = {"ResponseMetadata": {"HTTPHeaders": {"date": later}}}
    assert ahead_of_us(answer, 0.0) == pytest.approx(7200, abs=5)
    for odd in ({}, None, {"ResponseMetadata": {"HTTPHeaders": {"date": "?"}}}):
        assert ahead_of_us(odd, 7.0) == 7.0
    named = {"name": tasks.TIMEOUT, "value": "a while"}
    assert tasks.timeout_in({"overrides": {"containerOverrides": [{"environment": [named]}]}}) is None


def test_variables_and_parameters_name_the_attempt() -> None:
    push = Push("p", ("r1", 4, 2))
    given = {"TASK_ID": "{run}.{step}", "TRY": "{attempt} of {push}", "NUMBER": 7, "OTHER": "{x}"}
    assert filled(given, push) == {"TASK_ID": "r1.4", "TRY": "2 of p", "NUMBER": "7", "OTHER": "{x}"}
