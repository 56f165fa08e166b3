"""Workers that cannot reach the database are followed through the result backend."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord, group

from segue import Run
from segue.engine.views.look import list_attempts
from segue.errors import ConfigError, RunFailedError
from segue.executors.celery import follow
from tests.conftest import a_database
from tests.executors.celery.conftest import wait_until
from tests.executors.celery.polled import LEASE_SECONDS, QUEUE_NEARBY, Polled, is_sound, states_of
from tests.thorough import IS_THOROUGH

SECONDS = 60


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def place(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Polled]:  # fmt: skip
    """A worker without a database, and a follower; a test that ends one of them starts another."""
    folder = tmp_path_factory.mktemp("polled")
    with a_database(request.param, request, folder) as url:
        place = Polled(redis_url, url, folder)
        try:
            place.follower()
            place.worker()
            yield place
        finally:
            place.close()


def results(runs: list[Run]) -> list[Any]:
    return [run.wait(timeout=SECONDS).result() for run in runs]


def test_canvases_have_their_values(place: Polled) -> None:
    sig = place.sig
    canvases = [
        (chain(sig("add", 1, 1), sig("add", 2), sig("add", 3)), 7),
        (chord([sig("add", number, 1) for number in range(5)], sig("total")), 15),
        (chain(group(sig("add", 1, 1), chain(sig("same", 2), sig("add", 2))), sig("total")), 6),
        (chain(sig("fan", 4), sig("add", 1)), 7),  # its task replaces itself
        (chain(sig("ignored"), sig("same")), "not kept by Celery"),
        (chain(sig("flaky", "a", 2), sig("same")), ["a", 2]),
    ]
    assert results([place.segue.start(canvas) for canvas, _ in canvases]) == [value for _, value in canvases]
    assert is_sound(place.segue)


def test_results_come_to_who_applied_the_canvas(place: Polled) -> None:
    result = chord([place.sig("add", 1, 1), place.sig("flaky", 2, 1)], place.sig("same")).apply_async()
    assert result.get(timeout=SECONDS) == [2, [2, 1]]


def test_a_failure_is_recorded_as_it_was(place: Polled, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    failing = place.sig("fail").on_error(place.app.tasks["note_exception"].s(path=str(notes)))
    failing.link_error(place.app.tasks["note_failure"].s(path=str(notes)))
    result = chain(failing, place.sig("same")).apply_async()
    with pytest.raises(ValueError, match="broken"):
        result.parent.get(timeout=SECONDS)
    with pytest.raises(ValueError, match="broken"):
        result.get(timeout=SECONDS)
    [info] = place.segue.runs(limit=1)
    run = place.segue.get(info.id).wait(timeout=SECONDS)
    with pytest.raises(RunFailedError, match="ValueError: broken"):
        run.result()
    failed = run.steps()[0]
    assert failed.error is not None
    assert (failed.status, failed.error.type, failed.error.message) == ("failed", "ValueError", "broken")
    assert 'raise ValueError("broken")' in failed.error.traceback
    assert run.steps()[1].status == "skipped"
    wait_until(lambda: len(notes.read_text().split("\n")) == 3, SECONDS)
    assert sorted(notes.read_text().split("\n")) == sorted(
        [f"{result.parent.id} ValueError broken", result.parent.id, ""]
    )


def test_a_retry_is_the_next_attempt_of_the_same_step(place: Polled) -> None:
    run = place.segue.start(place.sig("flaky", "x", 2)).wait(timeout=SECONDS)
    [step] = run.steps()
    assert (step.status, step.failures) == ("succeeded", 2)
    assert step.attempt >= 3
    stubborn = place.segue.start(place.sig("stubborn")).wait(timeout=SECONDS)
    [step] = stubborn.steps()
    assert step.error is not None
    assert (step.status, step.attempt, step.error.type) == ("failed", 3, "KeyError")


def test_a_retry_with_arguments_that_no_message_can_carry_is_a_failure(place: Polled) -> None:
    run = place.segue.start(place.sig("retry_with")).wait(timeout=SECONDS)
    assert run.status == "failed"


def test_what_the_worker_does_not_run_is_recorded(place: Polled) -> None:
    ignored = place.segue.start(chain(place.sig("nothing_to_do"), place.sig("same")))
    expired = place.segue.start(place.sig("same", 1).set(expires=0.000001))
    revoked = place.sig("same", 2)
    task_id = revoked.freeze().id
    place.app.control.revoke(task_id)
    wait_until(lambda: task_id in str(place.app.control.inspect().revoked()), SECONDS)
    run = place.segue.start(revoked)
    assert states_of(ignored.wait(timeout=SECONDS)) == ["skipped", "skipped"]
    for each in (expired, run):
        [step] = each.wait(timeout=SECONDS).steps()
        assert step.error is not None
        assert (step.status, step.error.type) == ("failed", "TaskRevokedError")


def test_what_needs_the_database_fails_and_says_so(place: Polled) -> None:
    sig = place.sig
    canvases = [
        chord([sig("add_members", [1])], sig("total")),
        sig("start_chain"),
        chain(sig("cut", 1, chain="cut"), sig("same")),
        chain(sig("look", 1), sig("same")),
        chain(sig("cut", 1, chain=["append", 1]), sig("same")),
    ]
    runs = [place.segue.start(canvas) for canvas in canvases]
    for run in runs[:4]:
        with pytest.raises(RunFailedError, match="needs the database"):
            run.wait(timeout=SECONDS).result()
    assert runs[4].wait(timeout=SECONDS).result() == 2  # to put a task in front needs nothing of the database
    assert is_sound(place.segue)


def test_a_task_may_ask_where_it_is_and_say_how_far(place: Polled, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    run = place.segue.start(place.sig("reporting", str(tmp_path / "go"))).wait(timeout=SECONDS)
    assert run.result()[:3] == [run.id, 0, 1]


def test_a_cancelled_run_ends_its_task(place: Polled, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    run = place.segue.start(chain(place.sig("clean_up", str(notes)), place.sig("same")))
    wait_until(notes.exists, SECONDS)
    run.cancel()
    assert run.wait(timeout=SECONDS).status == "cancelled"
    assert notes.read_text().split() == ["begun", "clean"]


def test_a_task_that_does_not_end_is_killed_and_one_of_a_paused_run_runs_again(place: Polled, tmp_path: Path) -> None:
    """Both at once: Celery's pool takes seconds until it sees that a process has ended."""
    stubborn, notes, go = tmp_path / "stubborn", tmp_path / "notes", tmp_path / "go"
    cancelled = place.segue.start(place.sig("never_ends", str(stubborn)))
    paused = place.segue.start(chain(place.sig("note_and_wait", str(notes), str(go)), place.sig("same")))
    wait_until(lambda: stubborn.exists() and notes.exists(), SECONDS)
    cancelled.cancel()
    paused.pause(stop_running=True)
    wait_until(lambda: states_of(paused)[0] == "ready", SECONDS)
    go.touch()
    paused.resume()
    assert paused.wait(timeout=SECONDS).result() == "seen"
    assert notes.read_text().split() == ["begun", "begun"]
    assert cancelled.wait(timeout=SECONDS / 2).status == "cancelled"


