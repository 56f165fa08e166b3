"""One plan with steps that Celery runs, that Dramatiq runs, and of Segue's own workers."""

from __future__ import annotations

from pathlib import Path

import celery

import segue
from segue import task
from segue.authoring import to_plan
from segue.executors.dramatiq import Chain, step
from tests.executors.celery.conftest import CeleryWorker
from tests.executors.celery.project import make_app
from tests.executors.dramatiq.conftest import a_project, working


@task
def tripled(value: int) -> int:
    return 3 * value


@task
def total_of(values: list[int]) -> int:
    return sum(values)


def test_celery_dramatiq_and_own_steps_follow_each_other(database_url: str, redis_url: str, tmp_path: Path) -> None:
    app = make_app(redis_url, database_url)
    notes = str(tmp_path / "notes")
    with a_project("stub", database_url) as project:
        note = app.tasks["note"]
        work = segue.chain(
            project.message("add", 1, 2), tripled.s(), note.si(notes, "celery") | app.tasks["same"].s(), tripled.si(7),
            project.message("add", 21),
        )  # fmt: skip
        plan = to_plan(work)
        assert [node.executor for node in plan.nodes] == ["dramatiq", None, "celery", "celery", None, "dramatiq"]
        assert [node.parents for node in plan.nodes] == [(), (0,), (1,), (2,), (3,), (4,)]
        worker = CeleryWorker(redis_url, database_url, tmp_path / "celery.log")
        with working(project):
            assert project.segue.run(work) == 42
        worker.stop()
    assert Path(notes).read_text() == "celery\n"
    app.segue.close()
    app.close()


def test_a_canvas_gets_the_result_of_the_message_before_it(database_url: str, redis_url: str, tmp_path: Path) -> None:
    app = make_app(redis_url, database_url)
    add, total = app.tasks["add"], app.tasks["total"]
    with a_project("stub", database_url) as project:
        canvas = celery.chord([add.s(1), add.s(2)], total.s()) | add.s(10)
        work = Chain(project.message("add", 1, 2), canvas, step(project.message("add", 100)))
        worker = CeleryWorker(redis_url, database_url, tmp_path / "celery.log")
        with working(project):
            assert project.segue.run(work) == 119
            assert project.segue.run(segue.chain(tripled.s(2), celery.group(add.s(1), add.s(2)), total_of.s())) == 15
        worker.stop()
    app.segue.close()
    app.close()


def test_an_immutable_canvas_gets_nothing(segue: segue.Segue, redis_url: str) -> None:
    app = make_app(redis_url, segue.url)
    with a_project("stub", segue.url) as project:
        canvas = app.tasks["same"].si(1) | app.tasks["add"].s(2)
        plan = to_plan(Chain(project.message("add", 1), canvas, step(project.message("add", 2))))
        assert [node.parents for node in plan.nodes] == [(), (0,), (1,), (2,)]
        assert [len(node.holes) for node in plan.nodes] == [0, 0, 1, 1]
    app.segue.close()
    app.close()
