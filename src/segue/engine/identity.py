"""The identity of a worker in the database."""

from __future__ import annotations

import msgspec


class WorkerIdentity(msgspec.Struct, frozen=True):
    """Which worker claims, what it may claim, and how long its lease is."""

    id: str
    name: str
    queues: tuple[str, ...]  # stored names
    tasks: tuple[str, ...]
    lease_seconds: float = 30.0
    run_id: str | None = None  # claim steps of this run only
    namespace: str = ""
