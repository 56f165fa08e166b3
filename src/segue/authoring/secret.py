"""`Secret[...]`: the annotation of a parameter or a result whose value is hidden where Segue shows it."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

T = TypeVar("T")


class Hidden:
    """The mark in an annotation."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret"


HIDDEN = Hidden()

Secret = Annotated[T, HIDDEN]
"""Marks a parameter or the result of a task or workflow as secret; to the function and to type checkers it is the type
inside.

The value of a parameter appears as `***` in the errors, the output and the log of the attempt, and where arguments are
shown. A result appears so where steps are shown. The database has them as they are. Example::

    @task
    def log_in(user: str, password: Secret[str]) -> Secret[str]: ...
"""


def is_secret(annotation: Any) -> bool:
    """Whether an annotation is `Secret[...]`, or a union with one."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return any(isinstance(each, Hidden) for each in annotation.__metadata__) or is_secret(get_args(annotation)[0])
    return origin in (Union, UnionType) and any(map(is_secret, get_args(annotation)))
