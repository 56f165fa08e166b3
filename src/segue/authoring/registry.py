"""The names of one kind of definition, tasks or workflows, in the imported code.

Only the decorators write here. A lookup never imports or connects.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from inspect import unwrap
from types import FunctionType, MethodType
from typing import Any, Protocol, TypeVar

from segue.authoring.elsewhere import nearest
from segue.authoring.naming import check_imported_once, module_of, name_of
from segue.errors import DefinitionError, UnknownTaskError
from segue.given import shown
from segue.plan.indexed import MOST_NAME_BYTES, name_problem


class Defined(Protocol):
    """What a decorator makes of a function."""

    @property
    def name(self) -> str:
        """Its name in all places."""
        ...

    @property
    def fn(self) -> Callable[..., Any]:
        """The function."""
        ...


T = TypeVar("T", bound=Defined)


class Registry(dict[str, T]):
    """The definitions of one kind by name, in the order in which they were made.

    Example::

        tasks: Registry[Task[..., Any]] = Registry("task")
        tasks.register(defined)
        tasks.find("shop.pay")
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind

    def find(self, name: str) -> T:
        """The definition of this name. Raises `UnknownTaskError` if no imported module defines it."""
        found = self.get(name)
        if found is None:
            raise UnknownTaskError(_unknown(self._kind, name, self))
        return found

    def register(self, defined: T) -> None:
        """Register a definition under its name."""
        _check_name(self._kind, defined.name)
        known = self.get(defined.name)
        if known is not None:
            _refuse_other(self._kind, defined.name, known.fn, defined.fn)
        if defined.name == name_of(defined.fn):
            check_imported_once(self._kind, defined.fn)
        self[defined.name] = defined


def check_function(decorator: str, fn: object, *, named: bool) -> FunctionType:
    """The function, if a worker can find it again by importing its module. Otherwise raises, with what to do."""
    if isinstance(fn, (classmethod, staticmethod, MethodType)):
        raise _method_error(decorator, getattr(fn, "__qualname__", shown(fn)))
    if not isinstance(fn, FunctionType):
        kind = "a class" if isinstance(fn, type) else f"{type(fn).__name__} object"
        name = f" (for a name, write @{decorator}(name={shown(fn)}))" if isinstance(fn, str) else ""
        raise DefinitionError(
            f"@{decorator} was put on {kind} ({shown(fn)}); write a function (def ...) and decorate that{name}"
        )
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
    if _is_method(fn):
        raise _method_error(decorator, fn.__qualname__)
    return fn


def _method_error(decorator: str, name: str) -> DefinitionError:
    return DefinitionError(
        f"@{decorator} was put on {name}, a method, and a worker has no object to call it on; make it a function at "
        "the top of the module that receives what it needs, or remove its first parameter and write @staticmethod "
        f"above @{decorator}"
    )


def _check_name(kind: str, name: str) -> None:
    problem = name_problem(name, MOST_NAME_BYTES)
    if problem is not None:
        raise DefinitionError(
            f"the name {shown(name)} of a {kind} {problem}, so no database can store it; choose another name=..."
        )


def _is_method(fn: FunctionType) -> bool:
    """Whether it is a function in a class that receives an object, or the class."""
    if "." not in fn.__qualname__.rpartition("<locals>.")[2]:
        return False
    written = getattr(unwrap(fn), "__code__", fn.__code__)
    return written.co_argcount > 0 and written.co_varnames[0] in ("self", "cls")


def _refuse_other(kind: str, name: str, known: Callable[..., Any], new: Callable[..., Any]) -> None:
    """The same function may be defined again (a reload, a script imported under its own name); another one may not."""
    if not _are_written_together(known, new):
        if known.__qualname__ == new.__qualname__ and module_of(known) == module_of(new):
            return
        if "<locals>" in known.__qualname__:
            return
    raise DefinitionError(
        f"the {kind} name {name!r} is asked for by {new.__module__}.{new.__qualname__}{_line_of(new)}, but "
        f"{known.__module__}.{known.__qualname__}{_line_of(known)} already has it; give one of them another name"
    )


def _are_written_together(known: Callable[..., Any], new: Callable[..., Any]) -> bool:
    """Whether both are written in the code that is defining the new one: then neither replaces the other."""
    codes = [getattr(unwrap(fn), "__code__", None) for fn in (known, new)]
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals is not getattr(new, "__globals__", None):
        frame = frame.f_back
    written = frame.f_code.co_consts
    return codes[0] is not codes[1] and all(any(code is const for const in written) for code in codes)


def _line_of(fn: Callable[..., Any]) -> str:
    code = getattr(unwrap(fn), "__code__", None)
    return "" if code is None else f" (line {code.co_firstlineno})"


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    near = nearest(name, known)
    guess = f" (did you mean {near!r}?)" if near else ""
    return f"no {kind} is named {name!r}{guess}; import the module that defines it (-A package.module)"
