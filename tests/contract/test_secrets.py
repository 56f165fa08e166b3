"""Arguments that are annotated with `Secret`: the task has them, and what is shown does not."""

from __future__ import annotations

import logging

import pytest

from segue import Secret, Segue, task, workflow
from segue.attempt.runner import run_job
from segue.authoring import declared
from segue.client.argument_masking import ArgumentMasker
from segue.errors import RunFailedError
from segue.logs.fields import AttemptFields
from segue.model import Job


@task
def log_in(user: str, pin: Secret[int], *words: Secret[str], seed: Secret[str | None] = None) -> str:
    """Tell everything, and fail."""
    logging.getLogger("shop").error("pin %s, seed %s", pin, seed, extra={"note": seed})
    raise ValueError(f"{user} {pin} {words} {seed}")


@task
def check(number: Secret[int]) -> None:
    raise AssertionError("not reached")


@workflow
def shop(user: str, password: str, code: Secret[str]):
    return log_in(user, 123456, code)


SECRETS = ("123456", "hunter2", "blue moon", "red sun")


def test_errors_output_and_log_are_without_the_secrets(segue: Segue, caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.addFilter(AttemptFields())
    with pytest.raises(RunFailedError) as failed:
        segue.run(log_in, "ada", 123456, "blue moon", "red sun", seed="hunter2")
    [run] = segue.runs()
    [attempt] = segue.get(run.id).attempts()
    assert attempt.error is not None
    assert attempt.error.message == "ada *** ('***', '***') ***"
    assert 'raise ValueError(f"{user} {pin} {words} {seed}")' in attempt.error.traceback
    assert "pin ***, seed ***" in attempt.output
    assert "pin ***, seed ***" in caplog.text
    shown = f"{failed.value} {attempt} {caplog.text} {[vars(each) for each in caplog.records]}"
    assert [secret for secret in SECRETS if secret in shown] == []
    assert run.arguments == [["ada", 123456, "blue moon", "red sun"], {"seed": "hunter2"}]  # the task needs them


def test_a_value_of_a_wrong_type_is_not_told() -> None:
    outcome = run_job(Job("r", 1, 1, "check", check.name, '[["hunter2"],{}]', None, {}, None))
    assert outcome.error is not None
    assert "number" in outcome.error.message
    assert "hunter2" not in f"{outcome.error.message} {outcome.error.traceback}"


def test_arguments_are_hidden_by_the_names_of_their_parameters(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    given = [["ada", "s3cret", "blue moon"], {}]
    wanted = [["ada", "***", "***"], {}]
    segue.publish_definitions()
    assert ArgumentMasker(segue).masked(shop.name, given) == wanted
    assert ArgumentMasker(segue).masked(log_in.name, [["ada", 1, "b"], {"seed": "k"}]) == [
        ["ada", "***", "***"],
        {"seed": "***"},
    ]
    monkeypatch.setattr(declared, "workflows", {})  # as in a process that has not imported the code
    assert ArgumentMasker(segue).masked(shop.name, given) == wanted
    assert ArgumentMasker(segue).masked("unknown.task", [["x"], {"token": "t"}]) == [["x"], {"token": "***"}]
    assert ArgumentMasker(segue).masked(shop.name, None) is None
