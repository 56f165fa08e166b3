"""The file and line of the user's code that an error is about, for those who see only its message."""

from __future__ import annotations

from types import TracebackType

from segue.errors import DefinitionError


def say_where(error: DefinitionError) -> None:
    """Add to the message the line of the user's code that was running when the error was raised, once.

    The command line shows no traceback, and a workflow may be long.
    """
    if getattr(error, "_has_place", False) or not error.args:
        return
    place = _users_line(error.__traceback__)
    if place is not None:
        error.args = (f"{error.args[0]} ({place})", *error.args[1:])
        error._has_place = True  # type: ignore[attr-defined]


def _users_line(trace: TracebackType | None) -> str | None:
    """The innermost line outside of Segue, as "shop.py, line 12"."""
    found: TracebackType | None = None
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__")
        if not (isinstance(module, str) and (module == "segue" or module.startswith("segue."))):
            found = trace
        trace = trace.tb_next
    if found is None:
        return None
    from pathlib import Path  # noqa: PLC0415 - children start without it; only for a message

    file = Path(found.tb_frame.f_code.co_filename)
    here = Path.cwd()
    return f"{file.relative_to(here) if file.is_relative_to(here) else file}, line {found.tb_lineno}"
