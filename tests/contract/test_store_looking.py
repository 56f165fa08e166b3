"""Looking: lists, prefixes, pages, and `explain` for every reason why something does not move. Promise 7."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from segue.client.selection import RunFilters, run_filter
from segue.engine.ids import Ids
from segue.engine.views import look
from segue.engine.views.find import find_run
from segue.errors import RunNotFoundError
from segue.model import JoinRule, Progress, StepStatus, short_id
from tests.contract.stage import LEASE_SECONDS, Stage, expanded, failed, node, plan, succeeded


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


class Given(Ids):
    """Gives these ids, one after the other."""

    def __init__(self, *ids: str) -> None:
        super().__init__()
        self._ids = iter(ids)

    def new(self, now: datetime) -> str:
        return next(self._ids)


def texts(stage: Stage, run_id: str, step: str | None = None) -> str:
    return "\n".join(str(reason) for reason in stage.explain(run_id, step))


def test_no_worker_at_all(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    assert stage.codes(run_id) == ["no_worker"]
    assert "segue worker" in texts(stage, run_id)


def test_no_worker_on_the_queue(stage: Stage) -> None:
    assert stage.worker
    run_id = stage.start(plan(node("a", queue="gpu")))
    assert stage.codes(run_id) == ["no_worker_on_queue"]
    assert "'gpu'" in texts(stage, run_id)


def test_no_worker_knows_the_task(stage: Stage) -> None:
    assert stage.worker
    run_id = stage.start(plan(node("a", task="app.unheard_of")))
    assert stage.codes(run_id) == ["unknown_task"]
    assert "'app.unheard_of'" in texts(stage, run_id)


def test_every_place_is_taken(stage: Stage) -> None:
    assert stage.worker
    run_id = stage.start(plan(node("a")))
    stage.advance(3)
    assert stage.codes(run_id) == ["waiting_for_place"]
    assert "3.0 s" in texts(stage, run_id)


def test_delayed(stage: Stage) -> None:
    assert stage.worker
    run_id = stage.start(plan(node("a", delay=50.0)))
    assert stage.codes(run_id) == ["delayed"]
    assert "is delayed until 00:00:50 UTC" in texts(stage, run_id)


def test_waiting_for_its_next_try(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", retries=1, retry_delay=40.0, retry_jitter=0.0)))
    [a] = stage.claim()
    stage.turn(failed(a))
    assert stage.codes(run_id) == ["retrying"]
    assert "failed 1 of 2 tries with Boom: broke; the next try is at 00:00:40 UTC (in 40.0 s)" in texts(stage, run_id)


def test_running(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0)))
    stage.claim()
    stage.advance(5)
    assert stage.codes(run_id) == ["running"]
    assert "attempt 1 has run on first for 5.0 s" in texts(stage, run_id)
    stage.turn(progress=[Progress(run_id, 0, 1, 25, 100)])
    assert "done 25 of 100, about 15.0 s left" in texts(stage, run_id)


def test_its_worker_is_lost(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    stage.claim()
    stage.advance(LEASE_SECONDS + 1)
    assert stage.codes(run_id) == ["lost"]


def test_waiting_for_others(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b"), node("c", 0, 1, rule=JoinRule.ANY_FAILED), node("j", 2, task=None)))
    assert stage.codes(run_id, "c") == ["blocked"]
    text = texts(stage, run_id, "c")
    assert all(word in text for word in ("waits for", "a (ready)", "b (ready)", "[any_failed]"))
    assert "c (blocked)" in texts(stage, run_id, "j")


def test_waiting_for_more_than_can_be_named(stage: Stage) -> None:
    run_id = stage.start(plan(*[node(f"m{number}") for number in range(20)], node("all", *range(20))))
    assert "and 15 more" in texts(stage, run_id, "all")


def test_waiting_for_the_plan_that_it_returned(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    [a] = stage.claim()
    stage.turn(expanded(a, plan(node("inner"))))
    assert stage.codes(run_id) == ["waiting_for_place"]
    assert "waits for the plan that its task returned: inner (ready)" in texts(stage, run_id, "a")


def test_a_hook_waits_for_the_outcome(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("h", hook="finally")))
    assert "waits for the outcome" in texts(stage, run_id, "h")


def test_ending(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    stage.claim()
    stage.cancel(run_id)
    assert stage.codes(run_id) == ["ending", "running"]
    assert "ending as cancelled" in texts(stage, run_id)
    assert "asked to end" in texts(stage, run_id)


def test_final(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0)))
    stage.work({"a": failed})
    assert stage.codes(run_id) == ["final"]
    assert "a failed with Boom: broke" in texts(stage, run_id)
    assert stage.codes(run_id, "a") == ["failed"]
    assert stage.codes(run_id, "b") == ["skipped"]
    assert "Boom: broke" in texts(stage, run_id, "a")


def test_a_step_that_is_not_there(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    assert stage.codes(run_id, "zz") == ["unknown_step"]


def test_many_steps_with_one_reason_are_one_line(stage: Stage) -> None:
    run_id = stage.start(plan(*[node(f"m{number}") for number in range(50)]))
    [reason] = stage.explain(run_id)
    assert (reason.code, reason.step) == ("no_worker", "m0 (50 such steps)")


def test_a_run_that_is_not_there(stage: Stage) -> None:
    with pytest.raises(RunNotFoundError, match="segue runs"):
        stage.explain("019b7701-17d8-7125-b7a7-fa6e8e8c256b")


# Lists ----------------------------------------------------------------------------------------------------------------


def listed(stage: Stage, *, before: str | None = None, limit: int = 50, **chosen: Any) -> list[str]:
    with stage.engine.reading() as tx:
        runs = look.list_runs(tx, run_filter(stage.store.now(), RunFilters(**chosen)), before=before, limit=limit)
        return [run.id for run in runs]


def test_runs_are_listed_newest_first_in_pages(stage: Stage) -> None:
    ids = [
        stage.start(plan(node("a"), name="even" if number % 2 == 0 else "odd"), key=f"k{number}")
        for number in range(10)
    ]
    newest = ids[::-1]
    assert listed(stage) == newest
    assert listed(stage, limit=4) == newest[:4]
    assert listed(stage, limit=4, before=newest[3]) == newest[4:8]
    assert listed(stage, limit=4, before=newest[7]) == newest[8:]
    assert listed(stage, limit=4, before=newest[9]) == []
    assert listed(stage, workflow="odd", limit=2) == [ids[9], ids[7]]
    assert listed(stage, key="k3") == [ids[3]]
    stage.cancel(ids[5])
    assert listed(stage, status="cancelled") == [ids[5]]
    assert listed(stage, status="pending", workflow="odd") == [ids[9], ids[7], ids[3], ids[1]]


def test_a_run_is_found_by_the_beginning_of_its_id(stage: Stage) -> None:
    first = stage.start(plan(node("a")))
    with stage.engine.reading() as tx:
        for start in (first, first[:1], first[:9], first[:20], first.upper(), first.replace("-", "")):
            assert find_run(tx, start) == first
    stage.advance(10)
    second = stage.start(plan(node("a")))
    with stage.engine.reading() as tx:
        assert find_run(tx, second) == second
        with pytest.raises(RunNotFoundError, match="Several") as several:
            find_run(tx, first[:2])
        assert f"\n  {first}  flow  pending  created 2026-01-01 00:00:00 UTC" in str(several.value)
        for start in ("fff", "zzz", "", first + "0", "%"):
            with pytest.raises(RunNotFoundError):
                find_run(tx, start)


def test_a_run_is_found_by_the_end_of_its_id(stage: Stage) -> None:
    ids = [stage.start(plan(node("a"))) for _ in range(3)]
    with stage.engine.reading() as tx:
        for id_ in ids:
            for end in (short_id(id_), short_id(id_).upper(), id_[-12:], id_[-13:], id_[-20:], id_[9:]):
                assert find_run(tx, end) == id_
        with pytest.raises(RunNotFoundError, match="give its last 8 digits"):
            find_run(tx, ids[0][-7:])
        with pytest.raises(RunNotFoundError, match="begins or ends with"):
            find_run(tx, ("0" if ids[0][-9] != "0" else "1") + short_id(ids[0]))


def test_an_end_that_is_also_a_beginning_or_the_end_of_two_runs_lists_both(stage: Stage) -> None:
    first, second = "01a1fc28-0000-7000-8000-0000aaaaaaaa", "01a1fc29-0000-7000-8000-000001a1fc28"
    third = "01a1fc30-0000-7000-8000-1111aaaaaaaa"
    stage.engine.ids = Given(first, second, third)
    for _ in range(3):
        stage.start(plan(node("a")))
    with stage.engine.reading() as tx:
        for given, found in (("01a1fc28", (first, second)), ("aaaaaaaa", (first, third))):
            with pytest.raises(RunNotFoundError, match="Several") as several:
                find_run(tx, given)
            assert [line.split()[0] for line in str(several.value).splitlines()[1:]] == sorted(found, reverse=True)
        assert find_run(tx, "1111aaaaaaaa") == third


def test_steps_are_listed_in_pages_by_status_and_name(stage: Stage) -> None:
    run_id = stage.start(plan(*[node(f"m{number}") for number in range(10)], node("all", *range(10))))
    with stage.engine.reading() as tx:
        page = look.list_steps(tx, run_id, limit=4)
        assert [step.step for step in page] == [0, 1, 2, 3]
        assert [step.step for step in look.list_steps(tx, run_id, after=7)] == [8, 9, 10]
        assert [step.name for step in look.list_steps(tx, run_id, status="blocked")] == ["all"]
        [found] = look.list_steps(tx, run_id, name="m3")
    assert (found.step, found.children, found.rule) == (3, (10,), "all_succeeded")


def test_joins_are_not_counted_among_the_steps(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("j", 0, task=None), node("b", 1)))
    [a] = stage.claim()
    stage.turn(expanded(a, plan(node("x"))))
    with stage.engine.reading() as tx:
        assert look.count_steps(tx, run_id) == {StepStatus.BLOCKED: 2, StepStatus.READY: 1}


def test_workers_are_listed_until_they_end(stage: Stage) -> None:
    worker = stage.hire("one", queues=("a", "b"), tasks=["t1", "t2"])
    gone = stage.hire("two")
    stage.engine.unregister(gone)
    with stage.engine.reading() as tx:
        [found] = look.list_workers(tx)
    assert (found.id, found.name, found.queues, found.tasks) == (worker.id, "one", ("a", "b"), ("t1", "t2"))
    assert (found.lease_until - found.started_at).total_seconds() == LEASE_SECONDS


def test_a_run_without_result_has_null(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    assert stage.result(run_id) is None
    stage.work({"a": lambda job: succeeded(job, 5)})
    assert stage.result(run_id) is None
