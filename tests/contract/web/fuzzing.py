"""Requests that Schemathesis makes from the OpenAPI document, to an application in this process.

A part of them is about things that exist. Every request that changes something is sent twice.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.requests import HTTPConnection

from segue import Segue
from segue.web import Identity, Role, create_app
from segue.worker.inline import work_run
from tests.contract.web.asking import approved, takings

CHANGING = ("POST", "PUT", "PATCH", "DELETE")
TOKEN = {"authorization": "Bearer of-a-test"}
POSITIVE = positive_data_acceptance
"""That whatever fits the document is accepted: the document cannot say which ids exist, or what a cron line is."""

ODD_RATIO = 0.4  # the requests about things that do not exist


def fuzz(segue: Segue, role: Role, *, examples: int, seed_number: int = 0) -> Counter[int]:
    """Send requests for every operation as someone with this role. Returns how often each status was answered.

    Raises an AssertionError for an answer that does not fit the document, or with a status of 500.
    """

    def known(request: HTTPConnection) -> Identity | None:
        return Identity("ann", role) if request.headers.get("authorization") == TOKEN["authorization"] else None

    app = create_app(segue, identify=known, live="poll")
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)
    names = things(segue)
    chance = random.Random(seed_number)
    seen: Counter[int] = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()

        @seed(seed_number)
        @settings(
            max_examples=examples, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def send(case: Case) -> None:
            if chance.random() > ODD_RATIO:
                aim(case, names, chance)
            is_changing = case.operation.method.upper() in CHANGING
            answers = [_sent(case) for _ in range(1 + is_changing)]
            seen.update(answers)
            if role == Role.VIEWER and is_changing:
                assert set(answers) == {403}, (case.operation.label, answers)
            assert (answers[0] < 300) <= (answers[-1] < 300 or answers[-1] in (400, 404, 409)), (
                case.operation.label, answers
            )  # fmt: skip

        send()
    return seen


def _sent(case: Case) -> int:
    try:
        answer = case.call(headers=TOKEN)
        case.validate_response(answer, headers=TOKEN, excluded_checks=[POSITIVE])
    except FailureGroup as failures:
        raise AssertionError("\n".join(str(each) for each in failures.exceptions)) from None
    return int(answer.status_code)


def aim(case: Case, names: Mapping[str, list[str]], chance: random.Random) -> None:
    """Let a request be about something that exists."""
    for name in case.path_parameters or {}:
        if name in names:
            case.path_parameters[name] = chance.choice(names[name])
    if isinstance(case.body, dict):
        for name, value in case.body.items():
            if name == "name" and "args" in case.body:
                case.body[name] = chance.choice(["takings", "shop.approved", "shop.price"])
            elif name in names and isinstance(value, str):
                case.body[name] = chance.choice(names[name])


def things(segue: Segue) -> dict[str, list[str]]:
    """Something of each kind, and their names."""
    ended = segue.start(takings, [1, -2], key="day")
    work_run(segue.engine, ended.id)
    runs = [ended.id, segue.start(takings, [1, 2]).id, segue.start(approved, 3.0).id, segue.start(takings, []).id]
    segue.schedules.create("daily", takings, [1], schedule="@daily")
    segue.schedules.create("a/b é", takings, [1], schedule="@hourly")
    segue.limits.set("queue:net", concurrency=3)
    segue.retention.set("shop.takings", max_age=60.0)
    segue.subscriptions.add("ops", events=["run.failed"], to="https://example.org/x")
    return {
        "run_id": runs, "step": ["price[0]", "0", "3", "add_up"], "key": ["gold"],
        "name": ["daily", "a%2Fb%20%C3%A9", "queue:net", "ops", "approved"], "work": ["shop.takings"],
    }  # fmt: skip
