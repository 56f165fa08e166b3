"""The name of a module, so that a task has one name wherever its module is imported and when it is run as a script.

Python calls a script `__main__`, and a worker imports it under another name. `module_of` finds that name:

1. `python -m shop.flow`: the given name, `shop.flow`.
2. `python shop/flow.py`, where `shop` holds an `__init__.py`: the packages upwards, `shop.flow`. When Python's path has
   a folder above them (`PYTHONPATH`, an editable install), the name as it is imported from there.
3. `python shop/flow.py` without one, typed like this: `shop.flow`, as `-A` in the same folder imports it. `python shop`
   counts as `python shop/__main__.py`.
4. Otherwise the name of the file: `flow`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from segue.errors import DefinitionError

if TYPE_CHECKING:
    from pathlib import Path

MAINS = ("__main__", "__mp_main__")
_known: dict[tuple[str, str], tuple[str, str]] = {}  # file and qualified name → module, and Python's name for it


def name_of(fn: Callable[..., Any]) -> str:
    """The name "module.qualname" of a function."""
    return f"{module_of(fn)}.{fn.__qualname__}"


def module_of(fn: Callable[..., Any]) -> str:
    """The name under which a worker imports the module of a function."""
    module = fn.__module__
    if module not in MAINS:
        return module
    main = sys.modules.get(module)
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name not in MAINS:
        return str(spec.name)
    path = getattr(main, "__file__", None)
    return _script(path) if path else module


def check_imported_once(kind: str, fn: Callable[..., Any]) -> None:
    """Raise DefinitionError if the same file is imported under two names: its tasks would have two names."""
    file = getattr(sys.modules.get(fn.__module__), "__file__", None)
    if file is None or "<locals>" in fn.__qualname__:
        return
    module = module_of(fn)
    before, loaded_as = _known.get((file, fn.__qualname__), (module, ""))
    if before != module and getattr(sys.modules.get(loaded_as), "__file__", None) == file:
        raise DefinitionError(
            f"the {kind} {fn.__qualname__} is defined twice, because {file} is imported as {before} and as {module}; "
            "import it by one of these names everywhere, with -A as well"
        )
    _known[file, fn.__qualname__] = (module, fn.__module__)


def _script(file: str) -> str:
    from pathlib import Path  # noqa: PLC0415 - takes a millisecond; only scripts need it

    path = Path(file).absolute()
    parts = [path.name.partition(".")[0]]
    folder = path.parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        parts.insert(0, folder.name)
        folder = folder.parent
    above = _above(folder.resolve(), [Path(entry).resolve() for entry in sys.path[1:] if entry])
    if above is None and len(parts) == 1:
        typed = Path(sys.argv[0]) if sys.argv else path
        is_folder = path.name == "__main__.py" and typed.name != path.name
        above = _as_typed(path, typed / path.name if is_folder else typed)
    parts[:0] = above or ()
    return ".".join(parts) if all(part.isidentifier() for part in parts) else path.stem


def _above(folder: Path, roots: list[Path]) -> tuple[str, ...] | None:
    """The folders between the nearest entry of Python's path and this one; None if there is no such entry."""
    return next(
        (folder.relative_to(root).parts for root in (folder, *folder.parents) if root in roots and root.name), None
    )


def _as_typed(path: Path, typed: Path) -> tuple[str, ...] | None:
    """The folders of a script as it was typed, `python shop/flow.py`, if it lies below the current folder."""
    if typed.is_absolute() or ".." in typed.parts or path.parts[-len(typed.parts) :] != typed.parts:
        return None
    return typed.parts[:-1]
