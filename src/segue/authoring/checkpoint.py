"""`checkpoint`: a result inside a task that is recorded at once, and not computed again when the task comes again.

The record is made by `segue.attempt.journal`; here the call is checked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any, TypeVar, overload

from segue.authoring.context import Context, Journal, running
from segue.authoring.task import Task
from segue.errors import DefinitionError
from segue.given import shown

T = TypeVar("T")

LONGEST_NAME = 200


def _no_function() -> None:
    """Stands for a function that was not given."""


@overload
def checkpoint(
    name: str, fn: Callable[..., Awaitable[T]], /, *args: Any, transactional: bool = False, **kwargs: Any
) -> Awaitable[T]: ...
@overload
def checkpoint(name: str, fn: Callable[..., T], /, *args: Any, transactional: bool = False, **kwargs: Any) -> T: ...
def checkpoint(
    name: str, fn: Callable[..., Any] = _no_function, /, *args: Any, transactional: bool = False, **kwargs: Any
) -> Any:
    """Call `fn(*args, **kwargs)` and record its result, once for the step: later attempts get the recorded result.

    The result is JSON, typed back by the return annotation of `fn`. Each attempt must make the same calls in the same
    order, so a task decides only by its arguments and by recorded results. Every name is used once: put the number of
    a round into it. If `fn` raises, nothing is recorded. Calls come one after another, in the thread of the task.

    An `async def` function is awaited: `await checkpoint("ask", ask, question)`. With `transactional=True`, `fn` gets a
    connection to Segue's database as its first argument, and what it writes is committed with its result. Outside of a
    step, `fn` is just called.

    Raises CheckpointError if the calls differ from those that an earlier attempt recorded.

    Example::

        for page in range(checkpoint("count", count_pages, url)):
            rows = checkpoint(f"page {page}", fetch, url, page=page)
    """
    check_checkpoint(name, fn)
    if isinstance(fn, Task):
        fn = fn.fn
    context = running()
    if context is None:
        if transactional:
            raise DefinitionError(
                f"checkpoint({name!r}, transactional=True) was called where no step is running, so there is no "
                "connection to give; call the function itself with a connection of yours"
            )
        return fn(*args, **kwargs)
    if transactional and iscoroutinefunction(fn):
        raise DefinitionError(
            f"checkpoint({name!r}, transactional=True) was given an async function, but the connection is synchronous; "
            "give a plain function"
        )
    return journal_of(context, f"checkpoint({name!r})", "task").checkpoint(
        name, fn, args, kwargs, transactional=transactional
    )


def journal_of(context: Context, what: str, element: str) -> Journal:
    """The journal of the running attempt. Raises DefinitionError where nothing can be recorded.

    `element` is what can be used in a plan instead: `element.s(...)`.
    """
    if context.journal is None:
        raise DefinitionError(
            f"{what} was called in the step {context.name}, which runs outside of Segue's workers, where nothing can "
            f"be recorded inside a step. Use a task of Segue, or a step of its own: {element}.s(...) in a plan"
        )
    return context.journal


def check_checkpoint(name: object, fn: object) -> None:
    """Raise DefinitionError for a name that a record cannot have, or for something that cannot be called."""
    if fn is _no_function:
        called = getattr(name, "__name__", "part") if callable(name) else "part"
        raise DefinitionError(
            f"checkpoint({shown(name)}) was given no function, and it is no decorator; name the result, and give the "
            f"function where you would call it: checkpoint({called!r}, {called}, ...)"
        )
    if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise DefinitionError(
            f"checkpoint was given the name {shown(name)}; give a text of 1 to {LONGEST_NAME} printable letters, as in "
            "checkpoint('fetch', fetch, url)"
        )
    if not callable(fn):
        raise DefinitionError(
            f"checkpoint({name!r}) was given {shown(fn)} instead of a function; write the function and its arguments "
            "without calling it: checkpoint('fetch', fetch, url)"
        )
