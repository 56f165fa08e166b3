"""Tasks look at what follows them in their request and change it, and add to the chord that they are in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord, group

from segue.errors import RunFailedError
from tests.executors.celery.conftest import Project, Staged, wait_until

SECONDS = 40


def outcome(project: Project, canvas: Any) -> tuple[str, Any, list[str]]:
    """How a canvas ended, its result, and the statuses of its steps."""
    run = project.segue.start(canvas).wait(timeout=SECONDS)
    result = run.result() if run.status == "succeeded" else None
    return str(run.status), result, [str(step.status) for step in run.steps()]


def test_a_task_that_empties_its_chain_ends_it(project: Project) -> None:
    canvas = chain(project.sig("cut", 1, chain="cut"), project.sig("add", 1), project.sig("add", 1))
    assert outcome(project, canvas) == ("succeeded", None, ["succeeded", "skipped", "skipped"])


def test_a_task_may_leave_out_all_but_the_last(project: Project) -> None:
    canvas = chain(
        project.sig("cut", 1, chain="last"), project.sig("fail"), project.sig("fail"), project.sig("add", 10)
    )  # fmt: skip
    assert outcome(project, canvas) == ("succeeded", 11, ["succeeded"] * 4)


def test_a_task_may_put_another_in_front_of_what_follows(project: Project) -> None:
    canvas = chain(project.sig("cut", 1, chain=["append", 5]), project.sig("add", 100))
    assert outcome(project, canvas)[:2] == ("succeeded", 106)
    result = canvas.apply_async()
    assert result.get(timeout=SECONDS) == 106
    assert result.parent.get(timeout=SECONDS) == 1


def test_a_task_may_put_another_in_front_of_a_group_or_chord(project: Project) -> None:
    add = project.app.tasks["add"]
    canvas = chain(project.sig("cut", 1, chain=["append", 5]), group(add.s(10), add.s(20)), project.sig("total"))
    assert outcome(project, canvas)[:2] == ("succeeded", 42)


def test_what_a_task_puts_in_place_of_what_follows_is_sent_by_celery(project: Project, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    note = project.app.tasks["note"]
    first = project.sig("cut", 1, chain="other", path=str(seen))
    first.link(note.si(str(seen), "callback"))
    status, _, statuses = outcome(project, chain(first, project.sig("fail")))
    assert (status, sorted(statuses)) == ("succeeded", ["skipped", "succeeded", "succeeded"])
    wait_until(lambda: seen.exists() and len(seen.read_text().splitlines()) == 3)
    assert sorted(seen.read_text().splitlines()) == ["callback", "one more", "other"]


@pytest.mark.parametrize("how", ["behind", "written"])
def test_what_cannot_be_followed_fails_the_task_and_says_why(project: Project, how: str) -> None:
    canvas = chain(project.sig("cut", 1, chain=how), project.sig("add", 100))
    run = project.segue.start(canvas)
    with pytest.raises(RunFailedError, match=r"self.request.chain was changed|changed the signature of add"):
        run.wait(timeout=SECONDS).result()


@pytest.mark.parametrize(
    "chain_, expected",
    [("cut", None), ("last", "replaced!"), (["append", "+"], "replaced+?!"), ("kept", "replaced?!")],
)
def test_a_task_that_is_replaced_may_change_what_follows(project: Project, chain_: Any, expected: Any) -> None:
    canvas = chain(project.sig("cut", 1, chain=chain_, replace=True), project.sig("add", "?"), project.sig("add", "!"))
    status, result, _ = outcome(project, canvas)
    assert (status, result) == ("succeeded", expected)


def test_callbacks_and_error_callbacks_may_be_taken_back(project: Project, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    note = project.app.tasks["note"]
    for fails in (False, True):
        first = project.sig("cut", 1, callbacks=True, fails=fails)
        first.link(note.si(str(seen), "callback"))
        first.link(note.si(str(seen), "another callback"))
        first.link_error(note.si(str(seen), "errback"))
        run = project.segue.start(chain(first, project.sig("same"))).wait(timeout=SECONDS)
        assert run.status == ("failed" if fails else "succeeded")
        assert [step.status for step in run.steps() if step.task == "celery:note"] == ["skipped"] * 3
    assert not seen.exists()


def test_a_request_shows_what_follows(project: Project) -> None:
    first = project.sig("look")
    first.link(project.sig("same"))
    first.link_error(project.app.tasks["note_failure"].s(path="/dev/null"))
    third = project.sig("add", 1).set(task_id="the-third")
    canvas = chain(first, project.app.tasks["same"].s().set(task_id="the-second"), project.sig("same"), third)
    result = canvas.apply_async().parent.parent.get(timeout=SECONDS)
    chain_seen = result["chain"]
    assert [chain_seen[0], chain_seen[2]] == [["add", [1], "the-third"], ["same", [], "the-second"]]
    assert (result["callbacks"], result["errbacks"], result["chord"]) == (["same"], ["note_failure"], None)
    member = chord([project.sig("look"), project.sig("same", 1)], project.sig("same"))
    assert project.segue.start(member).wait(timeout=SECONDS).result()[0] == {
        "chain": [], "callbacks": [], "errbacks": [], "chord": "same",
    }  # fmt: skip


def test_a_retry_keeps_what_follows(project: Project) -> None:
    flaky = project.sig("flaky", 7, 2)
    flaky.link(project.sig("same"))
    canvas = chord([chain(flaky, project.sig("same")), project.sig("flaky", 8, 1)], project.sig("same"))
    assert outcome(project, canvas)[:2] == ("succeeded", [[7, 2], [8, 1]])


def test_what_only_the_main_process_knows_of_calls_the_error_callbacks(project: Project, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    note = project.app.tasks["note"]
    slow = project.app.tasks["wait_for_file"].si(str(tmp_path / "never")).set(time_limit=1)
    run = project.segue.start(chain(slow.on_error(note.si(str(seen), "errback")), project.sig("same")))
    with pytest.raises(RunFailedError, match="TimeLimitExceeded"):
        run.wait(timeout=SECONDS).result()
    assert seen.read_text() == "errback\n"


def test_a_retry_with_what_cannot_be_stored_fails_the_task(project: Project) -> None:
    run = project.segue.start(chain(project.sig("retry_with"), project.sig("same")))
    with pytest.raises(RunFailedError, match="an argument of the retry"):
        run.wait(timeout=SECONDS).result()


# The chord -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("how, expected", [("task", [101, 102, 103]), ("chord", [2, 4, 6])])
def test_a_member_adds_to_its_chord(project: Project, how: str, expected: list[int], lazy: bool) -> None:
    member = project.sig("add_members", [1, 2, 3], how=how, lazy=lazy)
    canvas = chord([member, project.sig("same", "other")], project.sig("same"))
    assert outcome(project, canvas)[:2] == ("succeeded", [0, "other", *expected])
    assert chord([member], project.sig("same")).apply_async().get(timeout=SECONDS) == [0, *expected]


def test_a_body_that_is_a_group_gets_what_was_added(project: Project) -> None:
    canvas = group(project.sig("add_members", [1]), project.sig("same", 5)) | group(
        project.sig("total"), project.sig("same")
    )  # fmt: skip
    assert outcome(project, canvas)[:2] == ("succeeded", [106, [0, 5, 101]])


def test_a_replacement_adds_to_the_chord_of_the_task_that_it_replaces(project: Project) -> None:
    replaced = project.app.tasks["replace_with"].si("add_members", [1, 2])
    canvas = chord([replaced, project.sig("same", 7)], project.sig("same"))
    assert outcome(project, canvas)[:2] == ("succeeded", [0, 7, 101, 102])


def test_a_try_after_a_retry_adds_again(project: Project) -> None:
    canvas = chord([project.sig("add_and_retry"), project.sig("same", 1)], project.sig("same"))
    assert outcome(project, canvas)[:2] == ("succeeded", ["done", 1, "added", "added"])


def test_a_member_that_dies_after_it_added_adds_nothing_twice(staged: Staged, tmp_path: Path) -> None:
    staged.worker()
    project = staged.project
    member = project.sig("add_members", [1, 2], path=str(tmp_path / "died"))
    run = project.segue.start(chord([member, project.sig("same", 7)], project.sig("same")))
    assert run.wait(timeout=SECONDS).result() == [0, 7, 101, 102]
    assert len(run.steps()) == 5
