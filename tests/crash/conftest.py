"""The ledger, and a worker that does not wait where it would only be polite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from segue import Segue
from segue.loop import pace
from tests.crash import crash_tasks
from tests.crash.booking_tasks import Bookings
from tests.crash.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    found = Ledger(tmp_path / "ledger")
    monkeypatch.setenv(crash_tasks.LEDGER, str(found.path))
    return found


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of this process come back at once after an error, and know soon that there is nothing left."""
    monkeypatch.setattr(pace, "LONGEST_BACK_OFF_SECONDS", 0.001)
    monkeypatch.setattr(pace, "TIMERS_SECONDS", 0.0)
    monkeypatch.setattr(pace, "TIMERS_APART_SECONDS", 0.0)


@pytest.fixture
def bookings(segue: Segue) -> Iterator[Bookings]:
    segue.upgrade()
    found = Bookings(segue.url)
    yield found
    found.close()
