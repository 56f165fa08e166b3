"""The pages of the API reference: one for each public module, with every name of its `__all__`.

What belongs here is found, not listed: a name that is added to `__all__` is on the site with the next build.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any, get_args

import segue

MODULES = ("segue", "segue.errors", "segue.testing", "segue.payloads", "segue.authoring.describing")
FAMILIES = ("segue.executors", "segue.compat", "segue.contrib")
"""Packages whose packages are public, where they have an `__all__`."""

ATTRIBUTES = {
    "segue.client.selection": ("Selection",),
    "segue.client.schedules": ("Schedules",),
    "segue.client.limits": ("Limits",),
    "segue.client.subscriptions": ("Subscriptions",),
    "segue.client.retention": ("Retention",),
    "segue.client.waiting": ("Approvals", "Events"),
    "segue.client.payloads": ("StoredPayloads",),
    "segue.client.executors": ("Executors",),
    "segue.model": ("RunStatus", "StepStatus", "ErrorInfo", "FailureInfo"),
}
"""What `Segue` and `Run` have. What the methods of these return is found by their annotations."""


def public_modules() -> list[str]:
    """The modules that users import from, in the order of the site."""
    found = [name for name in MODULES if public_names(importlib.import_module(name))]
    for family in FAMILIES:
        try:
            package = importlib.import_module(family)
        except ModuleNotFoundError:
            continue
        children = pkgutil.iter_modules(package.__path__, f"{family}.")
        found += [name for _, name, is_package in children if is_package and _has_all(name)]
    return found


def _has_all(name: str) -> bool:
    return hasattr(importlib.import_module(name), "__all__")


def public_names(module: ModuleType) -> list[str]:
    """Its `__all__`; without one, the exceptions that it defines."""
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if not inspect.ismodule(getattr(module, name))]
    return [
        name for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == module.__name__
    ]  # fmt: skip


def reference_pages() -> dict[str, str]:
    """The text of each page of the reference, by its name on the site."""
    described: set[int] = set()
    pages = {f"api/{name}.md": _page_of(name, described) for name in public_modules()}
    pages["api/returned.md"] = "\n\n".join(
        [
            "# What methods return",
            "These classes are not imported: attributes and methods of `Segue` and `Run` give them.",
            *(_entry(value.__module__, value.__name__, described) for value in returned_classes()),
        ]
    )
    return pages


def returned_classes() -> list[type]:
    """Classes that `Segue` and `Run` give to users, and that no `__all__` has."""
    found = [getattr(importlib.import_module(module), name) for module, names in ATTRIBUTES.items() for name in names]
    public = {getattr(segue, name) for name in segue.__all__}
    for owner in (segue.Segue, segue.Run, segue.StepHandle, *found):
        for _, method in inspect.getmembers(owner, inspect.isfunction):
            if not method.__name__.startswith("_"):
                found += [value for value in _returned_by(method) if value not in found and value not in public]
    return found


def _returned_by(method: FunctionType) -> Iterator[type]:
    """The classes of Segue that its return annotation names, also as `list[...]` and by an alias."""
    module = importlib.import_module(method.__module__)  # a wrapper has the globals of another
    for words in re.findall(r"[A-Za-z_][\w.]*", str(inspect.signature(method).return_annotation)):
        value: Any = module
        for word in words.split("."):
            value = getattr(value, word, None)
        for each in (value, *get_args(value)):
            if isinstance(each, type) and each.__module__.partition(".")[0] == "segue":
                yield each


def _page_of(name: str, described: set[int]) -> str:
    module = importlib.import_module(name)
    about = _directive("automodule", name)
    return "\n\n".join([f"# {name}", about, *(_entry(name, each, described) for each in public_names(module))])


def _entry(module: str, name: str, described: set[int]) -> str:
    """One name; links go to the first place where an object is described."""
    value = getattr(importlib.import_module(module), name)
    home = getattr(value, "__module__", None) or "segue"
    if (inspect.isroutine(value) or isinstance(value, type)) and home.partition(".")[0] != "segue":
        return f"`{name}` is `{home}.{value.__qualname__}`."
    kind, options = _kind_of(value)
    if id(value) in described:
        options = (*options, "no-index")
    described.add(id(value))
    return _directive(f"auto{kind}", f"{module}.{name}", *options)


def _directive(kind: str, argument: str, *options: str) -> str:
    lines = [f".. {kind}:: {argument}", *(f"   :{option}:" for option in options)]
    return "```{eval-rst}\n" + "\n".join(lines) + "\n```"


def _kind_of(value: Any) -> tuple[str, tuple[str, ...]]:
    if isinstance(value, type):
        return ("exception" if issubclass(value, BaseException) else "class"), ("members", "show-inheritance")
    return ("function" if inspect.isroutine(value) else "data"), ()
