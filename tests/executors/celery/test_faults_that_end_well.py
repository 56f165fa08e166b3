"""Canvases on which plain Celery has hung, lost tasks or run them twice, as its users reported them. They end here.

docs/migrate-celery.md lists the reports.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import chain, chord, group
from celery.exceptions import ChordError

from segue.errors import RunFailedError
from tests.executors.celery.conftest import Project, Staged, wait_until

SECONDS = 40


def noting(project: Project, path: Path, word: str) -> Any:
    return project.app.tasks["note"].si(str(path), word)


def result_of(project: Project, canvas: Any) -> Any:
    return project.segue.start(canvas).wait(timeout=SECONDS).result()


def end_of(project: Project, canvas: Any) -> Any:
    run = project.segue.start(canvas).wait(timeout=SECONDS)
    with pytest.raises(RunFailedError):
        run.result()
    return run


def test_groups_and_chords_in_headers_complete(project: Project) -> None:
    add, total, same = (project.app.tasks[name] for name in ("add", "total", "same"))
    inner = chord([add.s(1, 1), chord([add.s(2, 2), group(add.s(3, 3), add.s(4, 4))], total.s())], total.s())
    assert sorted(result_of(project, chord([group(add.s(0, 1), inner), add.s(5, 5)], same.s()))) == [1, 10, 20]


def test_what_follows_a_group_waits_for_its_longest_member(project: Project, tmp_path: Path) -> None:
    seen, gate = tmp_path / "seen", tmp_path / "gate"
    long = project.sig("wait_for_file", str(gate)) | noting(project, seen, "long")
    short = chain(group(noting(project, seen, "a"), noting(project, seen, "b")), noting(project, seen, "c"))
    run = project.segue.start(chain(group(long, short), noting(project, seen, "last")))
    wait_until(lambda: seen.exists() and "c" in seen.read_text().split())
    gate.touch()
    run.wait(timeout=SECONDS).result()
    words = seen.read_text().split()
    assert (sorted(words), words[-1]) == (["a", "b", "c", "last", "long"], "last")


def test_a_chain_in_a_header_that_fails_early_ends_the_chord(project: Project, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    header = [chain(project.sig("fail"), project.sig("same"), project.sig("same")), project.sig("add", 1, 1)]
    body = noting(project, seen, "body").on_error(noting(project, seen, "errback"))
    result = chord(header, body).apply_async()
    with pytest.raises((ChordError, ValueError)):
        result.get(timeout=SECONDS)
    wait_until(lambda: seen.exists() and result.state == "FAILURE")
    assert seen.read_text().split() == ["errback"]


def test_the_error_callback_behind_a_group_is_called_once(project: Project, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    header = group(
        project.sig("fail"), noting(project, seen, "member"), chord([project.sig("fail")], project.sig("same"))
    )
    end_of(project, header | noting(project, seen, "body").on_error(noting(project, seen, "errback")))
    assert seen.read_text().split() == ["member", "errback"]


def test_an_error_callback_of_a_group_is_called_for_each_task_that_fails(project: Project, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    work = group(project.sig("fail"), project.sig("fail"), project.sig("add", 1, 1))
    work.link_error(project.app.tasks["note_failure"].s(path=str(seen)))
    run = end_of(project, work)
    failed = {step.handle for step in run.steps(status="failed")}
    assert set(seen.read_text().split()) == failed
    assert len(seen.read_text().split()) == 2


def test_a_header_task_that_replaces_itself_keeps_its_place(project: Project) -> None:
    header = [project.sig("fan", 4), project.sig("add", 5, 5), project.sig("recurse", 3), project.sig("fan", 3)]
    assert result_of(project, chord(header, project.sig("same"))) == [6, 10, "bottom", 3]


def test_a_retry_in_a_chain_does_not_lose_the_rest(project: Project) -> None:
    assert result_of(project, chain(project.sig("same", 7), project.sig("flaky", 2), project.sig("same"))) == [7, 2]


def test_a_header_without_stored_results_completes(project: Project) -> None:
    header = [project.sig("ignored"), project.sig("add", 1, 1).set(ignore_result=True)]
    assert result_of(project, chord(header, project.sig("same"))) == ["not kept by Celery", 2]


def test_a_hard_time_limit_is_one_failure(project: Project, tmp_path: Path) -> None:
    member = project.sig("wait_for_file", str(tmp_path / "never")).set(time_limit=1)
    run = end_of(project, chord([member, project.sig("add", 1, 1)], project.sig("same")))
    [failed] = run.steps(status="failed")
    assert (failed.name, failed.attempt) == ("wait_for_file", 1)
    assert failed.error.type.endswith("TimeLimitExceeded")


def test_a_soft_time_limit_that_a_task_catches_counts_once(project: Project) -> None:
    header = [project.sig("in_time"), project.sig("add", 1, 1)]
    run = project.segue.start(chord(header, project.sig("same"))).wait(timeout=SECONDS)
    assert run.result() == ["in time", 2]
    assert [step.attempt for step in run.steps() if step.name != "join"] == [1, 1, 1]


def test_no_get_hangs_when_the_group_before_fails(project: Project) -> None:
    first = group(project.sig("fail"), project.sig("add", 1, 1))
    second = group(project.sig("same"), project.sig("same"))
    result = chain(first, second).apply_async()
    with pytest.raises((ChordError, ValueError)):
        result.get(timeout=SECONDS)
    wait_until(lambda: all(member.state == "FAILURE" for member in result.results))


def test_a_group_in_a_chain_in_a_chain_that_fails_calls_the_error_callback(project: Project, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    inner = chain(group(project.sig("fail"), project.sig("add", 1)), project.sig("same"))
    end_of(project, chain(project.sig("add", 1, 1), chain(inner)).on_error(noting(project, seen, "errback")))
    assert set(seen.read_text().split()) == {"errback"}


def test_a_chord_in_a_chain_in_a_chord_in_a_chain_ends(project: Project) -> None:
    add, total, same = (project.app.tasks[name] for name in ("add", "total", "same"))
    inner = chord([add.si(4, 4), add.si(5, 5)], total.s())
    canvas = chain(same.s(1), chord([same.si(2), chain(same.si(3), inner)], total.s()), same.s())
    assert result_of(project, canvas) == 20


def test_many_chains_ending_in_groups_in_a_group_end(project: Project) -> None:
    add = project.app.tasks["add"]
    work = group(chain(add.s(number, 0), group(add.s(1), add.s(2))) for number in range(10))
    assert result_of(project, work) == [[number + 1, number + 2] for number in range(10)]


def test_a_member_that_is_revoked_ends_the_chord(staged: Staged, tmp_path: Path) -> None:
    staged.worker()
    project, gate = staged.project, tmp_path / "gate"
    blocking = [project.sig("wait_for_file", str(gate)) for _ in range(2)]
    run = project.segue.start(chord([*blocking, project.sig("add", 1, 1)], project.sig("same")))
    wait_until(lambda: [step.status for step in run.steps()][:2] == ["running", "running"])
    project.app.control.revoke(run.step("add").info().handle)
    wait_until(lambda: bool((project.app.control.inspect(timeout=1).revoked() or {}).popitem()[1]))
    gate.touch()
    run.wait(timeout=SECONDS)
    assert run.status == "failed"
    assert run.step("add").info().error.type == "TaskRevokedError"


def messages(staged: Staged) -> list[Any]:
    found: Any = redis.Redis.from_url(f"{staged.broker}/0").lrange("celery", 0, -1)
    return [json.loads(message) for message in found]


def test_a_delay_is_a_row_and_no_message(staged: Staged) -> None:
    project = staged.project
    later = project.sig("add", 1, 1).set(countdown=3600 * 24)
    run = project.segue.start(group(later, project.sig("add", 2, 2)))
    assert len(messages(staged)) == 1
    assert sorted(step.status for step in run.steps()) == ["ready", "sent"]


def test_messages_do_not_grow_with_the_canvas(staged: Staged) -> None:
    add, total = staged.project.app.tasks["add"], staged.project.app.tasks["total"]
    sizes = []
    for count in (1, 15):
        rows = [[group(add.si(number, row) for number in range(3)), total.s()] for row in range(count)]
        staged.project.segue.start(chain(*[part for row in rows for part in row]))
        sizes.append([len(json.dumps(message)) for message in messages(staged)])
        redis.Redis.from_url(f"{staged.broker}/0").flushdb()
    assert len(sizes[0]) == len(sizes[1]) == 3
    assert max(sizes[1]) < max(sizes[0]) + 100 < 3000
