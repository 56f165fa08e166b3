"""The contract of executors that are polled, at a real Grid Engine cluster."""

from __future__ import annotations

import pytest

from segue.testing import POLLED_CASES, PolledCase, check_polled
from tests.executors.grid_engine.conftest import Bench

pytestmark = pytest.mark.proof


@pytest.mark.parametrize("case", POLLED_CASES)
def test_contract(bench: Bench, case: PolledCase) -> None:
    check_polled(bench.segue, bench.executor, case, image="tool:1")
