"""A hash of a function's code: the same in every process and on every machine that has the same code.

It is a hash of the source, if available: decorators, defaults and inner functions are part of it. If the source is not
available (code typed into a console, or installed as bytecode alone), it is a hash of the bytecode, which differs
between versions of Python. The values of defaults are included if they can be written as JSON.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from hashlib import sha256
from textwrap import dedent
from types import CodeType
from typing import Any

from segue.authoring.describing.schema import stable_json
from segue.errors import SegueError

HASH_LENGTH = 16
"""Hexadecimal digits: 64 bits."""


def digest(text: str) -> str:
    """A short hash of a text."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_LENGTH]


def code_hash(fn: Callable[..., Any]) -> str:
    """The hash of a function, and of the functions that it wraps."""
    parts: list[str] = []
    seen: set[int] = set()
    while id(fn) not in seen:
        seen.add(id(fn))
        parts += [_written(fn), *_defaults(fn)]
        fn = getattr(fn, "__wrapped__", fn)
    return digest("\n\0".join(parts))


def _written(fn: Callable[..., Any]) -> str:
    """The source of a function without differences that an editor or git may make; otherwise its bytecode."""
    code = getattr(fn, "__code__", None)
    if not isinstance(code, CodeType):
        return str(getattr(fn, "__qualname__", type(fn).__qualname__))
    try:
        source = inspect.getsource(code)
    except Exception:  # noqa: BLE001 - OSError mostly; a source file that changed since may contain anything
        return "".join(_bytecode(code))
    return "\n".join(line.rstrip() for line in dedent(source).strip().splitlines())


def _bytecode(code: CodeType) -> Iterator[str]:
    """The behaviour of a function as text, without its file and its line numbers."""
    yield code.co_code.hex()
    for names in (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars):
        yield f"{names}"
    yield f"{code.co_argcount} {code.co_posonlyargcount} {code.co_kwonlyargcount} {code.co_flags}"
    yield code.co_exceptiontable.hex()
    for constant in code.co_consts:
        yield from _constant(constant)


def _constant(value: Any) -> Iterator[str]:
    if isinstance(value, CodeType):
        yield value.co_name
        yield from _bytecode(value)
    elif isinstance(value, frozenset):  # of `x in {...}`, in the order of this process
        yield from sorted("".join(_constant(item)) for item in value)
    elif isinstance(value, tuple):
        for item in value:
            yield from _constant(item)
    else:
        yield f"{type(value).__name__} {value!r}"


def _defaults(fn: Callable[..., Any]) -> Iterator[str]:
    given: list[Any] = list(getattr(fn, "__defaults__", None) or ())
    named: dict[str, Any] = getattr(fn, "__kwdefaults__", None) or {}
    for value in [*given, *(named[name] for name in sorted(named))]:
        try:
            yield stable_json(value)
        except (SegueError, TypeError, ValueError):
            yield f"{type(value).__module__}.{type(value).__qualname__}"
