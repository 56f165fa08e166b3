"""How things stand, as numbers for monitoring, and what is counted while work is done, on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from segue.engine.control import cancel_run
from segue.engine.engine import Engine
from segue.errors import StoreUnavailableError
from segue.loop.measuring import Ends
from segue.observing.metrics import registry
from segue.observing.metrics.meter import metering
from segue.observing.metrics.prometheus import PrometheusMeter
from segue.observing.metrics.registry import Metric
from segue.scheduler.standing import FRESH_SECONDS, standing_of
from tests.contract.stage import Stage, failed, node, plan, succeeded


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> PrometheusMeter:
    """The meter of this process while the test lasts."""
    meter = PrometheusMeter()
    monkeypatch.setattr(metering, "meter", meter)
    return meter


@pytest.fixture
def ends(stage: Stage, meter: PrometheusMeter, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ends]:
    ends = Ends(stage.engine)
    monkeypatch.setattr(metering, "listener", ends)  # no thread: the test looks
    yield ends
    assert [*ends._runs, *ends._attempts] == []


def stand(engine: Engine) -> dict[Metric, dict[tuple[str, ...], float]]:
    found: dict[Metric, dict[tuple[str, ...], float]] = {}
    for metric, values, value in standing_of(engine):
        found.setdefault(metric, {})[values] = value
    return found


def counted(meter: PrometheusMeter, metric: Metric, suffix: str = "_total") -> dict[tuple[str, ...], float]:
    name = metric.name.removesuffix("_total") + suffix
    samples = [sample for family in meter.registry.collect() for sample in family.samples if sample.name == name]
    return {tuple(sample.labels[label] for label in metric.labels): sample.value for sample in samples}


def test_steps_are_counted_by_what_they_wait_for(stage: Stage) -> None:
    stage.start(plan(node("a"), node("b"), node("c", queue="mail"), node("late", delay=60.0), node("d", 0)))
    [job] = stage.claim(want=1)
    found = stand(stage.engine)
    assert found[registry.READY] == {("default",): 1, ("mail",): 1}
    assert found[registry.RUNNING] == {("default",): 1}
    assert found[registry.DELAYED] == {("default",): 1}
    assert found[registry.LIVE_RUNS] == {("running",): 1}
    assert found[registry.WORKERS] == {("running",): 1}
    assert found[registry.LEASE] == {(): 0}
    assert found[registry.SCHEMA] == {(): stage.store.schema_version()}
    stage.turn(succeeded(job))


def test_they_are_made_once_in_a_while_whichever_process_asks(stage: Stage) -> None:
    other = Engine(stage.store)
    stage.start(plan(node("a")))
    assert stand(stage.engine)[registry.READY] == {("default",): 1}
    stage.start(plan(node("a")))
    stage.advance(FRESH_SECONDS - 1)
    found = stand(other)
    assert found[registry.READY] == {("default",): 1}
    assert found[registry.STANDING_AGE] == {(): FRESH_SECONDS - 1}
    stage.advance(2)
    found = stand(other)
    assert found[registry.READY] == {("default",): 2}
    assert found[registry.STANDING_AGE] == {(): 0}


def test_while_one_process_makes_them_the_others_read_the_old_ones(stage: Stage) -> None:
    stand(stage.engine)
    stage.start(plan(node("a")))
    stage.advance(FRESH_SECONDS + 1)
    now = stage.store.now()
    with stage.store.transaction() as tx:  # as another process does, which dies before it has finished
        assert tx.all("take_standing", namespace="", now=now, before=now)
    found = stand(stage.engine)
    assert registry.READY not in found
    assert found[registry.STANDING_AGE] == {(): FRESH_SECONDS + 1}
    stage.advance(FRESH_SECONDS)
    assert stand(stage.engine)[registry.READY] == {("default",): 1}


def test_the_oldest_ready_step_is_found_behind_those_of_a_higher_priority(stage: Stage) -> None:
    stage.start(plan(node("old", priority=1)))
    stage.advance(100)
    stage.start(plan(node("new", priority=9), node("other", priority=5)))
    stage.advance(20)
    assert stand(stage.engine)[registry.OLDEST] == {("default",): 120}


def test_each_namespace_has_its_own(stage: Stage) -> None:
    theirs = Engine(stage.store, namespace="theirs")
    theirs.start([(plan(node("a"), name="flow"), None)])
    assert registry.READY not in stand(stage.engine)
    assert stand(theirs)[registry.READY] == {("default",): 1}
    everything = stand(Engine(stage.store, namespace="*"))
    assert everything[registry.READY] == {("theirs/default",): 1}
    assert everything[registry.LIVE_RUNS] == {("pending",): 1}


def test_what_another_version_stored_is_read_as_far_as_it_is_known(stage: Stage) -> None:
    stand(stage.engine)
    with stage.store.transaction() as tx:
        text = '[["segue_new_metric",[],1],["segue_ready_steps",["a","b"],1],["segue_ready_steps",["mail"],7]]'
        tx.all("put_standing", namespace="", now=stage.store.now(), samples=text)
    assert stand(stage.engine)[registry.READY] == {("mail",): 7}
    with stage.store.transaction() as tx:
        tx.all("put_standing", namespace="", now=stage.store.now(), samples="{damaged")
    assert registry.READY not in stand(stage.engine)


def test_runs_are_counted_once_for_each_end(stage: Stage, meter: PrometheusMeter, ends: Ends) -> None:
    good, bad = stage.start(plan(node("a"), name="good")), stage.start(plan(node("a"), name="bad"))
    gone = stage.start(plan(node("a"), name="gone"))
    jobs = {job.run_id: job for job in stage.claim()}
    stage.advance(2)
    stage.turn(succeeded(jobs[good]), failed(jobs[bad]))
    metering.runs_ended([good, good])  # heard of twice, as of a transactional task
    ends.look()
    metering.runs_ended([good])
    stage.engine.act(cancel_run, gone)
    stage.turn(succeeded(jobs[gone]))
    ends.look()
    assert counted(meter, registry.RUNS_STARTED) == {("good",): 1, ("bad",): 1, ("gone",): 1}
    assert counted(meter, registry.RUNS_ENDED) == {
        ("good", "succeeded"): 1, ("bad", "failed"): 1, ("gone", "cancelled"): 1,
    }  # fmt: skip
    assert counted(meter, registry.RUN_SECONDS, "_sum")[("good",)] == pytest.approx(2.0, abs=0.1)


def test_turns_retries_and_waits_are_counted(stage: Stage, meter: PrometheusMeter) -> None:
    stage.start(plan(node("a", retries=1)))
    stage.advance(3)
    [job] = stage.claim()
    assert job.waited == pytest.approx(3.0, abs=0.01)
    assert job.queue == "default"
    stage.turn(failed(job))
    assert counted(meter, registry.RETRIES) == {(): 1}
    assert counted(meter, registry.TURN_STEPS, "_sum")[()] == 2
    [again] = stage.claim()
    stage.turn(succeeded(again))


def test_attempts_at_executors_are_counted_with_their_tasks(stage: Stage, meter: PrometheusMeter, ends: Ends) -> None:
    stage.start(plan(node("a"), node("b")))
    first, second = stage.claim()
    stage.engine.report([succeeded(first, seconds=0.5), failed(second)], by="elsewhere")
    ends.look()
    assert counted(meter, registry.ATTEMPTS) == {
        ("app.work", "default", "succeeded"): 1, ("app.work", "default", "failed"): 1,
    }  # fmt: skip


def test_ends_wait_while_the_database_is_away(
    stage: Stage, meter: PrometheusMeter, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = stage.start(plan(node("a")))
    [job] = stage.claim()
    stage.turn(succeeded(job))
    with monkeypatch.context() as patch:

        def away() -> None:
            raise StoreUnavailableError("away")

        patch.setattr(stage.engine, "reading", away)
        with pytest.raises(StoreUnavailableError):
            ends.look()
    ends.look()
    assert list(counted(meter, registry.RUNS_ENDED).values()) == [1], run_id


def test_without_a_meter_nothing_is_collected(stage: Stage) -> None:
    stage.start(plan(node("a")))
    [job] = stage.claim()
    assert job.waited == 0.0
    with stage.store.transaction() as tx:
        act = stage.engine.watch.begin(tx, stage.store.now())
        act.count(registry.RETRIES)
        assert act.counts == []
    stage.turn(succeeded(job))
