"""Arguments that are annotated with `Secret`: the task has them, and what is shown does not."""

from __future__ import annotations

import logging

import msgspec
import pytest

from segue import Secret, Segue, checkpoint, task, workflow
from segue.attempt.runner import run_job
from segue.authoring import declared
from segue.client.argument_masking import ArgumentMasker
from segue.client.masked_views import without_secrets
from segue.errors import DefinitionError, PlanError, RunFailedError
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


@task
def make_key(name: str) -> Secret[str]:
    return f"key of {name}"


@task
def wrong_key() -> Secret[int]:
    return "moonlight"  # type: ignore[return-value]


@workflow
def strict(code: Secret[int], /, *more: Secret[int]):
    raise AssertionError("not reached")


@task
def connect() -> None:
    checkpoint("log in", dict, {"user": "ada", "token": "red-sun"})
    print('password="blue moon"')  # noqa: T201 - what a task prints is kept
    raise ConnectionError("postgresql://app:hunter2@db/shop is away")


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


def test_a_secret_result_is_hidden_where_its_step_is_shown(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    assert segue.run(make_key, "ada", key="ada") == "key of ada"
    [listed] = segue.runs(key="ada")
    step = listed.step(0).info()
    assert step.result == "key of ada"
    assert ArgumentMasker(segue).step(step).result == "***"
    assert ArgumentMasker(segue).masked_result(log_in.name, {"token": "t", "n": 1}) == {"token": "***", "n": 1}
    segue.publish_definitions()
    monkeypatch.setattr(declared, "tasks", {})
    assert ArgumentMasker(segue).step(step).result == "***"


def test_a_secret_of_a_wrong_type_is_not_told(segue: Segue) -> None:
    with pytest.raises(RunFailedError, match="is not shown because it is secret") as failed:
        segue.run(wrong_key)
    assert "moonlight" not in str(failed.value)
    for given in (("moonlight",), (1, "moonlight")):
        with pytest.raises(DefinitionError, match="its value does not fit its annotation") as refused:
            segue.start(strict, *given)
        assert "moonlight" not in str(refused.value)
    with pytest.raises(PlanError) as wrong:
        segue.start(check, "moonlight")
    assert "moonlight" not in str(wrong.value)


def test_views_are_shown_without_secrets(segue: Segue) -> None:
    with pytest.raises(RunFailedError):
        segue.run(connect)
    [listed] = segue.runs()
    run = segue.get(listed.id)
    views = [run.info(), *run.steps(), *run.attempts(), *run.explain(), *run.step(0).checkpoints()]
    told = f"{views}"
    shown = f"{[without_secrets(view) for view in views]}"
    assert [secret for secret in ("blue moon", "hunter2", "red-sun") if secret not in told] == []
    assert [secret for secret in ("blue moon", "hunter2", "red-sun") if secret in shown] == []
    assert "postgresql://app:***@db/shop is away" in shown
    assert f"{views}" == told


@task
def open_door(user: str, code: Secret[str] = "sesame-one", *, spare: Secret[str] = "sesame-two") -> str:
    """Tell both, and fail."""
    print(f"{user}: {code}, {spare}")  # noqa: T201 - what a task prints is kept
    raise ValueError(f"{code} {spare}")


def test_defaults_of_secret_parameters_are_secrets(segue: Segue) -> None:
    with pytest.raises(RunFailedError):
        segue.run(open_door, "ada")
    with pytest.raises(RunFailedError):
        segue.run(open_door, "ada", "given-one")
    for listed in segue.runs():
        [attempt] = segue.get(listed.id).attempts()
        assert attempt.output == "ada: ***, ***\n"
        assert attempt.error is not None
        assert attempt.error.message == "*** ***"


@task
def keys_of(pin: Secret[int], name: str, label: Secret[str] = "violet") -> Secret[str]:
    print(pin, label)  # noqa: T201 - what a task prints is kept
    return f"key of {name} by {pin}"


@task
def numbered(count: int) -> list[list[object]]:
    return [[515100 + number, f"n{number}"] for number in range(count)]


@task
def numbers(count: int) -> list[int]:
    return [515100 + number for number in range(count)]


@workflow
def whole_map(count: int):
    keys_of.starmap(numbered(count), label="orchid")
    keys_of.map(numbers(count), name="n", label="orchid")


@workflow
def batches(count: int):
    keys_of.map(numbers(count), name="n", label="orchid", batch=2)


def test_the_items_and_results_of_a_map_are_as_secret_as_those_of_its_task(segue: Segue) -> None:
    for work in (whole_map, batches):
        segue.run(work, 3, key=work.name)
        [listed] = segue.runs(key=work.name)
        run, masker = segue.get(listed.id), ArgumentMasker(segue)
        steps = [run.step(each.step).info() for each in run.steps() if each.task not in (numbered.name, numbers.name)]
        told = f"{[(step.arguments, step.result) for step in steps]}"
        shown = f"{[(step.arguments, step.result) for step in map(masker.step, steps)]}{run.attempts()}"
        assert [secret for secret in ("5151", "orchid", "key of") if secret not in told] == []
        assert [secret for secret in ("5151", "orchid", "key of") if secret in shown] == []
        assert "'n'" in shown  # the name is no secret


def test_details_of_events_are_shown_without_secrets(segue: Segue) -> None:
    run = segue.start(make_key, "ada")
    run.cancel(actor="ann", reason="its password=hunter2 was told")
    [event] = segue.events.list(run.id)
    assert event.detail == {"actor": "ann", "reason": "its password=*** was told"}
    older = msgspec.structs.replace(event, detail=event.detail | {"reason": "its password=hunter2 was told"})
    assert without_secrets(older) == event  # an older release stored what was typed
