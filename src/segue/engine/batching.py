"""Pushes that are submitted together: one name outside for many attempts, each with its place there.

A batch keeps its name and each push its place, however often it is submitted: an array that arrives late, after it was
searched for in vain, is known by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from segue.engine.act import Act
from segue.engine.pushing import PushRow, note_unsure, plan_again


def take_batch(act: Act, pushes: Sequence[PushRow], *, seconds: float) -> list[PushRow]:
    """Say that these pushes may exist from now on, as one batch; returns those that no other process has taken.

    All of them have the same batch, or none. Commit it before the call. If nothing is heard within `seconds`, they are
    searched for.
    """
    rows = act.tx.all(
        "take_pushes", ids=[push.id for push in pushes], new_batch=act.new_id(), now=act.now,
        until=act.now + timedelta(seconds=seconds),
    )  # fmt: skip
    taken = {str(id_): (tries, str(batch), place) for id_, tries, batch, place in rows}
    found = [push._replace(tries=tries, batch=batch, place=place) for push in pushes if push.id in taken
             for tries, batch, place in [taken[push.id]]]  # fmt: skip
    return sorted(found, key=lambda push: push.place or 0)


def accept_batch(act: Act, accepted: Sequence[tuple[PushRow, str]]) -> None:
    """The platform has them, under these ids. One that has another id by now keeps it: then this one is a stray."""
    act.tx.each("accept_pushes", [(push.id, external_id) for push, external_id in sorted(accepted)])
    named = [(*push.attempt, external_id) for push, external_id in accepted]
    act.tx.each("name_steps", sorted(named))


def plan_batch_again(act: Act, pushes: Sequence[PushRow], *, seconds: float, reason: str | None = None) -> None:
    """The platform has none of them, for certain: submit them again after `seconds`."""
    for push in pushes:
        plan_again(act, push, seconds=seconds, reason=reason)


def note_batch_unsure(act: Act, pushes: Sequence[PushRow], *, seconds: float, reason: str) -> None:
    """No answer came: search for them after `seconds`."""
    for push in pushes:
        note_unsure(act, push, seconds=seconds, reason=reason)
