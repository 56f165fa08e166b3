"""Runs that are watched: what workers are asked, what is written and deleted. On both stores."""

from __future__ import annotations

import pytest

from segue import Segue
from segue.engine import watching
from segue.engine.watching import Printed, live_output, prune_watches, watch_run
from segue.errors import ConfigError, RunNotFoundError
from segue.model import Job
from tests.contract.stage import Stage, node, plan, succeeded


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


def begun(stage: Stage) -> Job:
    stage.start(plan(node("a")))
    [job] = stage.claim()
    return job


def read(stage: Stage, job: Job) -> str | None:
    with stage.store.reading() as tx:
        found = live_output(tx, job.run_id, job.step)
    return None if found is None else found.text


def test_a_worker_hears_what_is_watched_and_what_is_to_end(stage: Stage) -> None:
    watched, ending, other = begun(stage), begun(stage), begun(stage)
    assert stage.turn(cancels=True).watched == []
    assert stage.engine.act(watch_run, watched.run_id)
    assert not stage.engine.act(watch_run, watched.run_id)
    stage.engine.act(watch_run, ending.run_id)
    stage.cancel(ending.run_id)
    result = stage.turn(cancels=True)
    assert result.watched == [(watched.run_id, 0, 1)]
    assert result.cancels == [(ending.run_id, 0, 1)]
    assert stage.turn(by=stage.hire("another"), cancels=True).watched == []
    stage.advance(watching.WATCH_SECONDS)
    assert stage.turn(cancels=True).watched == []
    assert stage.engine.act(watch_run, other.run_id)


def test_what_is_printed_is_replaced_and_an_older_attempt_is_not_heard(stage: Stage) -> None:
    job = begun(stage)
    first, second = (job.run_id, job.step, 1), (job.run_id, job.step, 2)
    stage.turn(printed=[Printed(first, "a")])
    assert read(stage, job) == "a"
    stage.turn(printed=[Printed(second, "b")])
    stage.turn(printed=[Printed(first, "c")])
    assert read(stage, job) == "b"


def test_what_is_not_read_any_more_is_deleted(stage: Stage) -> None:
    job = begun(stage)
    stage.engine.act(watch_run, job.run_id)
    stage.turn(succeeded(job), printed=[Printed((job.run_id, job.step, 1), "a")])
    stage.engine.act(prune_watches)
    assert read(stage, job) == "a"
    stage.advance(watching.KEPT_FOR.total_seconds() + 1)
    stage.engine.act(prune_watches)
    assert read(stage, job) is None
    with stage.store.reading() as tx:
        assert tx.all("watched_until", run_id=job.run_id) == []


def test_a_run_that_is_not_there_cannot_be_watched(segue: Segue) -> None:
    run = segue.start(plan(node("a")))
    run.watch(seconds=1)
    with pytest.raises(ConfigError):
        run.watch(seconds=0)
    run.id = segue.engine.new_id()
    with pytest.raises(RunNotFoundError):
        run.watch()
