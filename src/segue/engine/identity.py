"""Who a worker is to the database."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """Who claims, what it may claim, and for how long it has a right to what it claimed."""

    id: str
    name: str
    queues: tuple[str, ...]
    tasks: list[str]
    lease_seconds: float = 30.0
    run_id: str | None = None  # claim steps of this run only
