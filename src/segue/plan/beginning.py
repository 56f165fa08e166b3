"""A run that begins later: `begun_at` makes the plan of it. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from segue.errors import PlanError, Problem
from segue.model import WAIT_FOR
from segue.plan.graph import Node, Plan, RunTerms


def begun_at(plan: Plan, moment: datetime) -> Plan:
    """The plan of a run that begins at this time, which is aware: its first steps have it as their `run_at`.

    First are all steps above which nothing works: those without parents, and those below joins without parents. A delay
    of theirs counts from that time. Raises PlanError if one of them waits for a message: its patience would begin now.
    """
    passed: set[int] = set()
    nodes: list[Node] = []
    problems: list[Problem] = []
    for number, node in enumerate(plan.nodes):
        if node.hook is not None or not passed.issuperset(node.parents):
            nodes.append(node)
            continue
        if node.task is None:
            passed.add(number)
        elif node.task == WAIT_FOR:
            remedy = "Put a step before it, such as segue.sleep(...)"
            problems.append(Problem(node.name, "it waits for a message, and its run begins later", remedy))
        else:
            node = msgspec.structs.replace(node, run_at=_first(node, moment))
        nodes.append(node)
    if problems:
        raise PlanError(plan.name, problems)
    terms = msgspec.structs.replace(plan.terms or RunTerms(), run_at=moment)
    return msgspec.structs.replace(plan, nodes=tuple(nodes), terms=terms)


def _first(node: Node, moment: datetime) -> datetime:
    delayed = moment + timedelta(seconds=node.delay or 0)
    return delayed if node.run_at is None else max(delayed, node.run_at)
