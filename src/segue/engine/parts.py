"""Continues the unfinished work of a run, one part in each transaction. Any process may do it, even two at a time."""

from __future__ import annotations

from typing import NamedTuple

from segue.engine.act import Act
from segue.engine.locking import hold_paused, lock_runs
from segue.engine.propagate import Propagation
from segue.engine.unfinished import take


class Part(NamedTuple):
    """The effect of one part."""

    is_left: bool  # there is more
    ended: list[str]  # runs that became final


def do_part(act: Act, run_id: str) -> Part:
    """Do the next part."""
    act.tx.later("wait_shortly")
    locked = lock_runs(act.tx, [run_id])
    propagation = Propagation(act)
    while locked and propagation.has_time:
        items = take(act.tx, run_id)
        if not items:
            break
        propagation.run(items, ending=[run.id for run in locked if run.is_ending])
    hold_paused(act.tx, lock_runs(act.tx, [run_id]))  # with its current state: this part may have reopened it
    act.tx.later("wake")
    return Part(bool(locked) and bool(act.tx.all("is_unfinished", run_id=run_id)), act.ended_runs)
