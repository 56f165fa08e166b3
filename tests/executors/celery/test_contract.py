"""The contract of callback executors, on Celery: real workers, and messages that a driver holds, copies and loses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from segue.testing import CASES, Situation, check, check_storm
from tests.conftest import a_database
from tests.executors.celery.driver import ENDS, CeleryDriver
from tests.thorough import IS_THOROUGH

UNREPORTED_BEGINS = {(Situation.SENT_AND_PAUSED, event) for event in ENDS}
"""Cases in which a message began before the pause, and no report of that came: these workers ask before they begin."""

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


def test_every_event_in_every_situation(driver: CeleryDriver) -> None:
    """In one test: each process that shares the suite would start workers of its own for a part of them."""
    for situation, event in CASES:
        if (situation, event) not in UNREPORTED_BEGINS:
            check(driver, driver, situation, event)
            driver.let_go()


@pytest.mark.parametrize("seed", SEEDS)
def test_any_events_in_any_order_end_well(driver: CeleryDriver, seed: int) -> None:
    check_storm(driver, driver, seed, events=60 if IS_THOROUGH else 15)
    driver.let_go()
