"""From options to a worker that works: makes its pool, gives it its tasks, lets signals stop it.

Used by `segue worker` and `segue dev`, and by whoever wants a worker inside a program of his own. The modules that
define the tasks are imported by the caller; a process pool imports them once more, in the process that its children are
forked from.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from segue.authoring import registry
from segue.authoring.limits import declared_limits
from segue.engine.engine import Engine
from segue.errors import ConfigError
from segue.store import absolute_url
from segue.store.protocol import Store
from segue.worker.pool import Pool
from segue.worker.pool.coroutine import AsyncPool
from segue.worker.pool.inline import InlinePool
from segue.worker.pool.process import MAX_JOBS, ProcessPool
from segue.worker.pool.thread import ThreadPool
from segue.worker.worker import Worker, WorkerOptions

POOLS = ("process", "thread", "async", "inline")
ASYNC_CONCURRENCY = 100
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_OWN_TASKS = "segue."


def default_concurrency(pool: str) -> int:
    """How many attempts at once a pool of this name is for when nobody says: 100 for `async`, else one for each CPU."""
    if pool == "async":
        return ASYNC_CONCURRENCY
    return 1 if pool == "inline" else os.cpu_count() or 1


def make_pool(
    name: str,
    size: int,
    *,
    modules: Sequence[str] = (),
    max_jobs: int | None = None,
    max_rss_mb: int | None = None,
    store: Store | None = None,
) -> Pool:
    """The pool of this name (`process`, `thread`, `async`, `inline`) with room for `size` attempts at once.

    `modules` is what the children of a process pool import; `max_jobs` and `max_rss_mb` say when a child is replaced,
    and only a process pool has children. Transactional tasks need the `store`. Raises ConfigError. Example::

        pool = make_pool("process", 4, modules=["shop.tasks"], max_rss_mb=512)
    """
    if size < 1:
        raise ConfigError(f"A pool of {size} places was asked for; it needs at least 1.")
    if name == "process":
        url = None if store is None else absolute_url(store.url)
        return ProcessPool(
            size, modules=modules, max_jobs=max_jobs or MAX_JOBS, max_rss_mb=max_rss_mb, database_url=url
        )
    if max_jobs is not None or max_rss_mb is not None:
        raise ConfigError(
            f"max_jobs and max_rss_mb replace a child process, and the {name} pool has none; leave them out, "
            "or use the process pool."
        )
    if name == "thread":
        return ThreadPool(size, store=store)
    if name == "async":
        return AsyncPool(size, store=store)
    if name == "inline":
        return InlinePool(store=store)
    raise ConfigError(f"There is no pool {name!r}; there are {', '.join(POOLS)}.")


def known_tasks() -> list[str]:
    """The names of all tasks that the imported code defines, Segue's own among them."""
    return sorted(registry.tasks)


def user_tasks() -> list[str]:
    """The names of the tasks that the user's code defines."""
    return [
        name
        for name, task in sorted(registry.tasks.items())
        if not task.fn.__module__.startswith("segue.authoring.") and not name.startswith(f"{_OWN_TASKS}authoring.")
    ]


def make_worker(
    engine: Engine,
    options: WorkerOptions,
    *,
    modules: Sequence[str] = (),
    max_jobs: int | None = None,
    max_rss_mb: int | None = None,
) -> Worker:
    """A worker that knows every task imported so far; `run()` it under `stopping_on_signals`.

    Example::

        worker = make_worker(Segue(url).engine, WorkerOptions(concurrency=4), modules=["shop.tasks"])
        with stopping_on_signals(worker):
            worker.run()
    """
    pool = make_pool(
        options.pool, options.concurrency, modules=modules, max_jobs=max_jobs, max_rss_mb=max_rss_mb, store=engine.store
    )
    return Worker(engine, pool, tasks=known_tasks(), options=options, limits=declared_limits())


@contextmanager
def stopping_on_signals(
    worker: Worker, *, say: Callable[[int, int], None] | None = None, signals: Sequence[int] = STOP_SIGNALS
) -> Iterator[None]:
    """While the block runs, `signals` stop the worker: the first warm, every other cold.

    `say` is called in the signal handler, with the number of the signal and how many there have been. For the main
    thread.
    """
    count = 0

    def on_signal(number: int, _frame: object) -> None:
        nonlocal count
        count += 1
        worker.stop()
        if say is not None:
            say(number, count)

    before = {number: signal.signal(number, on_signal) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
