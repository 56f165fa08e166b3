"""The definitions in the code of workers, for people and programs. Reads only."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from segue.engine.definitions import LIVE_FOR
from segue.engine.stored import LONG_AGO, moment_of, object_of
from segue.jsonable import Jsonable
from segue.plan.namespaces import DEFAULT, EVERY
from segue.store.protocol import Transaction
from segue.times import full_time


class DefinitionInfo(Jsonable, msgspec.Struct, frozen=True, kw_only=True):
    """A task or workflow that a version of the code defines.

    `parameters` is the JSON Schema of an object with a property for each parameter, `result` that of the result.
    """

    kind: str  # task or workflow
    name: str
    title: str
    description: str  # "" if the code gives none
    parameters: dict[str, Any]
    result: dict[str, Any]
    options: dict[str, Any]
    module: str  # as a worker imports it
    qualname: str
    code_hash: str
    problem: str | None  # what could not be described
    version: str  # of the code
    is_live: bool  # a live process has this version
    namespace: str = ""


class CodeVersionInfo(NamedTuple):
    """A version of the code that a process had."""

    version: str
    written_at: datetime
    seen_at: datetime
    is_live: bool


def list_code_versions(tx: Transaction, now: datetime, namespace: str = DEFAULT) -> list[CodeVersionInfo]:
    """The known versions of a namespace: live ones first, then the newest first."""
    rows = tx.all("code_versions", namespace=namespace, now=now, since=now - LIVE_FOR)
    return [
        CodeVersionInfo(version, moment_of(tx, written) or LONG_AGO, moment_of(tx, seen) or LONG_AGO, bool(live))
        for version, written, seen, live in rows
    ]


def list_definitions(
    tx: Transaction, now: datetime, *, version: str | None = None, namespace: str = DEFAULT
) -> list[DefinitionInfo]:  # fmt: skip
    """The definitions of live versions; the newest one decides for each name. If none is live, those of the newest
    version.

    With `version`, or the beginning of one, the definitions of that version; none if it is not known.
    """
    if namespace == EVERY:
        spaces = [row[0] for row in tx.all("namespaces_of_code")]
        return [each for space in spaces for each in list_definitions(tx, now, version=version, namespace=space)]
    rows = tx.all("definitions_shown", namespace=namespace, version=version, now=now, since=now - LIVE_FOR)
    found: dict[tuple[str, str], DefinitionInfo] = {}
    for is_live, *row in rows:
        info = _read(row, namespace, is_live=bool(is_live))
        found.setdefault((info.name, info.kind), info)
    return [found[key] for key in sorted(found)]


class LastDefinitions:
    """Finds the code that defined a task last, if no live worker does. Each task is looked up once."""

    def __init__(self, tx: Transaction, namespace: str = DEFAULT) -> None:
        self._tx = tx
        self._namespace = namespace
        self._known: dict[str, str] = {}

    def remedy(self, task: str) -> str:
        """How to start a worker that knows the task, as far as is known."""
        if task not in self._known:
            self._known[task] = self._remedy(task)
        return self._known[task]

    def _remedy(self, task: str) -> str:
        for module, version, seen in self._tx.all("last_defined", namespace=self._namespace, kind="task", name=task):
            moment = moment_of(self._tx, seen) or LONG_AGO
            return (
                f"no live worker defines it. The module {module} did in version {version[:8]} of the code, last seen "
                f"at {full_time(moment)}: start one with -A {module}"
            )
        return (
            "no live worker defines it, and no known version of the code did (was it renamed?); start one with -A "
            "naming the module that defines it"
        )


def undefined_workflows(tx: Transaction, now: datetime, names: Iterable[str], namespace: str = DEFAULT) -> set[str]:
    """Those of these workflows of a namespace that no live code defines. Empty if no worker is alive, or if the code of
    a live worker is not known.

    Live code is that of workers, and of processes that do chores.
    """
    wanted = set(names)
    if not wanted or tx.all("workers_of_unknown_code", namespace=namespace, now=now)[0][0]:
        return set()
    rows = tx.all("live_workflows", namespace=namespace, now=now, since=now - LIVE_FOR)
    live = {str(row[0]) for row in rows}
    return wanted - live if live or tx.all("live_code", namespace=namespace, now=now, since=now - LIVE_FOR) else set()


def _read(row: Any, namespace: str, *, is_live: bool) -> DefinitionInfo:
    (
        version, kind, name, module, qualname, title, description, parameters, result, options, code_hash, problem,
    ) = row  # fmt: skip
    return DefinitionInfo(
        kind=kind, name=name, title=title, description=description, parameters=object_of(parameters),
        result=object_of(result), options=object_of(options), module=module, qualname=qualname, code_hash=code_hash,
        problem=problem, version=version, is_live=is_live, namespace=namespace,
    )  # fmt: skip
