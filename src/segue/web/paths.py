"""Paths of the application: the order of its routes, the place at which it is mounted, and paths to return to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

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
