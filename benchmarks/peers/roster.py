"""The measured systems, and what each of them needs."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from benchmarks.peers.rival import Rival


class Entry(NamedTuple):
    """One system: its module (imported only where it is measured), its class, its variant, its servers."""

    module: str
    rival: str
    variant: str | None
    servers: tuple[str, ...]


ROSTER = {
    "segue-sqlite": Entry("segue_rival", "SegueRival", "sqlite", ()),
    "segue-postgres": Entry("segue_rival", "SegueRival", "postgres", ("postgres",)),
    "celery-rabbitmq": Entry("celery_rival", "CeleryRival", "rabbitmq", ("redis", "rabbitmq")),
    "celery-redis": Entry("celery_rival", "CeleryRival", "redis", ("redis",)),
    "huey": Entry("huey_rival", "HueyRival", None, ()),
    "dbos-postgres": Entry("dbos_rival", "DbosRival", "postgres", ("postgres",)),
    "dbos-sqlite": Entry("dbos_rival", "DbosRival", "sqlite", ()),
    "procrastinate": Entry("procrastinate_rival", "ProcrastinateRival", None, ("postgres",)),
}


def make(name: str) -> Rival:
    """The rival of this name."""
    entry = ROSTER[name]
    kind = getattr(import_module(f"benchmarks.peers.{entry.module}"), entry.rival)
    rival: Rival = kind() if entry.variant is None else kind(entry.variant)
    return rival
