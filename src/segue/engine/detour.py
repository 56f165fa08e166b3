"""A detour: a task decides that steps below its own are left out.

Those steps wait for the task's own step, so they have not begun, and all that happens here is that their rows are
changed in the transaction that ends the attempt. The rest follows when their turn comes: a step whose condition is
false is skipped, and a join without steps of its own hands on a result. When a person retries the task, those that were
passed by are as they were planned; what was to be skipped stays so.
"""

from __future__ import annotations

import msgspec

from segue.engine.act import Act
from segue.model import Detour, Ref, Value
from segue.plan.codec import encode_expr

_NEVER = encode_expr(Value(msgspec.Raw(b"false")))


def take_detour(act: Act, run_id: str, detour: Detour) -> None:
    """Leave steps out. The caller holds the run's lock, and ends the attempt above them."""
    for step in detour.skip:
        act.tx.later("skip_when_due", run_id=run_id, step=step, never=_NEVER)
    for step, parent in detour.pass_by:
        act.tx.later("pass_by", run_id=run_id, step=step, result_expr=encode_expr(Ref(parent)))
