"""Makes the awaitable form of an object: the same methods, each of which runs the original in a thread.

A class names the methods of the original one by one, so that type checkers and editors see them with their arguments;
a test compares both classes.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from segue.client.asynchronous.threads import Threads

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
A = TypeVar("A")
Method = Callable[Concatenate[Any, P], T]
Form = Callable[[T, Threads], R]
"""Makes the awaitable form of a result."""


class Awaiting(Generic[T]):
    """An object of `Segue`, and the threads that run its methods."""

    def __init__(self, original: T, threads: Threads) -> None:
        self._original = original
        self._threads = threads

    def _use(self) -> T:
        """The original, in the thread that uses it."""
        return self._original

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._original!r}>"


def awaited(method: Method[P, T]) -> Method[P, Coroutine[Any, Any, T]]:
    """The awaitable form of a method."""

    @wraps(method)
    async def call(self: Awaiting[Any], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._threads.run(lambda: method(self._use(), *args, **kwargs))

    return call


def giving(form: Form[T, R]) -> Callable[[Method[P, T]], Method[P, Coroutine[Any, Any, R]]]:
    """The same for a method whose result has an awaitable form, too."""

    def of(method: Method[P, T]) -> Method[P, Coroutine[Any, Any, R]]:
        @wraps(method)
        async def call(self: Awaiting[Any], /, *args: P.args, **kwargs: P.kwargs) -> R:
            return form(await self._threads.run(lambda: method(self._use(), *args, **kwargs)), self._threads)

        return call

    return of


def starting(form: Form[T, R]) -> Callable[[Method[P, T]], Method[P, Coroutine[Any, Any, R]]]:
    """The same for a method that takes `connection=`, a connection of the caller's, asynchronous or not."""

    def of(method: Method[P, T]) -> Method[P, Coroutine[Any, Any, R]]:
        @wraps(method)
        async def call(self: Awaiting[Any], /, *args: P.args, **kwargs: P.kwargs) -> R:
            connection = kwargs.pop("connection", None)
            work: Any = partial(method, self._original, *args, **kwargs)
            if connection is None:
                found = await self._threads.run(work)
            else:
                found = await self._threads.run_joined(connection, lambda lent: work(connection=lent))
            return form(found, self._threads)

        return call

    return of


def at_once(form: Form[T, R]) -> Callable[[Method[P, T]], Method[P, R]]:
    """The same for a method that reads nothing, so that it need not be awaited."""

    def of(method: Method[P, T]) -> Method[P, R]:
        @wraps(method)
        def call(self: Awaiting[Any], /, *args: P.args, **kwargs: P.kwargs) -> R:
            return form(method(self._use(), *args, **kwargs), self._threads)

        return call

    return of


def about(_: type[A]) -> Callable[
    [Callable[Concatenate[Any, Any, P], T]], Callable[Concatenate[Any, A | str, P], Coroutine[Any, Any, T]]
]:  # fmt: skip
    """The awaitable form of a method that is about another object, which it takes in that form or by its id."""

    def of(method: Callable[Concatenate[Any, Any, P], T]) -> Callable[
        Concatenate[Any, A | str, P], Coroutine[Any, Any, T]
    ]:  # fmt: skip
        @wraps(method)
        async def call(self: Awaiting[Any], what: A | str, /, *args: P.args, **kwargs: P.kwargs) -> T:
            original = what._original if isinstance(what, Awaiting) else what
            return await self._threads.run(lambda: method(self._use(), original, *args, **kwargs))

        return call

    return of
