"""The parameter `connection` of a transactional task: the process that runs the task fills it, callers never do.

For `def pay(connection, order)` a workflow calls `pay(7)`. Outside of a workflow the task is the plain function, and is
called as `pay(connection, 7)`.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature, iscoroutinefunction, signature
from typing import Any

from segue.errors import DefinitionError

CONNECTION = "connection"


def check_lendable(label: str, fn: Callable[..., Any]) -> None:
    """Raise `DefinitionError` for a function that could not receive a connection, or could not use one."""
    if iscoroutinefunction(fn):
        raise DefinitionError(
            f"{label}: transactional=True was set on an async def, but its connection is synchronous and would block "
            "the event loop; write it as def, and await in a task before it"
        )
    parameter = signature(fn).parameters.get(CONNECTION)
    if parameter is None:
        raise DefinitionError(
            f"{label}: transactional=True needs a parameter called connection, through which the task writes; "
            f"write def {fn.__name__}({CONNECTION}, ...)"
        )
    if parameter.kind not in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY):
        raise DefinitionError(
            f"{label}: transactional=True fills the parameter connection, which must be an ordinary one; "
            f"write def {fn.__name__}({CONNECTION}, ...) without / or * before its name"
        )


def without_connection(of: Signature) -> Signature:
    """The signature of a transactional task for its callers."""
    return of.replace(parameters=[p for p in of.parameters.values() if p.name != CONNECTION])


def place_of_connection(of: Signature) -> int | None:
    """Its place among the positional parameters; None if it is given by name."""
    parameters = list(of.parameters.values())
    index = next(index for index, parameter in enumerate(parameters) if parameter.name == CONNECTION)
    return None if parameters[index].kind is Parameter.KEYWORD_ONLY else index


def lend(
    connection: Any, place: int | None, args: list[Any], kwargs: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of the function: those of the caller, and the connection."""
    if place is None or place > len(args):
        return args, {**kwargs, CONNECTION: connection}
    return [*args[:place], connection, *args[place:]], kwargs
