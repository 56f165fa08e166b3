"""The examples of dramatiq-workflow, with the import line changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from dramatiq import Worker
from dramatiq.brokers.stub import StubBroker
from dramatiq.rate_limits.backends import StubBackend

from segue import Segue
from segue.compat.dramatiq_workflow import (
    AtMostOnceBarrier,
    CallbackStorage,
    Chain,
    DedupWorkflowCallbackStorage,
    Group,
    InlineCallbackStorage,
    WithDelay,
    Workflow,
    WorkflowMiddleware,
    walk_messages,
)
from segue.compat.dramatiq_workflow._serialize import serialize_workflow, unserialize_workflow
from segue.errors import ConfigError
from tests.executors.dramatiq.conftest import wait_until

SECONDS = 30


class Project:
    """A broker with eight actors that write down their numbers."""

    def __init__(self, broker: StubBroker, path: Path) -> None:
        self.broker = broker
        self.path = path

        @dramatiq.actor(broker=broker)
        def number(which: int) -> None:
            with path.open("a") as file:
                file.write(f"{which}\n")

        self.number = number

    @property
    def order(self) -> list[int]:
        """The numbers, in the order in which they were written."""
        return [int(line) for line in self.path.read_text().split()] if self.path.exists() else []


@pytest.fixture
def project(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv("SEGUE_DATABASE_URL", database_url)
    broker = StubBroker()
    middleware = WorkflowMiddleware(StubBackend())
    broker.add_middleware(middleware)
    monkeypatch.setattr(dramatiq.broker, "global_broker", broker)
    made = Project(broker, tmp_path / "order")
    worker = Worker(broker, worker_timeout=50, worker_threads=4)
    worker.start()
    yield made
    worker.stop()
    middleware.segue.close()


def eight(project: Project) -> Chain:
    task = [project.number.message(which) for which in range(9)]
    return Chain(
        task[1],
        Group(Chain(task[2], task[5]), task[3], Chain(task[4], Group(task[6], task[7]))),
        task[8],
    )


def test_the_workflow_of_the_drawing(project: Project) -> None:
    run = Workflow(eight(project)).run()
    assert run.wait(timeout=SECONDS).status == "succeeded"
    order = project.order
    assert sorted(order) == list(range(1, 9))
    for first, then in [(1, 2), (1, 3), (1, 4), (2, 5), (4, 6), (4, 7), (5, 8), (3, 8), (6, 8), (7, 8)]:
        assert order.index(first) < order.index(then)


def test_a_workflow_may_run_again_and_each_time_is_a_run(project: Project) -> None:
    workflow = Workflow(Chain(project.number.message(1)), project.broker)
    runs = [workflow.run(), workflow.run()]
    assert len({run.wait(timeout=SECONDS).id for run in runs}) == 2
    assert project.order == [1, 1]


def test_a_workflow_that_the_older_library_has_begun_is_carried_on(project: Project) -> None:
    """Chain(1, Group(2, Chain(3, 4)), 5), of which 1 has ended: 2 and 3 are in the broker, with the rest."""
    broker, number = project.broker, project.number
    [middleware] = [each for each in broker.middleware if isinstance(each, WorkflowMiddleware)]
    for key, parties in (("chain", 1), ("group", 2), ("inner", 1)):
        AtMostOnceBarrier(middleware.rate_limiter_backend, key, ttl=86_400_000).create(parties)
    outer = [["chain", serialize_workflow(Chain(number.message(5))), False], ["group", None, True]]
    inner = [*outer, ["inner", serialize_workflow(Chain(number.message(4))), False]]
    for which, callbacks in ((2, outer), (3, inner)):
        broker.enqueue(number.message_with_options(args=(which,), workflow_completion_callbacks=callbacks))
    wait_until(lambda: 5 in project.order, SECONDS)
    order = project.order
    assert sorted(order) == [2, 3, 4, 5]
    assert order[-1] == 5
    assert order.index(3) < order.index(4)
    wait_until(lambda: {run.status for run in middleware.segue.runs()} == {"succeeded"}, SECONDS)
    assert [run.key for run in middleware.segue.runs()] == ["chain", "inner"]


def test_delays_add_up(project: Project) -> None:
    workflow = Workflow(WithDelay(WithDelay(Chain(project.number.message(1), Group()), delay=20), delay=30))
    assert isinstance(workflow.workflow, Chain)
    run = workflow.run()
    assert run.wait(timeout=SECONDS).status == "succeeded"
    info, [step] = run.info(), run.steps()
    assert step.started_at is not None
    assert (step.started_at - info.created_at).total_seconds() >= 0.05


@pytest.mark.parametrize("empty", [Chain(), Group(), WithDelay(Chain(), 10)])
def test_empty_ones_end(project: Project, empty: Any) -> None:
    assert Workflow(empty).run().wait(timeout=SECONDS).status == "succeeded"


def test_a_bad_member_is_refused_before_anything_is_sent(project: Project) -> None:
    with pytest.raises(TypeError, match="Unsupported workflow type"):
        Workflow(Chain(project.number.message(1), "number")).run()  # type: ignore[arg-type]
    assert project.order == []


def test_a_broker_without_the_middleware_says_so() -> None:
    with pytest.raises(RuntimeError, match="WorkflowMiddleware middleware not found!"):
        Workflow(Chain(), StubBroker()).run()


@pytest.mark.parametrize("backend, barrier", [(object(), AtMostOnceBarrier), (StubBackend(), "barrier")])
def test_wrong_arguments_of_the_middleware(backend: Any, barrier: Any, segue: Segue) -> None:
    with pytest.raises(TypeError, match="WorkflowMiddleware was given"):
        WorkflowMiddleware(backend, barrier, segue=segue)


def test_a_database_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGUE_DATABASE_URL", raising=False)
    with pytest.raises(ConfigError, match="SEGUE_DATABASE_URL"):
        WorkflowMiddleware(StubBackend())


def test_messages_are_walked_as_they_are_written(project: Project) -> None:
    messages = list(walk_messages(WithDelay(eight(project), 10)))
    assert [message.args[0] for message in messages] == [1, 2, 5, 3, 4, 6, 7, 8]
    with pytest.raises(TypeError, match="Unsupported"):
        list(walk_messages(Chain(1)))


def test_workflows_become_dicts_and_come_back(project: Project) -> None:
    work = WithDelay(eight(project), 10)
    text = json.dumps(serialize_workflow(work))
    assert json.dumps(serialize_workflow(unserialize_workflow(json.loads(text)))) == text
    assert unserialize_workflow(lambda: serialize_workflow(Group())) == Group()
    assert str(Workflow(Chain(), project.broker)) == "Workflow({'__type__': 'chain', 'children': []})"
    with pytest.raises(ValueError, match="None"):
        unserialize_workflow(None)
    with pytest.raises(TypeError, match="Unsupported"):
        unserialize_workflow({"__type__": "tree"})


def test_a_barrier_is_passed_once() -> None:
    barrier = AtMostOnceBarrier(StubBackend(), "key")
    barrier.create(2)
    assert [barrier.wait(block=False) for _ in range(3)] == [False, True, False]
    with pytest.raises(ValueError, match="Blocking"):
        barrier.wait()


def test_storages_of_callbacks_keep_each_workflow_once() -> None:
    kept: dict[str, Any] = {}

    class Dedup(DedupWorkflowCallbackStorage[str]):
        def _store_workflow(self, id: str, workflow: dict[str, Any]) -> str:
            return str(kept.setdefault(id, workflow) and id)

        def _load_workflow(self, id: str, ref: str) -> dict[str, Any]:
            return dict(kept[ref])

    storage: CallbackStorage[Any] = Dedup()
    callbacks: Any = [("a", {"x": 1}, True), ("b", None, False)]
    ref = storage.store(callbacks)
    assert ref == [("a", "a", True), ("b", None, False)]
    [(_, lazy, _), (_, none, _)] = storage.retrieve(ref)
    assert (lazy(), none) == ({"x": 1}, None)  # type: ignore[operator, misc]
    assert storage.store([("a", lazy, True)]) == [("a", "a", True)]
    with pytest.raises(TypeError, match="Unsupported workflow type"):
        storage.store([("a", "text", True)])  # type: ignore[list-item]
    assert InlineCallbackStorage().retrieve(InlineCallbackStorage().store(callbacks)) == callbacks
