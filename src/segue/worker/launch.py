"""Turns options into a running worker: creates its pool, passes it its tasks, lets signals stop it.

Used by `segue worker` and `segue dev`, and by programs that contain a worker. The caller imports the modules that
define the tasks; a process pool imports them a second time, in the process from which its children are forked.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from segue.authoring import declared
from segue.authoring.declared import declared_limits
from segue.engine.engine import Engine
from segue.errors import ConfigError
from segue.model import REFUSABLE_TASKS
from segue.observing.harmless_log import get_logger
from segue.payloads.address import address_of
from segue.payloads.keeping import Payloads
from segue.plan.code_version import CodeVersion
from segue.store import absolute_url
from segue.store.protocol import Store
from segue.worker import own_signals
from segue.worker.options import WorkerOptions
from segue.worker.pool import Pool
from segue.worker.pool.coroutine import AsyncPool
from segue.worker.pool.inline import InlinePool
from segue.worker.pool.process import MAX_JOBS, ProcessPool
from segue.worker.pool.thread import ThreadPool
from segue.worker.worker import Worker

POOLS = ("process", "thread", "async", "inline")
ASYNC_CONCURRENCY = 100
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_OWN_TASKS = "segue."
logger = get_logger("segue.worker")


def default_concurrency(pool: str) -> int:
    """The default number of attempts at the same time: 100 for `async`, otherwise one for each CPU."""
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
    payloads: Payloads | None = None,
) -> Pool:
    """The pool of this name (`process`, `thread`, `async`, `inline`) with room for `size` attempts at the same time.

    The children of a process pool import `modules`. `max_jobs` and `max_rss_mb` decide when a child is replaced; only a
    process pool has children. Transactional tasks need the `store`, and long values the `payloads`. Raises ConfigError.

    Example::

        pool = make_pool("process", 4, modules=["shop.tasks"], max_rss_mb=512)
    """
    if size < 1:
        raise ConfigError(f"A pool needs at least 1 place, and {size} were requested.")
    if name == "process":
        return process_pool(
            size, modules=modules, max_jobs=max_jobs, max_rss_mb=max_rss_mb, store=store, payloads=payloads
        )
    if max_jobs is not None or max_rss_mb is not None:
        raise ConfigError(
            f"max_jobs and max_rss_mb replace a child process, and the {name} pool has none; leave them out, "
            "or use the process pool."
        )
    if name == "thread":
        return ThreadPool(size, store=store, payloads=payloads)
    if name == "async":
        return AsyncPool(size, store=store, payloads=payloads)
    if name == "inline":
        return InlinePool(store=store, payloads=payloads)
    raise ConfigError(f"There is no pool {name!r}. Choose from: {', '.join(POOLS)}.")


def process_pool(
    size: int, *, modules: Sequence[str] = (), max_jobs: int | None = None, max_rss_mb: int | None = None,
    store: Store | None = None, payloads: Payloads | None = None,
) -> ProcessPool:  # fmt: skip
    """The process pool; see `make_pool`."""
    url = None if store is None else absolute_url(store.url)
    return ProcessPool(
        size, modules=modules, max_jobs=max_jobs or MAX_JOBS, max_rss_mb=max_rss_mb, database_url=url,
        payloads=address_of(payloads),
    )  # fmt: skip


def known_tasks(*, without: Collection[str] = ()) -> list[str]:
    """The names of all tasks that the imported code defines, including Segue's own.

    `without` leaves out some of `shell`, `webhook` and `notify`. Raises ConfigError for another word.
    """
    unknown = sorted(set(without) - REFUSABLE_TASKS.keys())
    if unknown:
        raise ConfigError(
            f"A worker cannot be without {', '.join(map(repr, unknown))}; it can be without "
            f"{', '.join(REFUSABLE_TASKS)}. To leave out your own tasks, do not import their module."
        )
    return sorted(declared.tasks.keys() - {REFUSABLE_TASKS[name] for name in without})


def described_code() -> CodeVersion | None:
    """The definitions in the imported code. None if it cannot be described, which does not stop a worker."""
    from segue.authoring.describing.describe import code_version  # noqa: PLC0415 - `segue.run` does not need it

    try:
        return code_version()
    except Exception:
        logger.exception("the definitions in the code cannot be described; this worker starts without them")
        return None


def user_tasks() -> list[str]:
    """The names of the tasks that the user's code defines."""
    return [
        name
        for name, task in sorted(declared.tasks.items())
        if not task.fn.__module__.startswith("segue.authoring.") and not name.startswith(f"{_OWN_TASKS}authoring.")
    ]


def make_worker(
    engine: Engine,
    options: WorkerOptions,
    *,
    modules: Sequence[str] = (),
    max_jobs: int | None = None,
    max_rss_mb: int | None = None,
    without: Collection[str] = (),
) -> Worker:
    """A worker that knows every task imported so far; `run()` it under `stopping_on_signals`.

    `without` names tasks that it leaves to other workers: some of `shell`, `webhook` and `notify`. Example::

        worker = make_worker(Segue(url).engine, WorkerOptions(concurrency=4), modules=["shop.tasks"])
        with stopping_on_signals(worker):
            worker.run()
    """
    tasks = known_tasks(without=without)
    pool = make_pool(
        options.pool, options.concurrency, modules=modules, max_jobs=max_jobs, max_rss_mb=max_rss_mb,
        store=engine.store, payloads=engine.payloads,
    )  # fmt: skip
    return Worker(
        engine, pool, tasks=tasks, options=options, limits=declared_limits(), code=described_code()
    )  # fmt: skip


@contextmanager
def stopping_on_signals(
    worker: Worker, *, say: Callable[[int, int], None] | None = None, signals: Sequence[int] = STOP_SIGNALS
) -> Iterator[None]:
    """While the block runs, `signals` stop the worker: the first is a warm stop, every other a cold one.

    SIGQUIT is a cold stop even if it comes first. SIGHUP is always a warm stop, because a terminal that closes sends
    several; where it is ignored, as under `nohup`, it stays ignored.

    `say` is called in the signal handler with the number of the signal and the number of requests so far, which is 2
    for a cold stop. Use this only in the main thread.
    """
    count = 0

    def on_signal(number: int, _frame: object) -> None:
        nonlocal count
        if number == signal.SIGHUP and count:
            return
        count += 1
        if number == signal.SIGQUIT:
            count = max(count, 2)
            worker.stop(at_once=True)
        else:
            worker.stop()
        if say is not None:
            say(number, count)

    before = {number: signal.getsignal(number) for number in signals}
    if before.get(signal.SIGHUP) == signal.SIG_IGN:
        del before[signal.SIGHUP]
    for number, handler in before.items():
        own_signals.handle(number, on_signal, in_forks=handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            own_signals.restore(number, handler)
