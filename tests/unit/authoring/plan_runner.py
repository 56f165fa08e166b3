"""Runs a plan in this process, step by step, the way the engine and a worker would; for tests only."""

from __future__ import annotations

from typing import Any

from segue.authoring import find_task, is_plan, to_plan
from segue.authoring.values import decode, decode_arguments, encode
from segue.model import RUN, JoinRule
from segue.plan.codec import encode_holes, evaluate
from segue.plan.graph import Plan


def run_plan(plan: Plan) -> Any:
    """The result of a plan all of whose steps succeed or are skipped by `when`."""
    values: dict[int, str] = {RUN: "null"}
    skipped: set[int] = set()
    for number, node in enumerate(plan.nodes):
        assert all(parent < number for parent in node.parents), "nodes are in topological order"
        assert node.hook is None, "hooks are for the engine"
        if node.rule is JoinRule.ALL_SUCCEEDED and skipped.intersection(node.parents):
            skipped.add(number)
            continue
        if node.when is not None and not decode(evaluate(node.when, values)):
            skipped.add(number)
            continue
        if node.task is None:
            values[number] = "null" if node.result is None else evaluate(node.result, values)
            continue
        task = find_task(node.task)
        args, kwargs = decode_arguments(task, node.args, encode_holes(node.holes), values)
        returned = task.fn(*args, **kwargs)
        values[number] = encode(run_plan(to_plan(returned))) if is_plan(returned) else encode(returned)
    return None if plan.result is None else decode(evaluate(plan.result, values))
