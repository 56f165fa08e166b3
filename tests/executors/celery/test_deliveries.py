"""Each message comes never, once, twice or three times: runs end right, and each success is recorded once."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from celery import Celery

from segue import Segue
from segue.executors.celery import plan_of
from tests.executors.celery.tallied import make_app, shapes
from tests.executors.celery.tallying import CeleryTallyingWorker
from tests.executors.celery.unsteady import TIMES, times_of
from tests.executors.tallies import read_ledger, wrongs
from tests.executors.tallying import Place
from tests.thorough import IS_THOROUGH

SECONDS = 100
SEEDS = range(6 if IS_THOROUGH else 1)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fence", ["suspect", pytest.param("always", marks=pytest.mark.proof)])
def test_messages_come_never_or_up_to_three_times(
    database_url: str, own_redis: str, tmp_path: Path, fence: str, seed: int
) -> None:
    place = Place(f"{own_redis}/0", f"{own_redis}/1", database_url, tmp_path, fence=fence)
    app: Celery = make_app(place.broker, place.backend, place.database, lease_seconds=place.lease_seconds, fence=fence)
    workers = [CeleryTallyingWorker(place, number, unsteady=f"seed {seed}") for number in range(2)]
    try:
        segue: Segue = app.segue
        started = [
            (tallied, segue.start(plan_of(tallied.work)))
            for number, (_, make) in enumerate(shapes(app, 0).items())
            for tallied in [shapes(app, number)[make.__name__]()]
        ]
        ended = [(tallied, run.wait(timeout=SECONDS)) for tallied, run in started]
        lines = read_ledger(place.ledger)
        for number, (tallied, run) in enumerate(ended):
            assert run.status == ("failed" if tallied.fails else "succeeded")
            result = None if tallied.fails else run.result()
            assert wrongs(tallied, lines[number], result, once=fence == "always") == []
        assert segue.engine.broken_invariants() == []
    finally:
        for worker in workers:
            worker.kill()
        app.segue.close()
        app.close()


def test_messages_do_come_so_often() -> None:
    """The test above would prove nothing with messages that come once each."""
    chance = random.Random(1)
    seen = set()
    for _ in range(200):
        message = {
            "headers": {"segue": ["run", 0, chance.randrange(1, 4), 0.0], "task": "t", "argsrepr": str(chance.random())}
        }
        seen.add(times_of("seed 0", message)[0])
        assert times_of("seed 0", message)[0] == times_of("seed 0", message)[0]
    assert seen == set(TIMES)
