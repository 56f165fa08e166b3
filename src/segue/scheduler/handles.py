"""Handles: what executors call the steps of a run from the beginning, such as the ids of Celery's tasks.

A plan that is stored once and started at each tick has those of the day when it was stored. Every run needs its own, or
the results of two runs would be taken for each other's.
"""

from __future__ import annotations

import re
from uuid import uuid4

from msgspec import structs

from segue.plan.graph import Plan

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def with_own_handles(plan: Plan) -> Plan:
    """The plan with new ids wherever it has the id of one of its steps. A handle that is no UUID was chosen by a
    person, and stays.
    """
    new = {node.handle: str(uuid4()) for node in plan.nodes if node.handle is not None and _ID.fullmatch(node.handle)}
    if not new:
        return plan

    def renewed(text: str) -> str:
        return _ID.sub(lambda found: new.get(found[0], found[0]), text)

    nodes = [
        structs.replace(
            node, args=renewed(node.args), spec=None if node.spec is None else renewed(node.spec),
            handle=None if node.handle is None else renewed(node.handle),
        ) for node in plan.nodes
    ]  # fmt: skip
    return structs.replace(plan, nodes=tuple(nodes))
