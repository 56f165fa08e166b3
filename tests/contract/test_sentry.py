"""Reports to Sentry, as they would be sent: a transport keeps the envelopes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from segue import Retry, Secret, Skip, task
from segue.attempt.runner import run_job
from segue.logs.attempts import AttemptLog
from segue.model import ErrorInfo, Job, Outcome, Verdict
from segue.observing import sentry
from segue.observing.extensions import extensions
from segue.testing import Workbench

RUN = "01a1fc28-9888-71dc-81c8-a4c2cf7f2c17"


class Collecting(Transport):
    """Keeps what would be sent."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.sent: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.sent += [item.payload.json for item in envelope.items if item.payload.json is not None]


@pytest.fixture
def sent() -> Iterator[list[dict[str, Any]]]:
    transport = Collecting({"dsn": None})
    sentry_sdk.init(dsn="http://key@localhost/1", transport=transport, auto_enabling_integrations=False)
    sentry.install()
    yield transport.sent
    sentry.uninstall()
    sentry_sdk.init(dsn=None, auto_enabling_integrations=False)


@task(name="sentry.raises")
def raises(kind: str) -> None:
    if kind == "skip":
        raise Skip("not today")
    if kind == "retry":
        raise Retry("later")
    if kind == "message":
        sentry_sdk.capture_message("by hand")
        return
    local = "a variable"
    raise LookupError(f"token={kind} {local}")


@task(name="sentry.hides")
def hides(word: Secret[str]) -> None:
    raise LookupError(f"it said {word}")


def job(kind: str, task_name: str = "sentry.raises") -> Job:
    return Job(RUN, 3, 2, "raises[1]", task_name, f'[["{kind}"],{{}}]', None, {}, None, queue="mail")


def test_an_error_is_reported_where_it_is_raised(sent: list[dict[str, Any]]) -> None:
    assert run_job(job("abc")).verdict == Verdict.FAILED
    [event] = sent
    [exception] = event["exception"]["values"]
    assert (exception["type"], exception["value"]) == ("LookupError", "token=*** a variable")
    assert exception["stacktrace"]["frames"][-1]["vars"]["local"] == "'a variable'"
    assert event["tags"] == {
        "segue.run": RUN, "segue.step": "raises[1]", "segue.task": "sentry.raises", "segue.queue": "mail",
        "segue.attempt": "2",
    }  # fmt: skip
    assert event["fingerprint"] == ["{{ default }}", "sentry.raises"]
    assert event["transaction"] == "sentry.raises"


def test_secrets_are_in_no_report(sent: list[dict[str, Any]]) -> None:
    run_job(job("open sesame", "sentry.hides"))
    [event] = sent
    assert "sesame" not in repr(event)
    assert event["exception"]["values"][0]["value"] == "it said ***"


@pytest.mark.parametrize("kind", ["skip", "retry"])
def test_what_is_no_error_is_not_reported(sent: list[dict[str, Any]], kind: str) -> None:
    run_job(job(kind))
    assert sent == []


def test_what_a_task_reports_has_the_attempt_and_later_reports_do_not(sent: list[dict[str, Any]]) -> None:
    run_job(job("message"))
    sentry_sdk.capture_message("outside")
    inside, outside = sent
    assert inside["tags"]["segue.run"] == RUN
    assert "tags" not in outside or "segue.run" not in outside["tags"]


def test_a_timeout_and_a_death_are_reported_by_the_worker_and_an_exception_is_not_again(
    sent: list[dict[str, Any]],
) -> None:
    log = AttemptLog()
    ends = [
        Outcome(RUN, 3, 2, Verdict.FAILED, error=ErrorInfo("ProcessDiedError", "ended by SIGKILL password=x")),
        Outcome(RUN, 3, 2, Verdict.FAILED, error=ErrorInfo("ValueError", "no", "Traceback ...")),
        Outcome(RUN, 3, 2, Verdict.CANCELLED),
    ]
    for end in ends:
        log.began([job("abc")])
        log.ended([end])
    [event] = sent
    assert event["message"] == "ProcessDiedError: ended by SIGKILL password=***"
    assert event["fingerprint"] == ["sentry.raises", "ProcessDiedError"]
    assert event["tags"]["segue.task"] == "sentry.raises"


def test_the_log_of_segue_is_not_reported_a_second_time(sent: list[dict[str, Any]]) -> None:
    logging.getLogger("segue.runs").error("run 1 failed")
    logging.getLogger("segue.worker").error("something else")
    assert [event["logentry"]["message"] for event in sent] == ["something else"]


@task(name="sentry.nightly_step")
def nightly_step() -> None:
    raise ValueError("no")


def test_a_schedule_checks_in_when_it_starts_and_when_it_ends(database_url: str, sent: list[dict[str, Any]]) -> None:
    with Workbench(database_url, start=datetime(2026, 11, 20, tzinfo=UTC)) as bench:
        bench.segue.schedules.create(
            "Nightly: North", nightly_step, schedule="0 2 * * *", timezone="Europe/Paris", catch_up="latest"
        )
        bench.advance(timedelta(hours=2))
        bench.work()
        extensions.flush()
    begun, ended = [event for event in sent if event.get("type") == "check_in"]
    assert (begun["monitor_slug"], begun["status"], ended["status"]) == ("nightly-north", "in_progress", "error")
    assert begun["check_in_id"] == ended["check_in_id"]
    assert begun["monitor_config"] == {
        "schedule": {"type": "crontab", "value": "0 2 * * *"}, "timezone": "Europe/Paris",
    }  # fmt: skip


def test_a_broken_transport_breaks_no_work() -> None:
    class Broken(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            raise OSError("no network")

    sentry_sdk.init(dsn="http://key@localhost/1", transport=Broken({"dsn": None}), auto_enabling_integrations=False)
    sentry.install()
    try:
        assert run_job(job("abc")).verdict == Verdict.FAILED
        assert run_job(job("message")).verdict in (Verdict.SUCCEEDED, Verdict.FAILED)
    finally:
        sentry.uninstall()
        sentry_sdk.init(dsn=None, auto_enabling_integrations=False)
