"""Workflows that wait, for system tests with real workers."""

from __future__ import annotations

from typing import Any

from segue import sleep, task, wait_for, workflow


@task
def draft(text: str) -> str:
    return f"draft of {text}"


@task
def publish(draft: str, by: str) -> str:
    return f"{draft}, approved by {by}"


@workflow
def edition(text: str) -> Any:
    """A draft, then an approval and a night's sleep, then the end."""
    written = draft(text)
    answer = wait_for.options(after=[written])("approved")
    rested = sleep(3600).after(written)
    return publish(written, answer["by"]).after(rested)


@workflow
def impatient() -> Any:
    return publish("nothing", wait_for("approved", timeout=0.2, default="nobody"))


@workflow(deadline=0.2)
def doomed() -> Any:
    return publish("nothing", wait_for("approved"))
