"""Two applications with the same tasks, queues, limits, schedules and keys share a database and never meet in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
import pytest

import segue as sg
from segue import Segue
from segue.authoring import declared
from segue.authoring.declared import declared_limits
from segue.engine.control import cancel_run
from segue.errors import (
    ConfigError,
    DefinitionError,
    RunNotFoundError,
    ScheduleNotFoundError,
    SegueError,
    SubscriptionNotFoundError,
)
from segue.observing.observers import observers
from segue.plan.indexed import SEPARATOR
from segue.scheduler import firing
from segue.scheduler.chores import Chores
from segue.scheduler.debouncing import start_due_debounces
from segue.worker.launch import described_code
from segue.worker.options import WorkerOptions
from segue.worker.pool.inline import InlinePool
from segue.worker.worker import Worker
from tests.contract.stage import connect

firing.PATIENCE_SECONDS = 30.0
SPACES = ("", "shop", "bank")
heard: list[tuple[str, int]] = []


@sg.task(limits=[sg.Limit("api", concurrency=1, key="number")], fair_by="number")
def double(number: int) -> int:
    return 2 * number


@sg.task
def grow(number: int) -> Any:
    return double.s(number + 1)


@sg.task
def hear(event: dict[str, Any]) -> None:
    heard.append((event["workflow"], 1))


@sg.task
def boom(number: int) -> None:
    raise ValueError(str(number))


@sg.workflow(concurrency=2)
def both(number: int) -> Any:
    return double(grow(number))


@sg.workflow
def patient(number: int) -> Any:
    return double(sg.wait_for("go"))


@sg.workflow
def collecting(numbers: list[int]) -> Any:
    return [double(number) for number in numbers]


@pytest.fixture
def spaces(database_url: str) -> Iterator[dict[str, Segue]]:
    found = {name: Segue(database_url, namespace=name) for name in SPACES}
    yield found
    assert found[""].engine.broken_invariants() == []
    for each in found.values():
        each.close()


@pytest.fixture
def told() -> Iterator[list[sg.Event]]:
    found: list[sg.Event] = []

    def hear_of(event: sg.Event) -> None:
        found.append(event)

    observers.add(hear_of, frozenset({"run.cancelled"}))
    yield found
    observers.remove(hear_of)


def work(segue: Segue) -> None:
    """Let a worker of this namespace do what there is to do."""
    engine = segue.engine
    options = WorkerOptions(pool="inline", concurrency=1, burst=True)
    worker = Worker(
        engine, InlinePool(store=engine.store), tasks=sorted(declared.tasks), options=options, limits=declared_limits(),
        code=described_code(),
    )  # fmt: skip
    worker.run()


@contextmanager
def hired(segue: Segue) -> Iterator[None]:
    """A worker that is there, and takes nothing."""
    engine = segue.engine
    worker = Worker(
        engine, InlinePool(store=engine.store), tasks=["x"], options=WorkerOptions(pool="inline", concurrency=1)
    )
    worker._registration.begin()
    yield
    worker._registration.end()


def others(spaces: dict[str, Segue], name: str) -> list[Segue]:
    return [each for other, each in spaces.items() if other != name]


def test_the_same_key_begins_a_run_in_each_and_workers_take_only_their_own(spaces: dict[str, Segue]) -> None:
    runs = {name: segue.start(both, number, key="monday") for number, (name, segue) in enumerate(spaces.items())}
    assert all(run.is_new for run in runs.values())
    for name, segue in spaces.items():
        assert segue.start(both, 9, key="monday").id == runs[name].id
        assert [run.id for run in segue.runs(workflow=both.name, key="monday")] == [runs[name].id]
    for number, (name, segue) in enumerate(spaces.items()):
        work(segue)
        assert runs[name].result() == 4 * (number + 1)
        for later in list(SPACES)[number + 1 :]:
            assert not runs[later].status.is_final


def test_a_fork_and_a_retry_stay_in_their_namespace(spaces: dict[str, Segue]) -> None:
    for segue in spaces.values():
        run = segue.start(boom, 1)
        work(segue)
        assert run.status == "failed"
        other = run.fork(boom.short_name, key="again")
        assert run.fork(boom.short_name, key="again").id == other.id
        assert other.info().namespace == segue.namespace
        run.retry()
        work(segue)
        assert {run.status, other.status} == {"failed"}


def test_limits_are_separate_whatever_they_bind(spaces: dict[str, Segue]) -> None:
    names = ("api", "queue:default", f"task:{double.name}", f"workflow:{both.name}")
    for limit in names:
        spaces["shop"].limits.set(limit, concurrency=0)
        runs = {name: segue.start(both, 1) for name, segue in spaces.items()}
        for name, segue in spaces.items():
            work(segue)
            assert runs[name].status.is_final == (name != "shop"), (limit, name)
        reasons = " ".join(map(str, runs["shop"].explain()))
        assert repr(limit) in reasons
        assert SEPARATOR not in reasons
        assert spaces["bank"].limits.remove("queue:none") is False
        assert not any(each.concurrency == 0 for segue in others(spaces, "shop") for each in segue.limits.list())
        assert spaces["shop"].limits.remove(limit) is True
        runs["shop"].cancel()


def test_shares_are_separate(spaces: dict[str, Segue]) -> None:
    for weight, segue in enumerate(spaces.values(), 1):
        segue.limits.weight("gold", weight)
    found = [[(each.queue, each.key, each.weight) for each in segue.limits.shares()] for segue in spaces.values()]
    assert found == [[("default", "gold", weight)] for weight in (1, 2, 3)]


def test_schedules_of_one_name_tick_apart_and_foreign_code_is_not_called(spaces: dict[str, Segue]) -> None:
    for number, segue in enumerate(spaces.values()):
        segue.schedules.create("nightly", both, number, schedule="@daily", overlap="allow")
        segue.schedules.create("planned", double, number, schedule="@daily", overlap="allow")
    hour = timedelta(hours=1)
    with connect(spaces[""].url) as connection:
        sqlite = spaces[""].engine.store.dialect == "sqlite"
        past = spaces[""].engine.store.now() - hour
        text = past.strftime("%Y-%m-%d %H:%M:%S.000000") if sqlite else past
        mark = "?" if sqlite else "%s"
        connection.execute(f"UPDATE segue_schedules SET next_tick = {mark}, due_at = {mark}", (text, text))
        connection.commit()
    while firing.fire_due(spaces["shop"].engine):
        pass
    for name, segue in spaces.items():
        started = {run.workflow for run in segue.runs()}
        assert started == {both.name, double.name} if name == "shop" else {double.name}, name
        [run] = segue.runs(workflow=double.name)
        assert run.metadata["schedule"] == "planned"
        assert [each.name for each in segue.schedules.list()] == ["nightly", "planned"]
        assert {each.workflow for each in segue.schedules.list()} == {both.name, double.name}
    spaces["shop"].schedules.remove("nightly")
    with pytest.raises(ScheduleNotFoundError):
        spaces["shop"].schedules.get("nightly")
    assert spaces["bank"].schedules.get("nightly").is_active
    spaces["bank"].schedules.run_now("nightly")
    assert {run.workflow for run in spaces["bank"].runs()} == {both.name, double.name}


def test_each_namespace_has_a_leader(spaces: dict[str, Segue]) -> None:
    chores = {name: Chores(segue.engine) for name, segue in spaces.items()}
    for each in chores.values():
        each.do_round()
    assert all(each.is_leading for each in chores.values())
    for each in chores.values():
        each._give_up()


def test_debounced_starts_under_one_key_are_put_together_apart(spaces: dict[str, Segue]) -> None:
    how = sg.Debounce(key="k", window=0.05, keep="all", most=2)
    runs = {name: [segue.start(collecting, n, debounce=how).id for n in (1, 2)] for name, segue in spaces.items()}
    assert len({id_ for ids in runs.values() for id_ in ids}) == 3
    while start_due_debounces(spaces["shop"].engine):
        pass
    for name, segue in spaces.items():
        work(segue)
        info = segue.get(runs[name][0]).info()
        assert (info.status == "succeeded") is (name == "shop"), name
    while start_due_debounces(spaces["bank"].engine):
        pass
    work(spaces["bank"])
    assert spaces["bank"].get(runs["bank"][0]).result() == [2, 4]


def test_subscriptions_hear_of_their_own(spaces: dict[str, Segue]) -> None:
    for segue in (spaces["shop"], spaces[""]):
        segue.subscriptions.add("same", events=["run.succeeded"], workflow=double.name, to=hear)
    heard.clear()
    spaces["bank"].start(double, 1)
    work(spaces["bank"])
    assert [run.workflow for segue in spaces.values() for run in segue.runs()] == [double.name]
    spaces["shop"].start(double, 1)
    work(spaces["shop"])
    assert heard == [(double.name, 1)]
    assert {run.workflow for run in spaces["shop"].runs()} == {double.name, "segue.notification"}
    assert spaces[""].runs() == []
    with pytest.raises(SubscriptionNotFoundError):
        spaces["bank"].subscriptions.remove("same")
    spaces["shop"].subscriptions.remove("same")
    assert [each.name for each in spaces[""].subscriptions.list()] == ["same"]


def test_observers_are_told_of_runs_of_their_namespace_alone(spaces: dict[str, Segue], told: list[sg.Event]) -> None:
    """A leader deals with the runs of all."""
    runs = {name: segue.start(patient, 1) for name, segue in spaces.items()}
    told.clear()
    for run in runs.values():
        spaces["shop"].engine.act(cancel_run, run.id)
    observers.flush()
    assert [(event.kind, event.run_id, event.workflow, event.namespace) for event in told] == [
        ("run.cancelled", runs["shop"].id, patient.name, "shop")
    ]


def test_retention_and_pruning_leave_others_alone(spaces: dict[str, Segue]) -> None:
    for segue in spaces.values():
        segue.start(double, 1)
        work(segue)
    spaces["shop"].retention.set(max_age=0.0)
    assert spaces["bank"].retention.list() == []
    assert spaces["shop"].retention.get(double.name, "failed").max_age == 0.0
    assert spaces["bank"].retention.get(double.name, "failed").max_age == timedelta(days=30).total_seconds()
    spaces["bank"].retention.sweep()
    assert [len(segue.runs()) for segue in spaces.values()] == [1, 1, 1]
    spaces["shop"].retention.sweep()
    assert [len(segue.runs()) for segue in spaces.values()] == [1, 0, 1]
    assert spaces["bank"].prune(older_than=timedelta(0)) == 1
    assert [len(segue.runs()) for segue in spaces.values()] == [1, 0, 0]


VIEWS: dict[str, Callable[[Segue], Any]] = {
    "runs": lambda segue: segue.runs(),
    "live": lambda segue: segue.runs(status=["pending", "running", "paused"]),
    "failed": lambda segue: segue.runs(status="failed"),
    "of an error": lambda segue: segue.runs(error_type="ValueError"),
    "of a workflow": lambda segue: segue.runs(workflow=patient.name),
    "of a key": lambda segue: segue.runs(workflow=patient.name, key="k"),
    "of a tag": lambda segue: segue.runs(tag="t"),
    "of metadata": lambda segue: segue.runs(metadata={"m": 1}),
    "selected": lambda segue: list(segue.select(workflow=patient.name).ids()),
    "steps": lambda segue: [segue.get(run.id).steps() for run in segue.runs()],
    "attempts": lambda segue: [segue.get(run.id).attempts() for run in segue.runs()],
    "explained": lambda segue: [segue.get(run.id).explain() for run in segue.runs()],
    "workers": lambda segue: segue.workers(),
    "schedules": lambda segue: segue.schedules.list(),
    "schedules of a workflow": lambda segue: segue.schedules.list(workflow=double.name),
    "ticks": lambda segue: segue.schedules.ticks("nightly"),
    "limits": lambda segue: segue.limits.list(),
    "shares": lambda segue: segue.limits.shares(),
    "subscriptions": lambda segue: segue.subscriptions.list(),
    "approvals": lambda segue: segue.approvals.list(),
    "approvals of a workflow": lambda segue: segue.approvals.list(workflow=patient.name),
    "events": lambda segue: segue.events.list(),
    "definitions": lambda segue: segue.definitions(),
    "retention": lambda segue: segue.retention.list(),
}
ONLY_OF_ONE = {"schedules of a workflow", "ticks", "of a workflow", "of a key", "selected", "approvals of a workflow"}


def _fill(segue: Segue, mark: str) -> None:
    """Something in every view, with a word in it that only this namespace has."""
    boom_run = segue.start(boom, 1, tags=["t"], metadata={"m": 1, "mark": mark}, key=mark)
    work(segue)
    boom_run.cancel()
    waiting = segue.start(patient, 1, key="k", tags=["t", mark], metadata={"m": 1})
    work(segue)
    waiting.pause(reason=mark)
    waiting.resume(reason=mark)
    segue.schedules.create("nightly", double, 1, schedule="0 2 * * *", tags=[mark])
    segue.schedules.run_now("nightly")
    segue.limits.set("queue:default", concurrency=7)
    segue.limits.weight(mark, 2)
    segue.subscriptions.add(f"s{mark}", events=["run.paused"], workflow=f"only.{mark}", to=hear)
    segue.retention.set(f"flow.{mark}", max_age=1.0)


@pytest.mark.parametrize("name", SPACES)
def test_no_view_shows_what_is_of_another_namespace(spaces: dict[str, Segue], name: str) -> None:
    marks = {each: f"mark{number}x" for number, each in enumerate(SPACES)}
    for each, segue in spaces.items():
        _fill(segue, marks[each])
    mine = spaces[name]
    ids = {run.id for segue in others(spaces, name) for run in segue.runs()}
    foreign = [*ids, *(mark for each, mark in marks.items() if each != name)]
    with hired(spaces["shop"]), hired(spaces[""]), hired(spaces["bank"]):
        for what, view in VIEWS.items():
            found = view(mine)
            assert found, what
            text = json.dumps(msgspec.to_builtins(found))
            assert "\\u001f" not in text, what
            assert not [word for word in foreign if word in text], what
        assert len(mine.workers()) == 1
        with Segue(mine.url, namespace="*") as every:
            for what in VIEWS.keys() - ONLY_OF_ONE:
                text = json.dumps(msgspec.to_builtins(VIEWS[what](every)))
                assert "\\u001f" not in text, what
            assert {run.namespace for run in every.runs()} == set(SPACES)
            assert {each.namespace for each in every.schedules.list()} == set(SPACES)
            assert {each.namespace for each in every.limits.list()} == set(SPACES)
            assert {each.namespace for each in every.workers()} == set(SPACES)
            assert {each.namespace for each in every.definitions()} == set(SPACES)
            assert {each.namespace for each in every.events.list()} == set(SPACES)
            assert {each.namespace for each in every.approvals.list()} == set(SPACES)
            assert {each.namespace for each in every.retention.list()} == set(SPACES)
            assert {each.namespace for each in every.subscriptions.list()} == set(SPACES)


def test_verbs_do_not_find_runs_of_another_namespace(spaces: dict[str, Segue]) -> None:
    run = spaces["shop"].start(patient, 1)
    work(spaces["shop"])
    before = run.info()
    for segue in (spaces[""], spaces["bank"]):
        verbs: list[Callable[[], Any]] = [
            partial(segue.get, run.id), partial(segue.get, run.id[:13]), partial(segue.send, run.id, "go"),
            partial(segue.send, run, "go"), partial(segue.annotate, run.id, tags=["x"]),
            partial(segue.annotate, run, tags=["x"]),
        ]  # fmt: skip
        for verb in verbs:
            with pytest.raises(RunNotFoundError):
                verb()
        selection = segue.select(ids=[run.id])
        for bulk in (selection.pause, selection.resume, selection.cancel, selection.retry):
            assert list(bulk().errors) == [run.id]
        assert segue.runs(ids=[run.id]) == []
        assert segue.events.list(run.id) == []
        assert segue.select(workflow=patient.name).cancel().changed == 0
    assert run.info() == before
    with Segue(run._engine.store.url, namespace="*") as every:
        assert every.get(run.id).pause() == "paused"
        assert every.select(ids=[run.id]).resume().changed == 1
        every.send(run.id, "go", 4)
    work(spaces["shop"])
    assert run.result() == 8


def test_all_namespaces_together_start_and_change_nothing_by_name(spaces: dict[str, Segue]) -> None:
    acts: list[Callable[[Segue], Any]] = [
        lambda segue: segue.start(double, 1),
        lambda segue: segue.start(double, 1, debounce=sg.Debounce(key="k", window=1)),
        lambda segue: segue.limits.set("api", concurrency=1),
        lambda segue: segue.limits.remove("api"),
        lambda segue: segue.limits.weight("k", 1),
        lambda segue: segue.retention.set(max_age=1.0),
        lambda segue: segue.subscriptions.add("s", events=["run.failed"], to=hear),
        lambda segue: segue.schedules.create("n", double, 1, schedule="@daily"),
        lambda segue: segue.schedules.get("n"),
        lambda segue: segue.publish_definitions(),
        lambda segue: work(segue),
    ]
    with Segue(spaces[""].url, namespace="*") as every:
        for act in acts:
            with pytest.raises(ConfigError, match="namespace"):
                act(every)
        assert every.runs() == []


@pytest.mark.parametrize("name", ["a/b", "a b", "é", "x" * 41, "a\x1fb", "**", " ", 7])
def test_what_is_no_namespace_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match="namespace"):
        Segue("sqlite:///never.db", namespace=name)


def test_no_name_may_have_the_separator(spaces: dict[str, Segue]) -> None:
    """Else a queue of the default namespace could be one of another."""
    name = f"shop{SEPARATOR}default"
    with pytest.raises(DefinitionError):
        double.options(queue=name)
    with pytest.raises(DefinitionError):
        sg.task(name=name)(lambda: None)
    with pytest.raises(DefinitionError):
        sg.task(limits=[sg.Limit(name, concurrency=1)])(lambda: None)
    segue = spaces[""]
    acts: list[Callable[[], Any]] = [
        lambda: segue.limits.set(name, concurrency=1),
        lambda: segue.limits.weight("k", 1, queue=name),
        lambda: segue.retention.set(name, max_age=1.0),
        lambda: segue.subscriptions.add(name, events=["run.failed"], to=hear),
        lambda: segue.schedules.create(name, double, 1, schedule="@daily"),
        lambda: segue.runs(workflow=name),
    ]
    for act in acts:
        with pytest.raises(SegueError):
            act()


def test_the_environment_names_a_namespace(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGUE_NAMESPACE", "shop")
    with Segue(database_url) as segue, Segue(database_url, namespace="") as default:
        assert (segue.namespace, default.namespace) == ("shop", "")
