"""The settings of a process pool's zygote and children."""

from __future__ import annotations

import msgspec

from segue.payloads.address import PayloadsAddress


class ChildSettings(msgspec.Struct, frozen=True):
    """The first message that the zygote reads, as JSON."""

    modules: tuple[str, ...]  # imported once, before the first fork
    search_path: tuple[str, ...]  # sys.path of the worker
    folder: str  # of spilled jobs; the zygote deletes it when it ends
    max_rss_mb: int | None  # a child that has grown beyond it asks to be replaced, between two jobs
    result_limit_bytes: int
    database_url: str | None = None  # for transactional tasks
    payloads: PayloadsAddress | None = None
    log_level: int | None = None  # from which on records go to the worker; None: none do
    log_prints: bool = False  # what tasks print goes there, too
