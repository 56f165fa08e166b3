"""Versions of the code in the database: the definitions of each are stored once, and deleted when no process has it.

Promises: a known version costs one statement; many processes may store the same one at the same time; a version that a
live worker has is never deleted.
"""

from __future__ import annotations

from datetime import timedelta

from segue.engine.act import Act
from segue.engine.engine import Engine
from segue.observing.harmless_log import get_logger
from segue.plan.code_version import CodeVersion
from segue.plan.namespaces import DEFAULT

SEEN_SECONDS = 60.0
"""How often a process that does chores renews its sign of life, with its code."""

LIVE_FOR = timedelta(seconds=3 * SEEN_SECONDS)
"""For this long after that, its code counts as live."""

VERSIONS_KEPT = 20
"""This many of the most recent versions are kept, whether they are live or not."""

KEPT_FOR = timedelta(hours=1)
"""Versions seen since then are kept as well: a process may be about to store them again."""

PATIENCE_SECONDS = 5.0  # how long to wait for SQLite's write lock

_VERSIONS_AT_ONCE = 100

logger = get_logger("segue.definitions")


def write_code_version(act: Act, code: CodeVersion, namespace: str = DEFAULT) -> bool:
    """Store the definitions of a version of the code, or that it was seen again. True if it was not known."""
    [[is_new]] = act.tx.all("touch_code_version", namespace=namespace, version=code.version, now=act.now)
    if not is_new:
        return False
    act.tx.each(
        "put_definitions",
        [
            (
                namespace, code.version, each.kind, each.name, each.module, each.qualname, each.title, each.description,
                each.parameters, each.result, each.options, each.code_hash, each.problem,
            )
            for each in code.definitions
        ],
    )  # fmt: skip
    return True


def tell_code(engine: Engine, code: CodeVersion) -> bool:
    """Store the definitions of this process's code. True if the version was not known. Errors are logged, not raised.

    The process works without it: people then see fewer definitions until it succeeds.
    """
    try:
        with engine.store.patience(PATIENCE_SECONDS):
            is_new = engine.act(write_code_version, code, engine.namespace)
    except Exception as error:  # noqa: BLE001 - a worker must start, whatever error the database has
        logger.warning("the definitions in the code could not be stored: %s", error)
        return False
    if is_new:
        logger.debug("stored the definitions of version %s of the code", code.version)
    return is_new


def prune_code_versions(act: Act) -> int:
    """Delete versions that no live process has, except the most recent ones. Returns how many."""
    return sum(_prune_versions(act, row[0]) for row in act.tx.all("namespaces_of_code"))


def _prune_versions(act: Act, namespace: str) -> int:
    tx, now = act.tx, act.now
    before = now - KEPT_FOR
    found = tx.all(
        "old_code_versions", namespace=namespace, now=now, since=now - LIVE_FOR, before=before, kept=VERSIONS_KEPT,
        limit=_VERSIONS_AT_ONCE,
    )  # fmt: skip
    deleted = 0
    for (version,) in found:
        if tx.all("delete_code_version", namespace=namespace, version=version, before=before):
            tx.later("delete_definitions", namespace=namespace, version=version)
            deleted += 1
    return deleted
