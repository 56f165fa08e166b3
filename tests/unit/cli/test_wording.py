"""Durations, counts and glyphs read well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from segue.cli.wording import GLYPHS, STYLES, counts_text
from segue.client.wording import ORDER, counted
from segue.config import without_password
from segue.model import RunStatus, StepStatus
from segue.times import ago, duration

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0.0, "<0.1 ms"),
        (0.0023, "2.3 ms"),
        (0.0499, "50 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (2 * 86400 + 3 * 3600, "2 d 3 h"),
        (900 * 86400, "900 d"),
    ],
)
def test_durations_never_jump_a_unit(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0, "just now"),
        (30, "30 s ago"),
        (90, "1 min ago"),
        (7200, "2 h ago"),
        (3 * 86400, "3 d ago"),
        (-600, "in 10 min"),
    ],
)
def test_moments_are_told_as_seen_from_now(seconds: int, words: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == words


def test_one_is_singular() -> None:
    assert [counted(number, "step") for number in (0, 1, 2000)] == ["0 steps", "1 step", "2,000 steps"]
    assert counted(2, "retry", "retries") == "2 retries"


def test_every_status_has_a_glyph_a_colour_and_a_place() -> None:
    statuses = {status.value for kind in (StepStatus, RunStatus) for status in kind}
    assert statuses <= GLYPHS.keys()
    assert statuses <= STYLES.keys()
    assert statuses == set(ORDER)


def test_counts_leave_out_what_is_not_there() -> None:
    assert counts_text({"ready": 33, "succeeded": 1700, "failed": 0}).plain == "1,700 succeeded, 33 ready"


def test_passwords_are_not_shown() -> None:
    assert without_password("postgresql://me:secret@host:5432/db") == "postgresql://me:***@host:5432/db"
    assert without_password("sqlite:///segue.db") == "sqlite:///segue.db"
