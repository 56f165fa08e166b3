"""On whose behalf this thread or task of an event loop acts: who is recorded where no actor is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from segue.masking import masked_text

_actor: ContextVar[str | None] = ContextVar("segue_actor", default=None)


def present_actor() -> str | None:
    """Who acts now, if that was said."""
    return _actor.get()


@contextmanager
def acting_as(actor: str | None) -> Iterator[None]:
    """Inside the block, what is done without an actor is done by this one."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def audit_detail(actor: str | None, reason: str | None) -> dict[str, Any]:
    """Who did it and why, as the detail of an event; without fields that were not given, and without secrets."""
    why = masked_text(reason) if reason else None
    return {name: text for name, text in (("actor", actor or _actor.get()), ("reason", why)) if text}
