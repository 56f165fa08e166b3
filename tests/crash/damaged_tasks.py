"""What the tests of damaged rows run: a workflow that holds still at a gate while its rows are changed."""

from __future__ import annotations

import threading
from typing import Any

from segue import Limit, sleep, task, wait_for, workflow
from segue.authoring import Signature

gates = threading.Event()
"""Opened by the test when the rows are what it wants."""


@task
def first(number: int) -> dict[str, Any]:
    return {"number": number, "rows": [1, 2, 3]}


@task
def gate(before: dict[str, Any]) -> dict[str, Any]:
    gates.wait(60)
    return {"go": True, "nap": 0.001, **before}


@task
def use(*values: Any) -> int:
    return len(values)


@task(limits=[Limit("damaged", key="number", concurrency=1000)])
def limited(number: Any) -> int:
    return 1


@task
def grow(number: Any) -> Signature:
    return use.s(number)


@workflow(on_success=use.s())
def sick(number: int) -> Any:
    before = first(number)
    opened = gate(before)
    part = use(before["number"], opened["rows"])
    asked = use.options(when=opened["go"])(before)
    later = sleep(opened["nap"])
    kept = limited(opened["number"])
    grown = grow(opened["number"])
    return {"parts": [part, asked, kept, grown], "later": later, "rows": before["rows"]}


@task
def well(number: int) -> int:
    return number + 1


@workflow
def healthy(number: int) -> int:
    return well(well(number))


@workflow
def gathered(items: list[int]) -> int:
    return use(items)


@workflow
def held(number: int) -> Any:
    return wait_for("what nobody sends")
