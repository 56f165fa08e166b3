"""Which tasks and workflows the imported code defines, by name.

The decorators write here and nothing else does. It only describes: looking something up never imports or connects.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import TYPE_CHECKING, Any

from segue.errors import DefinitionError, UnknownTaskError

if TYPE_CHECKING:
    from segue.authoring.task import Task
    from segue.authoring.workflow import Workflow

tasks: dict[str, Task[..., Any]] = {}
workflows: dict[str, Workflow[..., Any]] = {}


def find_task(name: str) -> Task[..., Any]:
    """The task of this name; raises `UnknownTaskError` when no imported module defines it."""
    found = tasks.get(name)
    if found is None:
        raise UnknownTaskError(_unknown("task", name, tasks))
    return found


def find_workflow(name: str) -> Workflow[..., Any]:
    """The workflow of this name; raises `UnknownTaskError` when no imported module defines it."""
    found = workflows.get(name)
    if found is None:
        raise UnknownTaskError(_unknown("workflow", name, workflows))
    return found


def register_task(task: Task[..., Any]) -> None:
    """Write a task down under its name."""
    known = tasks.get(task.name)
    if known is not None:
        _refuse_other("task", task.name, known.fn, task.fn)
    tasks[task.name] = task


def register_workflow(workflow: Workflow[..., Any]) -> None:
    """Write a workflow down under its name."""
    known = workflows.get(workflow.name)
    if known is not None:
        _refuse_other("workflow", workflow.name, known.fn, workflow.fn)
    workflows[workflow.name] = workflow


def check_function(decorator: str, fn: object, *, named: bool) -> FunctionType:
    """The function, if a worker can find it again by importing its module; otherwise raise, saying what to do."""
    if not isinstance(fn, FunctionType):
        kind = "a class" if isinstance(fn, type) else f"{type(fn).__name__} object"
        raise DefinitionError(f"@{decorator} was put on {kind} ({fn!r}); write a function (def ...) and decorate that")
    if fn.__name__ == "<lambda>":
        raise DefinitionError(
            f"@{decorator} was put on a lambda in {fn.__module__}, which has no name that a worker could look up; "
            "write it as a function with def"
        )
    if "<locals>" in fn.__qualname__ and not named:
        raise DefinitionError(
            f"@{decorator} was put on {fn.__qualname__}, a function inside a function, which a worker cannot import; "
            "move it to the top of its module, or give it name=... if it only ever runs in this process"
        )
    return fn


def name_of(fn: Callable[..., Any]) -> str:
    """The name "module.qualname", the same whether the module is run as a script or imported."""
    return f"{_module_of(fn)}.{fn.__qualname__}"


def _module_of(fn: Callable[..., Any]) -> str:
    module = fn.__module__
    if module not in ("__main__", "__mp_main__"):
        return module
    main = sys.modules.get(module)
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name).removesuffix(".__main__")
    path = getattr(main, "__file__", None)
    if not path:
        return module
    from pathlib import PurePath  # noqa: PLC0415 - takes a millisecond; only scripts need it

    return PurePath(path).stem


def _refuse_other(kind: str, name: str, known: Callable[..., Any], new: Callable[..., Any]) -> None:
    """The same function may be defined again (a reload, a script imported under its own name), another one may not."""
    if known.__qualname__ == new.__qualname__ and _module_of(known) == _module_of(new):
        return
    if "<locals>" in known.__qualname__:
        return
    raise DefinitionError(
        f"the {kind} name {name!r} is asked for by {new.__module__}.{new.__qualname__}, but "
        f"{known.__module__}.{known.__qualname__} already has it; give one of them another name=..."
    )


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only for the message

    near = get_close_matches(name, list(known), n=1)
    guess = f" (did you mean {near[0]!r}?)" if near else ""
    return f"no {kind} is called {name!r}{guess}; import the module that defines it (-A package.module)"
