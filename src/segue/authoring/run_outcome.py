"""How a run ended, as hooks receive it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from segue.authoring.declared import workflows
from segue.errors import ConfigError
from segue.model import FailureInfo, RunStatus

_NO_ARGUMENTS: Final[tuple[list[Any], dict[str, Any]]] = ([], {})


class RunOutcome(msgspec.Struct, frozen=True):
    """How a run ended: the annotation for what a hook receives (`on_failure`, `finally_`).

    `error` names the step that failed, and the type and message of its error. `arguments` are those of the run, as
    `[args, kwargs]` in JSON. They are None if they are longer than 64 KiB (`segue.get(run_id).info().arguments` has
    them), and for hooks of a workflow that a task returned.

    Example::

        @task
        def tidy(how: RunOutcome) -> None:
            shutil.rmtree(folder_of(how.argument("day")))

        @workflow(finally_=tidy.s())
        def nightly(day: str) -> int: ...
    """

    run_id: str
    workflow: str
    status: RunStatus
    error: FailureInfo | None = None
    key: str | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    arguments: list[Any] | None = None

    def argument(self, name: str) -> Any:
        """The run's argument of this name, or its default. Raises ConfigError if it is not known here."""
        args, kwargs = self.arguments or _NO_ARGUMENTS
        if name in kwargs:
            return kwargs[name]
        found = workflows.get(self.workflow)
        if found is not None and self.arguments is not None:
            by_position = dict(zip(found.parameters.positional, args, strict=False))
            for known in (by_position, found.parameters.defaults):
                if name in known:
                    return known[name]
        raise ConfigError(
            f"The argument {name!r} of run {self.run_id} is not known here: {self.workflow} is not imported, has no "
            "such parameter, or its arguments are too long. Read segue.get(run_id).info().arguments."
        )


def without_arguments(value: Any) -> Any:
    """A value for another system: what a hook receives, without the arguments, which may be confidential."""
    if isinstance(value, dict) and value.keys() == set(RunOutcome.__struct_fields__):
        return {key: part for key, part in value.items() if key != "arguments"}
    return value