def test_a_message_of_a_cancelled_run_is_turned_away(place: Polled, tmp_path: Path) -> None:
    """It waits behind the tasks that keep the worker busy."""
    notes, go, never = tmp_path / "notes", tmp_path / "go", tmp_path / "never"
    busy = [place.segue.start(place.sig("note_and_wait", str(notes), str(go))) for _ in range(2)]
    wait_until(lambda: notes.exists() and len(notes.read_text().split()) == 2, SECONDS)
    run = place.segue.start(place.app.tasks["note"].si(str(never), "ran"))
    run.cancel()
    wait_until(lambda: "Messages of 1 attempts that are to end" in place.logs("worker"), SECONDS)
    go.touch()
    assert run.wait(timeout=SECONDS).status == "cancelled"
    assert results(busy) == ["seen", "seen"]
    assert not never.exists()


def test_a_child_that_is_killed_is_a_loss(place: Polled, tmp_path: Path) -> None:
    run = place.segue.start(chain(place.sig("die_once", str(tmp_path / "died")), place.sig("same")))
    assert run.wait(timeout=SECONDS).result() == "survived"
    assert run.steps()[0].losses == 1


def test_a_step_that_failed_is_retried_by_a_person(place: Polled, tmp_path: Path) -> None:
    """Its first report and its first result are still in the result backend, under the same task id."""
    there = tmp_path / "file"
    run = place.segue.start(place.sig("needs_file", None, str(there))).wait(timeout=SECONDS)
    assert run.status == "failed"
    there.touch()
    run.retry()
    assert run.wait(timeout=SECONDS).result() == "file"


