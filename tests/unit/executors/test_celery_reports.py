"""Reports in the result backend: kept once, read back from every kind of backend, and refused where nobody can read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery

from segue import Segue
from segue.errors import ConfigError, StoreUnavailableError
from segue.executors.celery import install
from segue.executors.celery.attempt import RetryAsked
from segue.executors.celery.beats import end_attempts
from segue.executors.celery.door import Door
from segue.executors.celery.publish import StepHeader
from segue.executors.celery.reports import (
    READ_AT_ONCE,
    Beat,
    Mailbox,
    forget,
    put_beat,
    read_beats,
    read_reports,
    report_id,
    retry_of,
)  # fmt: skip
from segue.model import Attempt, ErrorInfo, Outcome, Verdict

ATTEMPT: Attempt = ("0192-run", 3, 2)
NEVER_OPENED = "sqlite:////no/such/folder/segue.db"


def make_app(backend: str | None, **options: Any) -> tuple[Celery, Door]:
    app = Celery("reports", broker="memory://", backend=backend)
    return app, install(app, Segue(NEVER_OPENED), **{"reports": "polled", **options})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(params=["memory", "files", "database"])
def door(request: pytest.FixtureRequest, folder: Path) -> Iterator[Door]:
    """In a worker whose results are kept in this way; Celery 5.3 knows only one database in a process."""
    backend = {
        "memory": "cache+memory://", "files": f"file://{folder}", "database": f"db+sqlite:///{folder}/results.db",
    }[request.param]  # fmt: skip
    app, door = make_app(backend)
    forget(app.backend, [ATTEMPT], with_beats=[ATTEMPT])
    door.is_in_worker = True
    yield door
    app.close()


def test_a_report_is_read_back_as_it_was_written(door: Door) -> None:
    outcome = Outcome(*ATTEMPT, Verdict.FAILED, error=ErrorInfo("ValueError", "broken", "Traceback ..."), seconds=1.5)
    door.desk.exchange([outcome], freed=1)
    [report] = read_reports(door.app.backend, [ATTEMPT, ("other", 0, 1)]).values()
    assert (report.outcome, report.freed, report.by) == (outcome, 1, door.host)


def test_the_first_report_of_an_attempt_stays(door: Door) -> None:
    door.desk.exchange([Outcome(*ATTEMPT, Verdict.SUCCEEDED, result="7")])
    door.desk.exchange([Outcome(*ATTEMPT, Verdict.LOST)])
    assert door.desk.result_before_death(ATTEMPT) == "7"
    assert door.desk.may_begin(StepHeader(ATTEMPT, 0.0)) is False


def test_an_attempt_knows_nothing_of_others(door: Door) -> None:
    door.desk.exchange([Outcome(*ATTEMPT, Verdict.SUCCEEDED, result="7")])
    run_id, step, number = ATTEMPT
    others = [(run_id, step, number + 1), (run_id, step + 1, number), (f"{run_id}-3", 2, 1)]
    assert read_reports(door.app.backend, others) == {}
    assert door.desk.result_before_death(others[0]) is None


def test_many_reports_are_read_together(door: Door) -> None:
    attempts = [("run", step, 1) for step in range(2 * READ_AT_ONCE + 1)]
    for attempt in attempts[:: READ_AT_ONCE // 2]:
        door.desk.exchange([Outcome(*attempt, Verdict.SUCCEEDED, result=str(attempt[1]))])
    found = read_reports(door.app.backend, attempts)
    assert {attempt[1]: report.outcome.result for attempt, report in found.items()} == {
        step: str(step) for step in (0, 250, 500, 750, 1000)
    }


def test_a_retry_keeps_its_arguments_and_options(door: Door) -> None:
    asked = RetryAsked((1,), {"b": 2}, {"countdown": 5, "retries": 1})
    door.desk.retry(StepHeader(ATTEMPT, 0.0), asked, ErrorInfo("Retry", "again"), 0.5)
    report = read_reports(door.app.backend, [ATTEMPT])[ATTEMPT]
    assert retry_of(report) == ([1], {"b": 2}, {"countdown": 5, "retries": 1})
    assert report.outcome.error == ErrorInfo("Retry", "again")


def test_a_retry_that_no_message_can_carry_is_a_failure(door: Door) -> None:
    asked = RetryAsked((1,), {}, {"headers": {"what": object()}})
    door.desk.retry(StepHeader(ATTEMPT, 0.0), asked, ErrorInfo("Retry", "again"), 0.5)
    report = read_reports(door.app.backend, [ATTEMPT])[ATTEMPT]
    assert report.retry is None
    assert report.outcome.error is not None
    assert report.outcome.error.type == "SerializationError"


def test_a_report_that_cannot_be_read_is_a_failure(door: Door) -> None:
    for text in ("{", '{"outcome": 1}', '{"outcome": ["other", 3, 2, "succeeded"]}'):
        forget(door.app.backend, [ATTEMPT])
        door.app.backend.store_result(report_id(ATTEMPT), text, "SUCCESS")
        outcome = read_reports(door.app.backend, [ATTEMPT])[ATTEMPT].outcome
        assert (outcome.verdict, outcome.retryable) == (Verdict.FAILED, False)


def test_the_last_beat_counts_and_is_no_report(door: Door) -> None:
    put_beat(door.app.backend, ATTEMPT, Beat("w", 1))
    put_beat(door.app.backend, ATTEMPT, Beat("w", 2, is_begun=True))
    assert read_beats(door.app.backend, [ATTEMPT]) == {ATTEMPT: Beat("w", 2, is_begun=True)}
    assert read_reports(door.app.backend, [ATTEMPT]) == {}


def test_what_is_recorded_is_removed(door: Door) -> None:
    put_beat(door.app.backend, ATTEMPT, Beat("w", 1))
    door.desk.exchange([Outcome(*ATTEMPT, Verdict.SUCCEEDED, result="7")])
    forget(door.app.backend, [ATTEMPT], with_beats=[ATTEMPT])
    assert read_reports(door.app.backend, [ATTEMPT]) == read_beats(door.app.backend, [ATTEMPT]) == {}


def test_a_backend_that_is_away_is_a_passing_error(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(type(door.app.backend), "store_result", away)
    with pytest.raises(StoreUnavailableError, match="nobody there"):
        door.desk.exchange([Outcome(*ATTEMPT, Verdict.SUCCEEDED, result="7")])


def test_a_worker_never_opens_the_database(door: Door) -> None:
    assert isinstance(door.desk, Mailbox)
    with pytest.raises(ConfigError, match="never opens"):
        _ = door.engine
    door.is_in_worker = False
    assert door.desk is door
    assert door.engine is not None


# What a worker is told to end ----------------------------------------------------------------------------------------


def test_what_is_to_end_is_remembered_until_there_is_too_much(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segue.executors.celery.beats.MOST_TO_END", 3)
    attempts: list[Attempt] = [("run", step, 1) for step in range(5)]
    for attempt in attempts:
        assert end_attempts(door, {attempt}, SimpleNamespace(), "TERM") == 0
    assert list(door.to_end) == attempts[2:]


# What is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend, named", [("rpc://", "rpc://"), ("rpc", "rpc://"), ("disabled://", "disabled://")])
def test_a_backend_that_others_cannot_read_is_refused_by_name(backend: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        make_app(backend)


def test_an_app_without_a_backend_is_refused_as_soon_as_that_is_known() -> None:
    app = Celery("none", broker="memory://")
    assert not app.conf.result_backend
    with pytest.raises(ConfigError, match="disabled://"):
        install(app, Segue(NEVER_OPENED), reports="polled")


def test_a_backend_may_be_set_after_install() -> None:
    app, _ = make_app(None)
    app.conf.result_backend = "cache+memory://"
    assert type(app.backend).__name__ == "CacheBackend"


@pytest.mark.parametrize(
    "options, remedy",
    [
        ({"reports": "pulled"}, "give 'polled'"),
        ({"look_seconds": 0}, "above 0"),
        ({"look_seconds": "soon"}, "above 0"),
        ({"fence": "always"}, "Leave out one"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        make_app("cache+memory://", **options)
