"""Pages of runs that say how far they looked, failures by their time, and steps in groups. On both stores."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from segue.client.pages import Paged, RunPage
from segue.client.run import Run
from segue.engine.views import select
from segue.errors import ConfigError, RunNotFoundError, StepNotFoundError
from segue.plan.graph import RunTerms
from tests.contract.stage import Stage, failed, node, plan


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


class Pages(Paged):
    """The part of `Segue` that lists runs, on a stage."""

    def __init__(self, stage: Stage) -> None:
        self.engine, self.namespace = stage.engine, stage.engine.namespace


def page(stage: Stage, **asked: Any) -> RunPage:
    return Pages(stage).pages(**asked)


def ids(found: RunPage) -> list[str]:
    return [run.id for run in found.runs]


def all_ids(stage: Stage, **asked: Any) -> list[str]:
    """Page by page, to the end."""
    found = page(stage, **asked)
    seen = ids(found)
    while found.next:
        found = page(stage, **(asked | {"cursor": found.next}))
        seen += ids(found)
    return seen


def start(stage: Stage, arguments: str | None = None, *, name: str = "flow", tags: tuple[str, ...] = ()) -> str:
    return stage.start(plan(node("a"), name=name, terms=RunTerms(arguments=arguments, tags=tags)))


def fail(stage: Stage, run_id: str) -> None:
    [job] = [job for job in stage.claim(stage.of_run(run_id)) if job.run_id == run_id]
    stage.turn(failed(job))


def test_a_page_says_how_far_it_looked_and_the_next_goes_on_there(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(select, "SHORT_LOOK", 1)
    rare = start(stage, '[[],{"day":"2026-11-20"}]')
    others = [start(stage, '[[],{"day":"other"}]') for _ in range(25)]
    with stage.engine.reading() as tx:
        chosen = select.RunFilter(arguments=(('$[1]."day"', "2026-11-20"),))
        first = select.look_back(tx, chosen, limit=5, most=10)
        assert (first.ids, first.is_cut) == ([], True)
        assert first.next is not None
        assert first.next.id == others[-10]
        second = select.look_back(tx, chosen, after=first.next, limit=5, most=10)
        assert second.next is not None
        assert second.next.id == others[-20]
        assert select.look_back(tx, chosen, after=second.next, limit=5, most=10) == select.Looked([rare], None, False)
    assert all_ids(stage, arguments={"day": "2026-11-20"}, limit=1) == [rare]


def test_a_cut_page_has_the_time_to_which_it_looked(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    run_ids = [start(stage) for _ in range(7)]
    monkeypatch.setattr("segue.client.pages.look_back", lambda *a, **k: select.look_back(*a, **k, most=3))
    found = page(stage, arguments={"day": "no"})
    assert (ids(found), found.next) == ([], run_ids[-3])
    assert found.looked_back_to is not None
    assert abs(found.looked_back_to - stage.run(run_ids[-3]).created_at) < timedelta(seconds=1)
    assert all_ids(stage, arguments={"day": "no"}) == []


def test_failures_are_listed_by_their_time(stage: Stage) -> None:
    old, middle, new = start(stage), start(stage), start(stage)
    start(stage)
    for run_id in (new, old, middle):
        stage.advance(60)
        fail(stage, run_id)
    found = page(stage, status="failed")
    assert (ids(found), found.by_failure, found.next) == ([middle, old, new], True, None)
    assert all_ids(stage, status="failed", limit=1) == [middle, old, new]
    last = found.runs[0].finished_at
    assert last is not None
    assert ids(page(stage, failed_since=last)) == [middle]
    assert ids(page(stage, failed_until=last)) == [old, new]
    assert ids(page(stage, failed_since=last - timedelta(seconds=60), workflow="flow")) == [middle, old]
    assert ids(page(stage, failed_since=last, workflow="other")) == []


def test_failures_of_one_moment_are_listed_once_each(stage: Stage) -> None:
    run_ids = [start(stage) for _ in range(5)]
    for run_id in run_ids:
        fail(stage, run_id)
    assert all_ids(stage, status="failed", limit=2) == run_ids[::-1]


def test_a_run_that_is_retried_between_pages_does_not_lose_the_place(stage: Stage) -> None:
    from segue.engine.reopening.retry import retry_run

    run_ids = [start(stage) for _ in range(3)]
    for run_id in run_ids:
        stage.advance(1)
        fail(stage, run_id)
    first = page(stage, status="failed", limit=1)
    stage.engine.act(retry_run, run_ids[2])
    assert ids(page(stage, status="failed", limit=5, cursor=first.next)) == [run_ids[1], run_ids[0]]


def test_by_status_that_is_cancelled(stage: Stage) -> None:
    one, two = start(stage), start(stage)
    start(stage)
    stage.cancel(one)
    stage.cancel(two)
    assert all_ids(stage, status="cancelled", limit=1) == [two, one]


@pytest.mark.parametrize(
    "asked, is_found",
    [
        ({"day": "2026-11-20"}, True),
        ({"customer.id": 42}, True),
        ({"customer.id": "42"}, True),
        ({"customer.vip": True}, True),
        ({"items.1": 2.5}, True),
        ({"0": "north"}, True),
        ({"day": "2026-11-20", "customer.id": 43}, False),
        ({"customer.none": "x"}, False),
        ({"1": "north"}, False),
    ],
)
def test_by_arguments(stage: Stage, asked: dict[str, Any], is_found: bool) -> None:
    text = '[["north"],{"day":"2026-11-20","customer":{"id":42,"vip":true},"items":[1,2.5]}]'
    run_id = start(stage, text)
    start(stage, "[[],{}]")
    start(stage)
    start(stage, '[[],{"day":"a \\\\u0000 in it"}]')
    assert ids(page(stage, arguments=asked)) == ([run_id] if is_found else [])


@pytest.mark.parametrize("wrong", [{"": 1}, {"a..b": 1}, {'a"': 1}, {"a": None}, {"a": [1]}, "day"])
def test_arguments_that_cannot_be_searched(stage: Stage, wrong: Any) -> None:
    with pytest.raises(ConfigError, match="arguments"):
        page(stage, arguments=wrong)


def test_by_times_beginnings_and_origins(stage: Stage) -> None:
    first = start(stage)
    stage.advance(3600)
    second = start(stage)
    then = stage.run(second).created_at - timedelta(seconds=1)
    assert (ids(page(stage, since=then)), ids(page(stage, until=then))) == ([second], [first])
    assert ids(page(stage, id_prefix=first[:20])) == [first]
    assert ids(page(stage, id_prefix="f" * 32)) == []
    assert ids(page(stage, forked_from=first)) == []
    with pytest.raises(ConfigError, match="time zone"):
        page(stage, since=then.replace(tzinfo=None))
    with pytest.raises(RunNotFoundError, match="beginning"):
        page(stage, id_prefix="xyz")
    with pytest.raises(ConfigError, match="no place in a list"):
        page(stage, cursor="yesterday")


# Groups ---------------------------------------------------------------------------------------------------------------


def test_the_items_of_a_map_are_one_group(stage: Stage) -> None:
    names = ["list", *(f"price[{number}]" for number in range(12)), "price2", "price3", "inner/price[0]"]
    run_id = stage.start(plan(*[node(name) for name in names]))
    [job] = [job for job in stage.claim() if job.name == "price[3]"]
    stage.turn(failed(job))
    run = Run(stage.engine, run_id)
    found = run.groups()
    assert [group.name for group in found.groups] == ["list", "price[*]", "price2", "price3", "inner/price[*]"]
    prices = found.groups[1]
    assert (prices.first, prices.last, prices.count) == (1, 12, 12)
    assert prices.counts["failed"] == 1
    assert sum(prices.counts.values()) == 12
    assert prices.to_dict()["scope"] is None
    assert [step.name for step in run.members(prices.first, status="failed")] == ["price[3]"]
    first = run.members(1, limit=5)
    assert [step.step for step in first] == [1, 2, 3, 4, 5]
    assert [step.step for step in run.members(1, after=first[-1].step)] == list(range(6, 13))
    assert [step.name for step in run.members(0)] == ["list"]
    with pytest.raises(StepNotFoundError):
        run.members(99)
    with pytest.raises(RunNotFoundError):
        Run(stage.engine, "019b7701-17d8-7125-b7a7-fa6e8e8c256b").groups()


# What it costs --------------------------------------------------------------------------------------------------------


def test_no_index_is_in_the_way_of_steps_and_of_runs_that_succeed(stage: Stage) -> None:
    """On PostgreSQL an update that changes a column of any index, or of its condition, writes to all of them."""
    if stage.store.dialect == "sqlite":
        return
    new = ("segue_runs_failed_at", "segue_runs_cancelled", "segue_runs_forked")
    used = stage.read(
        "SELECT DISTINCT a.attname FROM pg_class c "
        "JOIN pg_depend d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass "
        "JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid "
        f"WHERE c.relname IN {new} AND d.refclassid = 'pg_class'::regclass"
    )
    assert {name for (name,) in used} == {"id", "finished_at", "error", "intent", "forked_from"}
