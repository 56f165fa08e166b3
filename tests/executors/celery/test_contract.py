"""The contract of callback executors, on Celery: real workers, and messages that a driver holds, copies and loses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from segue.testing import CASES, Situation, check, check_storm
from tests.executors.celery.conftest import a_database
from tests.executors.celery.driver import CeleryDriver
from tests.thorough import IS_THOROUGH

SEEDS = range(10 if IS_THOROUGH else 1)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def driver(
    request: pytest.FixtureRequest, own_redis_of_module: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CeleryDriver]:  # fmt: skip
    folder = tmp_path_factory.mktemp("contract")
    with a_database(request.param, request, folder) as url:
        driver = CeleryDriver(own_redis_of_module, url, folder)
        yield driver
        driver.close()


@pytest.mark.parametrize("situation", Situation)
def test_every_event_in_every_situation(driver: CeleryDriver, situation: Situation) -> None:
    for case, event in CASES:
        if case is situation:
            check(driver, driver, situation, event)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_events_in_any_order_end_well(driver: CeleryDriver, seed: int) -> None:
    check_storm(driver, driver, seed, events=60 if IS_THOROUGH else 15)
