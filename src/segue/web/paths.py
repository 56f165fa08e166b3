"""Paths of the application: the order of its routes, the place at which it is mounted, and paths to return to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar
from urllib.parse import quote

from starlette.types import Scope


class _HasPath(Protocol):
    @property
    def path(self) -> str: ...


T = TypeVar("T", bound=_HasPath)


def fixed_first(entries: Iterable[T]) -> list[T]:
    """Entries in the order of their routes: a path with more fixed words comes before one that would match it too.

    Example: "/runs/search" comes before "/runs/{run_id}".
    """
    return sorted(entries, key=lambda each: (each.path.count("{"), -len(each.path)))


PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
"""A parameter in the path of a route, as "{run_id}" or "{name:name}"."""


def path_part(name: object) -> str:
    """A name as one part of a path: it may contain slashes, dots and anything else."""
    return quote(str(name), safe="")


def filled_path(path: str, values: Mapping[str, object]) -> str:
    """The path of a route with these parameters.

    Example: filled_path("/steps/{step:name}", {"step": "a/b"}) is "/steps/a%2Fb".
    """
    return PARAMETER.sub(lambda found: path_part(values[found[1]]), path)


def root_of(scope: Scope) -> str:
    """The path at which the application is mounted, without a slash at its end; "" at the top."""
    return str(scope.get("root_path", "")).rstrip("/")


def inner_path(scope: Scope) -> str:
    """The path of a request below the place at which the application is mounted."""
    path, root = str(scope["path"]), root_of(scope)
    return path[len(root) :] if path == root or path.startswith(root + "/") else path


def own_path(text: str) -> str:
    """A path of this application to return to; another site's address is replaced by the first page."""
    fits = text.startswith("/") and not text.startswith(("//", "/\\")) and "\\" not in text
    return text if fits and text.isprintable() else "/"
