"""The user's code: imports the modules given with -A, and finds workflows and tasks by name."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from segue.authoring import Element, Task, Workflow, declared
from segue.client.starting import find_known
from segue.errors import ConfigError, SegueError, UnknownTaskError

TRACEBACK_LINES = 12
NAMED = 8  # workflows listed in the message when one is not found
_SEGUE = str(Path(__file__).parents[1]) + os.sep


def import_modules(names: Iterable[str]) -> None:
    """Import modules, with the working directory on the path. Raises ConfigError that shows where a module failed."""
    here = _current_folder()
    if here not in sys.path:
        sys.path.insert(0, here)
    for name in names:
        _import(name)


def _current_folder() -> str:
    try:
        return str(Path.cwd())
    except OSError as error:
        raise ConfigError(
            f"The current folder is not accessible: {error.strerror or error}. It was removed, or you may not read it; "
            "change to another folder (cd) and try again."
        ) from error


def find_work(name: str) -> Any:
    """The work that `segue start NAME` starts: a workflow or task by its full or short name, or `module.attribute`.

    The attribute may be anything that `Segue.start` accepts; its module is imported if necessary. Raises
    UnknownTaskError if the name matches nothing, or more than one workflow or task.
    """
    found = find_known(name)
    if found is not None:
        return found
    module, _, attribute = name.replace(":", ".").rpartition(".")
    if module:
        return _attribute(module, attribute)
    known: dict[str, Any] = {**declared.tasks, **declared.workflows}
    short = {full.rpartition(".")[2]: full for full in known}
    near = get_close_matches(name, short, n=1)
    guess = f" Did you mean {near[0]!r} ({short[near[0]]})?" if near else _known_workflows()
    raise UnknownTaskError(
        f"No workflow or task is named {name!r}.{guess} "
        "Import the module that defines it with -A, or write package.module.name."
    )


def _known_workflows() -> str:
    names = sorted(name for name in declared.workflows if not name.startswith("segue."))
    more = f", … {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f" Known here: {', '.join(names[:NAMED])}{more}." if names else ""


def _attribute(module: str, attribute: str) -> Any:
    import_modules([module])
    try:
        found = getattr(sys.modules[module], attribute)
    except AttributeError:
        raise UnknownTaskError(f"The module {module} has no attribute {attribute!r}.") from None
    if not isinstance(found, Workflow | Task | Element):
        raise UnknownTaskError(
            f"{module}.{attribute} is {type(found).__name__}, which cannot be started; "
            "name a workflow, a task, a signature, a chain or a group."
        )
    return found


def _import(name: str) -> None:
    if name.endswith(".py") or "/" in name:
        module = name.removesuffix(".py").strip("./").replace("/", ".")
        raise ConfigError(f"-A takes the name of a module, not of a file: write -A {module}")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise _broken(name, error) from error
        raise ConfigError(
            f"There is no module {error.name!r} (for -A {name}) on the path or in {_current_folder()}. "
            "Change to the folder that contains it, or install the package."
        ) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, and what pytest and others derive from BaseException
        raise _broken(name, error) from error


def _broken(name: str, error: BaseException) -> ConfigError:
    is_ours = isinstance(error, SegueError)  # raised by Segue: its place in the user's code is enough
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not _is_machinery(frame.filename) and not (is_ours and frame.filename.startswith(_SEGUE))
    ]
    text = "".join([*traceback.format_list(frames), *traceback.format_exception_only(error)])
    lines = text.rstrip().splitlines()
    if len(lines) > TRACEBACK_LINES:
        lines = ["  ...", *lines[-TRACEBACK_LINES:]]
    shown = "\n".join(f"  {line}" for line in lines)
    return ConfigError(f"The module {name} cannot be imported:\n{shown}")


def _is_machinery(filename: str) -> bool:
    """Frames of the import machinery, which are of no use to the user."""
    return filename.startswith("<frozen ") or filename in (__file__, importlib.__file__)
