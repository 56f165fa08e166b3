"""Middleware: code of the user that runs around each attempt, in the process and thread that runs the task.

A middleware belongs to the process, like tasks and observers. A module that workers import with `-A` registers it, so
that every process which knows the tasks also knows the middleware: children of a process pool, too.

Promises: hooks run in the order in which middlewares were added, and end in the reverse order. While none is added, an
attempt pays one look at an empty tuple. `segue.attempt.around` calls the hooks.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, nullcontext

import msgspec

from segue.authoring.context import Context
from segue.errors import DefinitionError
from segue.given import shown
from segue.model import ErrorInfo


class Ended(msgspec.Struct, frozen=True):
    """How an attempt ended, as its process reports it."""

    verdict: str  # "succeeded", "failed", "skipped", or "expanded" if the task returned a plan
    error: ErrorInfo | None  # type, message and traceback, if it failed
    seconds: float


class Middleware:
    """Hooks around attempts. Override those that you need; each does nothing by itself.

    Middlewares are entered in the order in which they were added, and left in the reverse order. Inside all of these
    hooks of an attempt, `segue.current()` is the attempt.

    Example::

        class Tenant(segue.Middleware):
            @contextmanager
            def around_attempt(self, context):
                token = tenant.set(tenant_of(context.run_id))
                try:
                    yield
                finally:
                    tenant.reset(token)

        segue.add_middleware(Tenant())
    """

    def process_started(self) -> None:
        """Called in each process that runs attempts, before its first one.

        That is each child of a process pool, after its fork, and for the other pools the worker itself. An error is
        logged, and the process works without it.
        """

    def process_stopping(self) -> None:
        """Called when such a process has no further attempts; it may take 2 seconds in the child of a process pool.

        A process that is killed calls nothing. An error is logged.
        """

    def around_attempt(self, context: Context) -> AbstractContextManager[object]:
        """A context manager in which the task runs. Its arguments are decoded inside as well.

        An error of its `__enter__` or `__exit__` fails the attempt as an error of the task would: it may be retried,
        and `Retry`, `Skip` and `Abort` mean the same. An exception of the task passes through; it cannot be suppressed.
        For a transactional task, the block ends before the commit, so that an error rolls back. If the condition of a
        step (`when`) is false, its task does not run, and neither does this.
        """
        return nullcontext()

    def around_coroutine(self, context: Context) -> AbstractAsyncContextManager[object]:
        """The same for `async def` tasks: entered inside of `around_attempt`, on the event loop of the task.

        For what has to be awaited. In the async pool `around_attempt` runs on the loop as well, so that it must not
        wait there.
        """
        return AsyncExitStack()

    def after_attempt(self, context: Context, ended: Ended) -> None:
        """Called when the outcome of the attempt is known, with its result converted and stored, before it is recorded.

        An error is logged, and the outcome stays. It is not called for an attempt that was ended from outside: by a
        timeout, a cancellation, a stop or the death of its process. `around_attempt` is left with `Cancelled` then, if
        the process lives.
        """


class Middlewares:
    """The middlewares of this process, and for each hook those that define it."""

    def __init__(self) -> None:
        self.known: tuple[Middleware, ...] = ()
        self.arounds: tuple[Middleware, ...] = ()  # those with `around_attempt`
        self.coroutines: tuple[Middleware, ...] = ()
        self.afters: tuple[Middleware, ...] = ()
        self.stoppings: tuple[Middleware, ...] = ()

    def add(self, middleware: Middleware) -> None:
        """Add one. It takes the place of an earlier one of the same class."""
        kind = _identity(middleware)
        replaced = [each for each in self.known if _identity(each) == kind]
        if replaced:
            self.set(tuple(middleware if each is replaced[0] else each for each in self.known))
        else:
            self.set((*self.known, middleware))

    def set(self, known: tuple[Middleware, ...]) -> None:
        """Replace all."""
        self.known = known
        self.arounds = tuple(each for each in known if _has(each, "around_attempt"))
        self.coroutines = tuple(each for each in known if _has(each, "around_coroutine"))
        self.afters = tuple(each for each in known if _has(each, "after_attempt"))
        self.stoppings = tuple(each for each in known if _has(each, "process_stopping"))


middlewares = Middlewares()
"""The middlewares of this process."""


def add_middleware(middleware: Middleware) -> None:
    """Let a middleware run around every attempt in this process, inside of those that were added before.

    Call it in a module that your workers import with `-A`. A second one of the same class replaces the first one, so a
    module may be imported again. Attempts in Celery's and Dramatiq's own workers do not call it: these libraries have
    their own signals and middleware. Raises DefinitionError for anything but a `Middleware` object.

    Example::

        segue.add_middleware(Tenant())
    """
    given: object = middleware
    if not isinstance(given, Middleware):
        what = f"{shown(given)} is not a segue.Middleware"
        if isinstance(given, type) and issubclass(given, Middleware):
            what = f"{given.__name__} is a class; add an object of it: {given.__name__}()"
        raise DefinitionError(f"add_middleware: {what}")
    middlewares.add(middleware)


def _identity(middleware: Middleware) -> tuple[str, str]:
    """The same for a class that was made again, as by a reload."""
    return type(middleware).__module__, type(middleware).__qualname__


def _has(middleware: Middleware, hook: str) -> bool:
    return hook in vars(middleware) or getattr(type(middleware), hook) is not getattr(Middleware, hook)
