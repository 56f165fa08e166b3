"""System checks: what `manage.py check` says of the settings, the tasks and the tables.

segue.E001  the settings, or the database that they name, make no sense for Segue
segue.E002  a module with tasks cannot be imported
segue.W002  a task or workflow is on a queue that `SEGUE["QUEUES"]` lacks, so no worker would run it
segue.W001  Segue's tables are missing or older than this version (only with `check --database`)
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from django.core.checks import Error, Warning

from segue.authoring import Task
from segue.authoring.describing.describe import user_work
from segue.contrib.django.addresses import dialect_of, is_in_memory, url_of
from segue.contrib.django.discovery import task_modules
from segue.contrib.django.project import DjangoSegue
from segue.contrib.django.settings import project_settings
from segue.errors import ConfigError, SegueError
from segue.store import migrate, open_store


def check_settings(**_: Any) -> list[Error]:
    """SEGUE in the settings, and the database."""
    try:
        alias = project_settings().database
        dialect_of(alias)
        if not is_in_memory(alias):
            open_store(url_of(alias))  # connects to nothing
    except ConfigError as error:
        return [Error(str(error), id="segue.E001")]
    return []


def check_tasks(**_: Any) -> list[Error]:
    """The modules with tasks: workers import them, and would not start."""
    found = []
    try:
        modules = list(task_modules())
    except ConfigError:
        return []  # `check_settings` says so
    for module in modules:
        try:
            import_module(module)
        except Exception as error:  # noqa: BLE001 - a module of the user may raise anything
            where = traceback.extract_tb(error.__traceback__)[-1]
            said = "".join(traceback.format_exception_only(error)).strip()
            found.append(
                Error(
                    f"{module} cannot be imported: {said}", hint=f"{where.filename}, line {where.lineno}",
                    id="segue.E002",
                )
            )  # fmt: skip
    return found


def check_queues(**_: Any) -> list[Warning]:
    """The queues of tasks and workflows, if the settings say which there are."""
    try:
        queues = project_settings().queues
    except ConfigError:
        return []  # `check_settings` says so
    if queues is None:
        return []
    found = []
    for work in user_work():
        queue = work.placement.queue if isinstance(work, Task) else work.queue
        if queue is not None and queue not in queues:
            near = get_close_matches(queue, queues, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(queues)}."
            what = f"{work.name} is on the queue {queue!r}, which SEGUE['QUEUES'] does not have."
            found.append(Warning(what, hint=hint, id="segue.W002"))
    return found


def check_tables(databases: Sequence[str] | None = None, **_: Any) -> list[Warning]:
    """The tables in the database. `migrate` runs this before it makes them, and needs no such advice."""
    if sys.argv[1:2] == ["migrate"]:
        return []
    try:
        project = project_settings()
        if project.database not in (databases or ()) or is_in_memory(project.database):
            return []
        segue = DjangoSegue(project)
        try:
            version = segue.engine.store.schema_version()
        finally:
            segue.close()
    except SegueError:  # `check_settings`, or Django itself, says why it cannot be reached
        return []
    newest = migrate.latest(segue.engine.store.dialect)
    if version >= newest:
        return []
    what = f"have version {version}, and this Segue needs {newest}" if version else "do not exist yet"
    return [Warning(f"Segue's tables {what}.", hint="Run: python manage.py migrate", id="segue.W001")]
