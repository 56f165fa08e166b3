"""One database of each dialect for all examples of a test; each example empties it first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import Phase, settings

from tests.contract.stage import Stage

# For mutants.py: it is enough to know that an example fails, not which is the smallest.
settings.register_profile(
    "mutants", settings.get_profile("default"), max_examples=50, phases=[Phase.explicit, Phase.generate]
)


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    stage = Stage(database_url)
    yield stage
    stage.close()
