"""Workflows that wait for people, for the command line's tests: `-A tests.unit.cli.waiting_workflows`."""

from __future__ import annotations

from typing import Any

from segue import sleep, task, wait_for, workflow


@task
def publish(answer: Any) -> Any:
    return answer


@workflow
def article() -> Any:
    return publish(wait_for("approved", timeout=3600))


@workflow
def letters() -> Any:
    return [wait_for("stamp") for _ in range(2)]


@workflow
def napping() -> Any:
    return publish(sleep(3600))


@workflow(sla_start=0.000001)
def belated() -> Any:
    return publish(1)
