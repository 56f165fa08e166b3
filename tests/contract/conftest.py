"""The stage of every contract test: one empty database of each dialect, driven by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.acting import Stage


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    stage = Stage(database_url)
    yield stage
    assert stage.engine.broken_invariants() == []
    stage.close()
