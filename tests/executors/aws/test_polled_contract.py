"""The contract of executors that are polled, at the stand-ins of AWS Batch and ECS."""

from __future__ import annotations

import pytest

from segue.testing import POLLED_CASES, PolledCase, check_polled
from tests.executors.aws.conftest import Bench


@pytest.mark.parametrize("case", POLLED_CASES)
def test_contract(bench: Bench, case: PolledCase) -> None:
    check_polled(bench.segue, bench.executor, case)