def test_a_worker_that_is_killed_loses_its_step(place: Polled, tmp_path: Path) -> None:
    notes, go = tmp_path / "notes", tmp_path / "go"
    run = place.segue.start(chain(place.sig("note_and_wait", str(notes), str(go)), place.sig("same")))
    wait_until(lambda: states_of(run)[0] == "running", SECONDS)
    place.workers[-1].kill()
    go.touch()
    place.worker()
    assert run.wait(timeout=SECONDS).result() == "seen"
    assert (run.steps()[0].losses, notes.read_text().split()) == (1, ["begun", "begun"])


def test_a_task_that_runs_for_longer_than_a_lease_runs_once(place: Polled, tmp_path: Path) -> None:
    """Nor is one lost that its worker holds back for so long, because all of its children are busy."""
    notes, go = tmp_path / "notes", tmp_path / "go"
    run, *others = [place.segue.start(place.sig("note_and_wait", str(notes), str(go))) for _ in range(3)]
    wait_until(lambda: notes.exists() and len(notes.read_text().split()) == 2, SECONDS)
    over = time.monotonic() + 1.5 * LEASE_SECONDS
    wait_until(lambda: time.monotonic() > over)
    assert sorted(states_of(run) + [states_of(other)[0] for other in others]) == ["running", "running", "sent"]
    go.touch()
    assert results([run, *others]) == ["seen"] * 3
    assert {step.attempt for each in (run, *others) for step in each.steps()} == {1}
    assert notes.read_text().split() == ["begun"] * 3


def note_many(place: Polled, path: Path) -> Run:
    """A run that takes a while, and notes each body that runs."""
    note = place.app.tasks["note"]
    header = [chain(note.si(str(path), f"a{number}"), note.si(str(path), f"b{number}")) for number in range(10)]
    return place.segue.start(chord(header, place.sig("same")))


def recorded_once(place: Polled, run: Run, path: Path) -> bool:
    """Whether the run has succeeded, and no body has run more often than its step was sent.

    On a busy machine a message may wait for longer than the short lease, and is then sent again.
    """
    assert run.wait(timeout=SECONDS).result() == [f"b{number}" for number in range(10)]
    bodies, steps = Counter(path.read_text().split()), run.steps()
    assert {step.status for step in steps} == {"succeeded"}
    assert bodies.keys() == {f"{letter}{number}" for letter in "ab" for number in range(10)}
    assert bodies.total() <= sum(step.attempt for step in steps if step.name.startswith("note"))
    with place.segue.engine.reading() as tx:
        ends = Counter(each.step for each in list_attempts(tx, run.id) if each.status == "succeeded")
    assert set(ends.values()) <= {1}
    return is_sound(place.segue)


