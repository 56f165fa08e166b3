"""The polled executors of the imported code, by name."""

from __future__ import annotations

import re

from segue.authoring import pushed
from segue.dispatcher.protocol import PolledExecutor
from segue.errors import DefinitionError
from segue.given import shown

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_TAKEN = frozenset({"local", "celery", "dramatiq", "dispatcher", "process", "thread", "async", "inline"})

executors: dict[str, PolledExecutor] = pushed.executors


def register(executor: PolledExecutor) -> None:
    """Let tasks name this executor. A later one of the same name takes its place. Raises DefinitionError."""
    if not _NAME.fullmatch(str(executor.name)) or executor.name in _TAKEN:
        raise DefinitionError(
            f"{shown(executor.name)} cannot be the name of an executor; write up to 40 small letters, digits, '-' "
            f"and '_', beginning with a letter, and none of {', '.join(sorted(_TAKEN))}"
        )
    executors[executor.name] = executor
