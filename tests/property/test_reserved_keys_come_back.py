"""Dicts with keys like those of frames come back equal by every way that a value can take, on both databases."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from segue import Debounce, Limit, Run, Segue, chain, group, task, wait_for, workflow
from segue.authoring.schedule import Schedule
from segue.cli.root import segue as command
from segue.scheduler.debouncing import start_due_debounces
from segue.scheduler.definition import define
from segue.worker.inline import work_run
from tests.property.kinds_of_values import LIKE_FRAMES

pytestmark = pytest.mark.property

Path = list[str | int]
got: list[Any] = []


@task(name="reserved.same")
def same(value: Any = None, /) -> Any:
    return value


@task(name="reserved.named")
def named(*values: Any, **fields: Any) -> dict[str, Any]:
    return {"values": values, "fields": fields}


@task(name="reserved.typed")
def typed(value: dict[str, Any] | list[Any]) -> dict[str, Any] | list[Any]:
    return value


@task(name="reserved.counted", limits=[Limit("reserved", 1, key="{value}-{other}")], fair_by="value")
def counted(value: Any, other: Any = None) -> Any:
    return value


@task(name="reserved.taken")
def taken(value: Any) -> Any:
    return value


@task(name="reserved.grown")
def grown(value: Any) -> Any:
    return chain(same.s(value), named.s(**{"$segue.x": value}))


@workflow(name="reserved.through")
def through(value: Any, path: Path) -> Any:
    first = same(value)
    part = first
    for key in path:
        part = part[key]
    built = {"$segue.x": first, "$segue.payload": {"$segue.y": [part, value]}}
    named_fields = named(built, [part, {"$segue.x": first}], **{"$segue.x": part, "plain": value})
    return {
        "$segue.result": first, "part": same(part), "built": same(built), "named": named_fields,
        "typed": typed([value, part]), "counted": counted(first, part), "grown": grown(first),
        "asked": same.options(when=first)(1),
    }  # fmt: skip


@workflow(name="reserved.mapped")
def mapped(values: list[Any]) -> Any:
    return [same.map(same(values)), same.map(same(values), batch=2), same.map(values)]


@workflow(name="reserved.called")
def called(value: Any, *, at: datetime | None = None) -> Any:
    got.append(value)
    return same(value)


@workflow(name="reserved.waits")
def waits(value: Any) -> Any:
    return [wait_for("go"), wait_for("never", timeout=0.001, default=value)]


@st.composite
def values_with_paths(draw: st.DrawFn) -> tuple[Any, Path]:
    """A value, and the way to some part of it."""
    value = draw(LIKE_FRAMES)
    path: Path = []
    part = value
    while isinstance(part, (dict, list)) and part and draw(st.integers(0, 3)):
        path.append(draw(st.sampled_from(sorted(part) if isinstance(part, dict) else range(len(part)))))
        part = part[path[-1]]
    return value, path


def at(value: Any, path: Path) -> Any:
    """The part of a value."""
    for key in path:
        value = value[key]
    return value


@pytest.fixture
def segue(database_url: str) -> Iterator[Segue]:
    got.clear()
    with Segue(database_url) as segue:
        yield segue


def worked(segue: Segue, run: Run) -> Any:
    """The result of a run, when its steps were executed here."""
    work_run(segue.engine, run.id)
    return run.result()


def wait_until(is_so: Callable[[], bool]) -> None:
    """Try again until it is so: something is due in a millisecond."""
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end


@example(({"$segue.x": {"$segue.payload": 1}}, ["$segue.x", "$segue.payload"]))
@example(({"$segue.x": [{"\\u0024segue.x": None}], "b": "$segue.y"}, ["$segue.x", 0, "\\u0024segue.x"]))
@given(values_with_paths())
def test_arguments_results_and_paths(segue: Segue, made: tuple[Any, Path]) -> None:
    value, path = made
    part = at(value, path)
    built = {"$segue.x": value, "$segue.payload": {"$segue.y": [part, value]}}
    fields = {"$segue.x": part, "plain": value}
    assert segue.run(through, value, path) == {
        "$segue.result": value, "part": part, "built": built,
        "named": {"values": [built, [part, {"$segue.x": value}]], "fields": fields},
        "typed": [value, part], "counted": value,
        "grown": {"values": [value], "fields": {"$segue.x": value}}, "asked": 1,
    }  # fmt: skip


@given(st.lists(LIKE_FRAMES, min_size=1, max_size=3))
def test_maps_groups_and_chains(segue: Segue, values: list[Any]) -> None:
    assert segue.run(mapped, values) == [values] * 3
    assert segue.run(chain(group(same.s(value) for value in values), same.map(), same.s())) == values


@given(LIKE_FRAMES, LIKE_FRAMES)
def test_what_people_change(segue: Segue, value: Any, other: Any) -> None:
    """Edits, marks and forks."""
    limited = segue.start(counted, value, other)
    limited.step(0).edit(other, value)
    assert worked(segue, limited) == other
    run = segue.start(chain(taken.s(value), same.s()))
    run.step(0).edit(other)
    assert worked(segue, run) == other
    assert worked(segue, run.fork(0, args=[value])) == value
    assert worked(segue, run.fork(0, kwargs={"value": value})) == value
    assert worked(segue, run.fork(1)) == other
    marked = segue.start(chain(named.s(1), same.s()))
    marked.step(0).mark(value)
    marked.step(0).mark(value)  # the same result once more
    assert worked(segue, marked) == value
    edited = segue.start(named, value, **{"$segue.x": 1})
    edited.step(0).edit(**{"$segue.x": value, "$segue.y": other})
    assert worked(segue, edited) == {"values": [value], "fields": {"$segue.x": value, "$segue.y": other}}


@given(LIKE_FRAMES, LIKE_FRAMES)
def test_what_is_kept_until_later(segue: Segue, value: Any, other: Any) -> None:
    """Messages, defaults of waits, schedules and debounced starts."""
    run = segue.start(waits, value)
    run.send("go", other)
    wait_until(lambda: bool(segue.engine.ring_alarms()) or run.steps()[1].status == "succeeded")
    assert worked(segue, run) == [other, value]
    got.clear()
    definition = define(called, [value], {}, Schedule("0 0 * * *"))
    plan = definition.plan_at(datetime(2026, 11, 20, tzinfo=UTC), "s")
    assert got[-1] == value
    assert plan.terms is not None
    how = Debounce(key="k", window=0.001, keep="all", most=2)
    run = segue.start(called, value, debounce=how)
    segue.start(called, other, debounce=how)
    got.clear()
    wait_until(lambda: bool(start_due_debounces(segue.engine)) or run.status != "pending")
    assert got == [[value, other]]
    assert worked(segue, run) == [value, other]


@given(LIKE_FRAMES, LIKE_FRAMES)
def test_what_is_shown(segue: Segue, value: Any, other: Any) -> None:
    """Views, events and the command line show the user's value."""

    def told(*words: str) -> Any:
        result = CliRunner().invoke(command, list(words), env={"SEGUE_DATABASE_URL": segue.engine.store.url})
        assert result.exit_code == 0, result.output
        return json.loads(result.output)

    run = segue.start(called, value, metadata={"$segue.x": value})
    run.step(0).mark(other)
    assert run.wait(1).result() == other
    assert run.info().arguments == [[value], {}]
    assert run.info().metadata == {"$segue.x": value}
    assert told("result", run.id) == other
    shown = told("show", run.id, "--json")
    assert shown["run"]["arguments"] == [[value], {}]
    assert [each["detail"]["result"] for each in shown["events"] if each["kind"] == "step.marked"] == [other]
    told("explain", run.id, "--json")
    made = told("fork", run.id, "same", json.dumps(value), "--json")
    told("mark", made["id"], "same", json.dumps(value).replace("$", "\\u0024"), "--json")
    assert segue.get(made["id"]).wait(1).result() == value


READERS: list[Callable[[Any], Any]] = [same.s, lambda value: same.s([value]), lambda value: typed.s({"a": value})]


@pytest.mark.parametrize("reader", READERS)
@given(value=LIKE_FRAMES)
def test_an_older_reader_sees_the_same(segue: Segue, reader: Callable[[Any], Any], value: Any) -> None:
    """What is stored is plain JSON of the value, for workers of another version and for queries."""
    run = segue.start(reader(value))
    result = worked(segue, run)
    with segue.engine.reading() as tx:
        args = tx.all("step_arguments", run_id=run.id, step=0)[0][4]
        stored = tx.all("load_results", run_id=run.id, steps=[0])[0][2]
    assert json.loads(stored) == result
    assert json.loads(args) == [[result], {}]