def test_a_follower_that_is_killed_is_replaced_by_another(place: Polled, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    place.followers[-1].kill()
    run = note_many(place, notes)
    wait_until(lambda: notes.exists() and len(notes.read_text().split()) == 10, SECONDS)
    assert "succeeded" not in states_of(run)
    place.follower()
    assert recorded_once(place, run, notes)


def test_a_follower_that_dies_before_it_sends_what_it_has_recorded(place: Polled, tmp_path: Path) -> None:
    """The next step is sent, as far as the database knows: it is sent again after the lease, by another follower."""
    notes = tmp_path / "notes"
    place.followers[-1].stop()
    armed = tmp_path / "armed"
    armed.touch()
    dying = place.follower(PROJECT_DIES_BEFORE_SENDING=str(armed))
    note = place.app.tasks["note"]
    run = place.segue.start(chain(note.si(str(notes), "a"), note.si(str(notes), "b"), note.si(str(notes), "c")))
    wait_until(lambda: dying.process.poll() is not None, SECONDS)
    assert states_of(run) == ["succeeded", "sent", "blocked"]
    place.follower()
    assert run.wait(timeout=SECONDS).result() == "c"
    assert notes.read_text().split() == ["a", "b", "c"]
    assert is_sound(place.segue)


def test_a_limit_holds(place: Polled, tmp_path: Path) -> None:
    runs = [place.segue.start(place.sig("keyed", "ann", str(tmp_path / "log"))) for _ in range(4)]
    assert results(runs) == ["ann"] * 4
    assert (tmp_path / "log-ann").read_text().split() == ["+", "-"] * 4


def test_workers_that_reach_the_database_run_beside_them(place: Polled) -> None:
    place.worker(QUEUE_NEARBY, PROJECT_REPORTS="callback", PROJECT_DATABASE=place.url)
    near = {"queue": QUEUE_NEARBY}
    canvas = chain(
        place.sig("add", 1, 1), place.sig("add", 1).set(**near), place.sig("add", 1),
        group(place.sig("same"), place.sig("same").set(**near)), place.sig("total"),
    )  # fmt: skip
    assert place.segue.start(canvas).wait(timeout=SECONDS).result() == 8
    place.workers.pop().stop()
    assert is_sound(place.segue)


def test_two_followers_record_each_success_once(place: Polled, tmp_path: Path) -> None:
    second = place.follower()
    runs = [note_many(place, tmp_path / f"notes-{number}") for number in range(3)]
    for number, run in enumerate(runs):
        assert recorded_once(place, run, tmp_path / f"notes-{number}")
    second.stop()
    place.followers.remove(second)


def test_the_result_backend_is_restarted_in_the_middle(place: Polled, tmp_path: Path) -> None:
    note, notes, go = place.app.tasks["note"], tmp_path / "notes", tmp_path / "go"
    wait = place.app.tasks["note_and_wait"]
    run = place.segue.start(chain(note.si(str(notes), "a"), wait.si(str(notes), str(go)), note.si(str(notes), "b")))
    wait_until(lambda: notes.exists() and "begun" in notes.read_text(), SECONDS)
    place.backend.stop()
    go.touch()  # so the task ends while its report cannot be stored
    wait_until(lambda: "cannot be recorded yet" in place.logs("worker"), SECONDS)
    place.backend.start()
    assert run.wait(timeout=SECONDS).result() == "b"
    assert notes.read_text().split() == ["a", "begun", "b"]
    assert is_sound(place.segue)


def test_no_worker_opened_the_database(place: Polled) -> None:
    run = place.segue.start(place.sig("same", 1))
    run.wait(timeout=SECONDS)
    log = place.logs("worker")
    assert "database cannot" not in log
    assert "port 1 failed" not in log
    assert "no/such/folder" not in log


@pytest.mark.parametrize("pool", ["threads", "gevent", "solo"] if IS_THOROUGH else ["threads"])
def test_every_pool_reports(place: Polled, pool: str) -> None:
    if place.url.startswith("postgresql"):
        pytest.skip("the worker has no database, so it is the same on each")
    worker = place.worker(QUEUE_NEARBY, pool=pool)
    sig, near = place.sig, {"queue": QUEUE_NEARBY}
    canvas = chain(
        group(sig("add", 1, number).set(**near) for number in range(5)), sig("same").set(**near),
        sig("flaky", 1).set(**near),
    )  # fmt: skip
    failing = place.segue.start(sig("fail").set(**near))
    assert place.segue.start(canvas).wait(timeout=SECONDS).result() == [[1, 2, 3, 4, 5], 1]
    with pytest.raises(RunFailedError, match="ValueError: broken"):
        failing.wait(timeout=SECONDS).result()
    if pool != "solo":  # which hears of nothing while a task runs; in the others, too, nothing can interrupt one
        reporting = place.segue.start(sig("report_for_long").set(**near))
        wait_until(lambda: states_of(reporting) == ["running"], SECONDS)
        reporting.cancel()
        assert reporting.wait(timeout=SECONDS).status == "cancelled"
    place.workers.remove(worker)
    worker.stop()


def test_following_needs_polled_reports(redis_url: str, tmp_path: Path) -> None:
    from tests.executors.celery.project import make_app

    app = make_app(redis_url, f"sqlite:///{tmp_path}/segue.db")
    with pytest.raises(ConfigError, match="reports='polled'"), follow(app):
        pass
    app.close()
