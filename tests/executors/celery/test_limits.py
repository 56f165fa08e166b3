"""Segue's limits, rates and fair shares hold for the tasks of a Celery app."""

from __future__ import annotations

from pathlib import Path

from celery import chain, group

from segue.executors.celery.door import door_of
from tests.contract.stage import connect
from tests.executors.celery.conftest import Staged

SECONDS = 60


def most_at_once(path: Path) -> int:
    """How many were under way at the same time: each wrote a line when it began, and one when it ended."""
    now = most = 0
    for word in path.read_text().split():
        now += 1 if word.startswith("+") else -1
        most = max(most, now)
    return most


def test_no_more_tasks_run_than_there_are_places(staged: Staged, tmp_path: Path) -> None:
    project = staged.project
    project.segue.limits.set("task:celery:under_way", concurrency=1)
    staged.worker()
    path = tmp_path / "notes"
    under_way = project.app.tasks["under_way"]
    run = project.segue.start(group(
        chain(project.sig("same", number), under_way.si(str(path), number)) for number in range(20)
    ))  # fmt: skip
    assert run.wait(timeout=SECONDS).result() == list(range(20))
    assert most_at_once(path) == 1
    assert len(path.read_text().split()) == 40


def test_limits_in_the_code_count_each_key_apart(staged: Staged, tmp_path: Path) -> None:
    project, path = staged.project, tmp_path / "notes"
    staged.worker()
    keyed = project.app.tasks["keyed"]
    run = project.segue.start(group(
        chain(project.sig("same", customer), keyed.s(str(path))) for customer in "xxxxxxxxxxyyy"
    ))  # fmt: skip
    assert run.wait(timeout=SECONDS).result() == list("xxxxxxxxxxyyy")
    for customer, count in (("x", 10), ("y", 3)):
        notes = Path(f"{path}-{customer}")
        assert most_at_once(notes) == 1
        assert len(notes.read_text().split()) == 2 * count


def test_a_place_comes_back_from_a_child_that_died(staged: Staged, tmp_path: Path) -> None:
    project = staged.project
    project.segue.limits.set("queue:@celery:celery", concurrency=1)
    staged.worker()
    first = project.segue.start(project.sig("die_once", str(tmp_path / "marker")))
    second = project.segue.start(chain(project.sig("same", 1), project.sig("same")))
    assert first.wait(timeout=SECONDS).result() == "survived"
    assert second.wait(timeout=SECONDS).result() == 1


def test_a_rate_spreads_what_is_sent(staged: Staged, tmp_path: Path) -> None:
    project = staged.project
    rate = 20.0
    project.segue.limits.set("queue:@celery:celery", rate=f"{rate:.0f}/s")
    staged.worker()
    run = project.segue.start(group(project.sig("same", number) for number in range(30)))
    assert run.wait(timeout=SECONDS).result() == list(range(30))
    with connect(staged.url) as connection:
        is_sqlite = staged.url.startswith("sqlite")
        moment = "julianday(sent_at) * 86400.0" if is_sqlite else "extract(epoch FROM sent_at)::float8"
        rows = connection.execute(f"SELECT {moment} FROM segue_steps ORDER BY sent_at").fetchall()
    sent = [at for (at,) in rows]
    assert len(sent) == 30
    for number, at in enumerate(sent):
        for later, then in enumerate(sent[number:]):
            assert later + 1 <= 2 + rate * (then - at) + 0.01, f"{later + 1} were sent in {then - at} s"


def test_what_a_queue_may_hold_is_bounded_and_can_be_opened(staged: Staged) -> None:
    project = staged.project
    project.segue.limits.set("queue:@celery:celery", concurrency=0)
    run = project.segue.start(group(project.sig("same", number) for number in range(5)))
    staged.worker()
    assert {step.status for step in run.steps()} == {"ready"}
    assert "limited" in {reason.code for reason in run.explain()}
    project.segue.limits.set("queue:@celery:celery", concurrency=2)
    assert run.wait(timeout=SECONDS).result() == list(range(5))


def test_later_steps_go_first(staged: Staged, tmp_path: Path) -> None:
    check_that_later_steps_go_first(staged, tmp_path)


def check_that_later_steps_go_first(staged: Staged, folder: Path) -> None:
    """Runs end before further ones begin, also if all of them were sent before a worker came."""
    project, path, count = staged.project, folder / "notes", 12
    door_of(project.app).later_first = True
    note = project.app.tasks["note"]
    runs = [
        project.segue.start(chain(note.si(str(path), f"{run}-{step}") for step in range(3))) for run in range(count)
    ]  # fmt: skip
    staged.worker()
    for run in runs:
        run.wait(timeout=SECONDS)
    words = path.read_text().split()
    assert len(words) == 3 * count
    under_way = set()
    most = 0
    for word in words:
        run_number, _, step = word.partition("-")
        under_way.add(run_number)
        most = max(most, len(under_way))
        if step == "2":
            under_way.remove(run_number)
    assert most <= 6, words  # two children, and what the worker had fetched before; all twelve without priorities
