"""Attempts that write into a table of the user's, `orders`, and are recorded with what they wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from segue.authoring import declared
from segue.engine.transactional import TaskTransactions
from segue.model import Job, Outcome
from tests.contract.stage import Stage, node, plan

Orders = Callable[[], list[int]]
ATTEMPT = ("any run", 0, 1)
"""Where it does not matter which: an attempt is named only so that it can be revoked."""


def record(transactions: TaskTransactions, outcome: Outcome, *ids: int) -> Outcome:
    """A transaction in which these orders are written, and the outcome is recorded."""
    transaction = transactions.begin((outcome.run_id, outcome.step, outcome.attempt))
    for id_ in ids:
        transaction.connection.execute(f"INSERT INTO orders VALUES ({id_})")
    return transaction.record(outcome)


def job_of(stage: Stage, task: Any, *args: Any) -> Job:
    """A step of this task, claimed."""
    declared.tasks.setdefault(task.name, task)
    stage.start(plan(node("a", task=task.name, args=msgspec.json.encode([args, {}]).decode())))
    [job] = stage.claim(by=stage.hire("able", tasks=(task.name,)))
    return job
