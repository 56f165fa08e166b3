"""What users call, given values that make no sense: it works, or says what is wrong, alike on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import UUID

import pytest

import segue
from segue import Debounce, Run, Schedule, Segue, StepHandle, group, task, workflow
from segue.client.limits import Limits
from segue.client.retention import Retention
from segue.client.schedules import Schedules
from segue.client.selection import Selection
from segue.client.subscriptions import Subscriptions
from segue.client.waiting import Approvals, Events
from segue.engine.control import pause_run
from segue.errors import ConfigError
from tests.contract.hostile import called, outcome, public_methods, spoilt
from tests.servers import postgres

A_DAY = timedelta(days=1)
PAST = datetime(2026, 1, 1, tzinfo=UTC)
BY = {"actor": "ann", "reason": "why"}
CHOSEN = {
    "workflow": "w", "status": "failed", "tag": "t", "key": "k", "older_than": A_DAY, "newer_than": A_DAY,
    "error_type": "OSError", "metadata": {"a": 1}, "ids": [],
}  # fmt: skip
WHEN = {
    "timezone": "UTC", "starts_at": PAST, "ends_at": datetime(2100, 1, 1, tzinfo=UTC), "jitter": 1, "overlap": "skip",
    "catch_up": "all", "catch_up_window": 5, "tags": ["t"],
}  # fmt: skip
EVERY = Schedule(3600)


@task
def one(x: Any = None) -> Any:
    return x


@workflow
def flow(x: int = 1) -> Any:
    return one(x)


class Scene:
    """A database with a run and everything else that may be named, and what is called there with good arguments."""

    def __init__(self, url: str) -> None:
        self.segue = Segue(url)
        self.run = self.segue.start(flow, 1)
        self.other = self.segue.start(group(one.s(1), one.s(2)))
        self.segue.schedules.create("s", one, schedule=EVERY, active=False)
        self.segue.subscriptions.add("sub", events=["run.failed"], to="https://127.0.0.1:1/")
        self.step = self.run.step("one")
        self.over = self.segue.start(group())
        self.choice = self.segue.select(workflow="nothing")

    def calls(self) -> dict[type, dict[str, dict[str, Any]]]:
        id_ = self.other.id
        return {
            Segue: {
                "start": {"work": one, "*args": 1, "key": None, "tags": ["t"], "metadata": {"a": 1}, "deadline": 60,
                          "debounce": None, "connection": None},
                "start_many": {"work": one, "arguments": [(1,)], "keys": None, "tags": [], "metadata": None,
                               "connection": None},
                "run": {"work": one, "key": None},  # the rest goes to `start`
                "send": {"run": id_, "name": "n", "value": 1, "key": None},
                "get": {"run_id": id_},
                "runs": {"before": None, "limit": 3},
                "select": dict(CHOSEN),  # which `runs` takes, too
                "annotate": {"run": id_, "tags": ["t"], "without": ["u"], "metadata": {"a": 1}, "step": 0},
                "prune": {"older_than": timedelta(days=9000)},
                "definitions": {"version": None},
                "wait_for": {"name": "n", "timeout": 5, "default": 1},
                "sleep": {"seconds": 5},
                "pages": {"cursor": None, "limit": 3},  # and what `select` takes
                "workflows": {"after": "", "limit": 5},
                "statistics": {"since": A_DAY, "by": "queue", "queue": "q", "task": "t"},
            },
            Run: {
                "steps": {"status": "ready", "name": "one", "after": 0, "limit": 5},
                "attempts": {"step": 0},
                "wait": {"timeout": 0},
                "follow": {"every": 1.0},
                "pause": {"stop_running": False, **BY},
                "resume": dict(BY),
                "cancel": dict(BY),
                "retry": {"from_": None, **BY},
                "fork": {"step": 0, "args": None, "kwargs": None, "key": None, "tags": [], "metadata": None, **BY},
                "step": {"step": 0},
                "send": {"name": "n", "value": 1, "key": None},
                "explain": {"step": 0},
                "members": {"first": 0, "status": "ready", "after": -1, "limit": 5},
                "messages": {"after": -1, "limit": 5},
                "watch": {"seconds": 5.0},
            },
            StepHandle: {
                "retry": dict(BY), "skip": dict(BY), "mark": {"result": 1, **BY}, "edit": {"*args": 1},
            },
            Selection: {
                "preview": {"verb": "pause"},
                "up_to": {"newest": id_},
                "annotate": {"tags": ["t"], "without": ["u"], "metadata": {"a": 1}},
                "pause": {"stop_running": False, **BY}, "resume": dict(BY), "cancel": dict(BY), "retry": dict(BY),
                "among": {"statuses": []}, "apply": {"verb": pause_run, "among": [], "on_each": None},
            },
            Schedules: {
                "create": {"name": "n", "work": one, "*args": 1, "schedule": 3600, "active": False, **WHEN},
                "list": {"workflow": "w"}, "get": {"name": "s"},
                "update": {"name": "s", "work": one, "schedule": 60, **WHEN},
                "activate": {"name": "s"}, "deactivate": {"name": "s"}, "remove": {"name": "t"},
                "run_now": {"name": "s"}, "next": {"name": "s", "n": 2},
                "backfill": {"name": "s", "since": PAST, "until": PAST + A_DAY, "dry_run": True, "overlap": "allow"},
                "ticks": {"name": "s", "before": PAST, "limit": 3},
            },
            Limits: {
                "set": {"name": "x", "concurrency": 1, "rate": "1/s", "burst": 1}, "remove": {"name": "x"},
                "weight": {"key": "k", "weight": 2, "queue": "q"},
            },
            Retention: {
                "get": {"workflow": "w", "status": "failed"},
                "set": {"workflow": "w", "status": "failed", "max_age": A_DAY, "max_count": 5},
                "remove": {"workflow": "w", "status": "failed"},
            },
            Subscriptions: {
                "add": {"name": "sub", "events": ["run.*"], "to": "https://127.0.0.1:1/", "workflow": "w"},
                "deactivate": {"name": "sub"}, "activate": {"name": "sub"}, "remove": {"name": "other"},
            },
            Approvals: {"list": {"workflow": "w", "name": "n", "limit": 5}},
            Events: {"list": {"run_id": id_, "kinds": ["run.*"], "before": id_, "limit": 5}},
            Debounce: {
                "__init__": {"key": "k", "window": 5, "keep": "all", "restarts": True, "longest": 50, "most": 5},
            },
        }  # fmt: skip

    def bound(self, kind: type, name: str) -> Callable[..., Any]:
        if kind is Debounce:
            return lambda **given: self.segue.start(one, 1, debounce=Debounce(**given))
        held = {
            Segue: self.segue, Run: self.run, StepHandle: self.step, Selection: self.choice,
            Schedules: self.segue.schedules, Limits: self.segue.limits, Retention: self.segue.retention,
            Subscriptions: self.segue.subscriptions, Approvals: self.segue.approvals, Events: self.segue.events,
        }[kind]  # fmt: skip
        found: Callable[..., Any] = getattr(self.over if name == "wait" else held, name)
        return found


TAKES_NOTHING = {
    Segue: {
        "workers", "upgrade", "close", "on", "schedules", "runs", "publish_definitions", "queues", "ended_workers",
        "acting_as",
    },
    Run: {"info", "status", "counts", "result", "progress", "groups"}, StepHandle: {"output", "info", "checkpoints"},
    Selection: {"in_background", "ids", "count"},
    Schedules: set(), Limits: {"list", "shares"}, Retention: {"list", "sweep"}, Subscriptions: {"test", "list"},
    Approvals: {"page"}, Events: {"follow"}, Debounce: {"terms"},
}  # fmt: skip
KINDS = tuple(TAKES_NOTHING)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory, postgres_server_url: str) -> Iterator[list[Scene]]:
    server_url = postgres.create_database(postgres_server_url)
    scenes = [Scene(f"sqlite:///{tmp_path_factory.mktemp('wrong')}/segue.db"), Scene(server_url)]
    yield scenes
    for scene in scenes:
        scene.segue.close()
    postgres.drop_database(server_url)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_makes_no_sense_is_refused_alike_on_both_databases(scenes: list[Scene], kind: type) -> None:
    wrong = []
    for name in scenes[0].calls()[kind]:
        fns = [scene.bound(kind, name) for scene in scenes]
        for given in zip(*(spoilt(scene.calls()[kind][name]) for scene in scenes), strict=True):
            came = [outcome(partial(called, fn, arguments)) for fn, (_, arguments) in zip(fns, given, strict=True)]
            if came[0] != came[1] or came[0].startswith("BAD"):
                wrong.append(f"{kind.__name__}.{name}({given[0][0]}): {' | '.join(came)}")
    assert not wrong, "\n".join(wrong)
    for scene in scenes:
        assert scene.segue.engine.broken_invariants() == []


def test_everything_that_users_call_is_tried(scenes: list[Scene]) -> None:
    """A new method belongs into `Scene.calls`, with good arguments."""
    for kind, calls in scenes[0].calls().items():
        assert public_methods(kind) - TAKES_NOTHING[kind] - calls.keys() == set(), kind
        for name, good in calls.items():
            for scene in scenes:
                came = outcome(lambda: called(scene.bound(kind, name), good))  # noqa: B023 - called at once
                assert not came.startswith("BAD"), (kind, name, came)


@task
def named(name: int, run_id: int) -> int:
    return name + run_id


def test_arguments_of_the_work_are_its_own(scenes: list[Scene]) -> None:
    """Also when they are called like a parameter that is given by position only."""
    for scene in scenes:
        info = scene.segue.schedules.create("of ints", named, schedule=EVERY, active=False, name=1, run_id=2)
        assert info.name == "of ints"
        assert scene.segue.run(named, name=1, run_id=2) == 3


def test_harmless_spellings_are_taken(scenes: list[Scene]) -> None:
    for scene in scenes:
        with_key, *others = scene.segue.start_many(one, [(1,), (2,), (3,)], keys=["spelt", None, None])
        assert [run.is_new for run in (with_key, *others)] == [True, True, True]
        assert not scene.segue.start_many(one, [(1,)], keys=iter(["spelt"]))[0].is_new
        assert scene.segue.get(UUID(scene.run.id)).id == scene.run.id
        with pytest.raises(ConfigError, match="give one key for each"):
            scene.segue.start_many(one, [(1,), (2,)], keys=["a"])


class Colour(StrEnum):
    RED = "red"


def test_a_text_of_another_class_is_the_text_that_it_is(scenes: list[Scene]) -> None:
    for scene in scenes:
        run = scene.segue.start(one, 1, key=Colour.RED, tags=[Colour.RED])
        assert scene.segue.get(run.id).info().key == "red"
        assert [found.id for found in scene.segue.runs(key=Colour.RED, tag=Colour.RED)] == [run.id]


@pytest.mark.parametrize("url", [7, b"sqlite:///x.db", ["sqlite:///x.db"], object(), "\0", "x", "sqlite", "caf\udce9"])
def test_what_is_no_url_is_refused(url: Any) -> None:
    with pytest.raises(segue.errors.ConfigError):
        Segue(url)
