"""Who a worker is to the database."""

from __future__ import annotations

import msgspec


class WorkerIdentity(msgspec.Struct, frozen=True):
    """Who claims, what it may claim, and for how long it has a right to what it claimed."""

    id: str
    name: str
    queues: tuple[str, ...]
    tasks: tuple[str, ...]
    lease_seconds: float = 30.0
    run_id: str | None = None  # claim steps of this run only
