"""The node: a thread in a Celery worker's main process, for what no single task can see to.

It has a row among Segue's workers and renews its lease. Every quarter of a second it looks which tasks of its pool run
for longer than that, and writes down that they have begun, under its lease: if the whole machine dies, others rescue
them. It sends steps that became ready elsewhere (a timer came due, a person retried, a caller's transaction committed)
and messages again that may be lost; it asks tasks to end whose runs were cancelled. The chores of the database are done
by one of the nodes.
"""

from __future__ import annotations

import mmap
import os
import select
import socket
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from celery import bootsteps
from celery.worker import state

from segue.engine.engine import Engine
from segue.engine.executing import begin_steps
from segue.engine.identity import WorkerIdentity
from segue.errors import PASSING_ERRORS, ConfigError
from segue.executors.celery.adrift import Adrift
from segue.executors.celery.held import Held, copy_of
from segue.executors.celery.publish import header_of
from segue.executors.celery.repairing import repair
from segue.loop.wakeups import Wakeups
from segue.model import Attempt
from segue.observing.harmless_log import get_logger
from segue.scheduler.chores import Chores
from segue.store.sqlite_held import close_gate, open_gate
from segue.version import __version__

if TYPE_CHECKING:
    from segue.executors.celery.door import Door

logger = get_logger("segue.celery")

LOOK_SECONDS = 0.25
NEWS_SECONDS = 1.0  # how often to look for steps to send, if no news comes
NEWS_APART_SECONDS = 0.1  # news that come faster are taken together
SHORTEST_SECONDS = 0.005
BEAT_SECONDS = 5.0
LEASE_SECONDS = 30.0  # at most
GRACE_SECONDS = 30.0  # for a task that was asked to end, until its process is killed
_AFTER_AN_ERROR_SECONDS = 1.0
FORK_PATIENCE_SECONDS = 2.0


class Node:
    """The thread, and what it does. `worker` is Celery's WorkController."""

    def __init__(self, door: Door, worker: Any) -> None:
        self._door = door
        self._worker = worker
        self._stop = threading.Event()
        self._resting = threading.Lock()  # held while the thread is at work: a fork waits for that
        self._is_held = False
        self._is_ending = False  # the worker takes no more messages, and its tasks go on to their end
        self._lease_seconds = min(LEASE_SECONDS, door.lease_seconds)
        self._identity = self._new_identity()
        self._is_registered = False
        self._seen: dict[Attempt, float] = {}  # attempts of the pool, and when they were seen first
        self._begun: set[Attempt] = set()
        self._asked: dict[Attempt, float] = {}  # attempts that are to end, and since when
        self._beat_at = 0.0
        self._news_at = 0.0
        self._due_at = 0.0
        self._sent_at = 0.0
        self._look_seconds = LOOK_SECONDS
        self._held = Held(door, worker)
        self._adrift = Adrift(door)
        self._adrift_at = 0.0
        self._wakeups: Wakeups | None = None
        self._thread = threading.Thread(target=self._run, name="segue-celery", daemon=True)
        _nodes.add(self)

    def start(self) -> None:
        """Begin. Messages come only after this, so it is known by then which of them are to be turned away.

        Nor does a task begin before the node has its id: it would run under no lease, and not be rescued.
        """
        with suppress(*PASSING_ERRORS):
            self._beat()  # first, so that a pause waits for this node from now on
            self._door.halts.look(self._identity.id)
        self._thread.start()

    def expect_end(self) -> None:
        """The worker is being stopped. Its pool ends later, with its tasks, which need the lease until then."""
        self._is_ending = True
        self._beat_at = 0.0

    def stop(self) -> None:
        """End, when what is under way is done."""
        self._stop.set()
        self._thread.join(timeout=10)

    def hold(self) -> None:
        """Wait until the thread is not in the middle of something, before a fork."""
        self._is_held = self._resting.acquire(timeout=0.05)

    def let_go(self) -> None:
        """Let the thread go on."""
        if self._is_held:
            self._is_held = False
            self._resting.release()

    def _run(self) -> None:
        engine = self._door.engine
        self._wakeups = Wakeups(engine.store)
        try:
            with self._chores(engine):
                while not self._rest():
                    try:
                        with self._resting:
                            self._round()
                    except PASSING_ERRORS as error:
                        logger.warning("The database cannot be asked: %s", error)
                        self._stop.wait(_AFTER_AN_ERROR_SECONDS)
                    except Exception:
                        logger.exception("The node of executor %s goes on after an error", self._door.name)
                        self._stop.wait(_AFTER_AN_ERROR_SECONDS)
        finally:
            self._wakeups.close()
            with suppress(Exception):
                engine.unregister(self._identity)

    def _chores(self, engine: Engine) -> AbstractContextManager[object]:
        return Chores(engine)

    def _rest(self) -> bool:
        """Wait until it is time to look, something is due, or there is news. True when the thread is to end."""
        now = time.monotonic()
        seconds = min(self._look_seconds, max(self._due_at - now, SHORTEST_SECONDS))
        fds = () if self._wakeups is None else self._wakeups.fds
        if fds and now - self._sent_at >= NEWS_APART_SECONDS:
            select.select(fds, [], [], seconds)
            return self._stop.is_set()
        return self._stop.wait(min(seconds, NEWS_APART_SECONDS) if fds else seconds)

    def _round(self) -> None:
        now = time.monotonic()
        if now >= self._beat_at:
            self._beat()
            self._beat_at = now + min(BEAT_SECONDS, self._lease_seconds / 4)
        self._look(now)
        self._held.renew(now, self._seen.keys())
        if self._is_news(now):
            self._send(now)

    def _is_news(self, now: float) -> bool:
        wakeups = self._wakeups
        if wakeups is None or wakeups.open() or not wakeups.is_open:
            return True
        return wakeups.woken() or now >= self._due_at or now >= self._news_at

    def _send(self, now: float) -> None:
        """Send what is ready, and again what is late; and end what is asked to end."""
        self._door.halts.look(self._identity.id)
        taken = self._door.exchange([], timers=True)
        self._repair()
        self._door.mirror()
        self._end_asked()
        self._sent_at = time.monotonic()
        self._news_at = self._sent_at + NEWS_SECONDS
        self._due_at = self._news_at if taken.timer_seconds is None else self._sent_at + taken.timer_seconds

    def _repair(self) -> None:
        repair(self._door)

    def _beat(self) -> None:
        engine = self._door.engine
        if not self._is_registered:
            self._identity = msgspec.structs.replace(self._new_identity(), id=engine.new_id())
            engine.register(
                self._identity, pool=self._door.name, concurrency=self._concurrency, version=__version__,
            )  # fmt: skip
            self._is_registered = True
            if self._door.shared is not None:
                self._door.shared[:36] = self._identity.id.encode("ascii")
            self._begun.clear()
        until = engine.store.now() + timedelta(seconds=self._lease_seconds)  # asleep between two looks: others wake it
        with engine.store.transaction() as tx:
            kept = tx.all(
                "heartbeat", worker_id=self._identity.id, now=engine.store.now(),
                status="stopping" if self._is_ending else "running", sleeping=True, lease_until=until,
            )  # fmt: skip
        if not kept:
            logger.warning("This node was declared lost; it goes on under a new id")
            self._is_registered = False
            self._beat()

    def _look(self, now: float) -> None:
        """Write down which attempts run for a while already."""
        mine = self._adrift.mine(self._identity.id) if now >= self._adrift_at else None
        active = {attempt for request in copy_of(state.active_requests) if (attempt := attempt_of(request))}
        self._seen = {attempt: self._seen.get(attempt, now) for attempt in active}
        self._begun &= active
        long = [each for each, since in self._seen.items() if now - since >= LOOK_SECONDS and each not in self._begun]
        if long:
            self._door.engine.act(begin_steps, long, worker_id=self._identity.id)
            self._begun.update(long)
        if mine is not None:
            self._adrift_at = now + min(BEAT_SECONDS, self._lease_seconds / 4)
            self._adrift.give_up(mine, active | {header.attempt for header in self._held.headers()})

    def _end_asked(self) -> None:
        """Terminate tasks whose runs are being ended."""
        with self._door.engine.reading() as tx:
            rows = tx.all("cancel_requests", worker_id=self._identity.id)
        asked: set[Attempt] = {(run_id, step, attempt) for run_id, step, attempt, *_ in rows}
        self._door.asked_to_end = frozenset(asked)
        now = time.monotonic()
        self._asked = {attempt: since for attempt, since in self._asked.items() if attempt in asked}
        for request in copy_of(state.active_requests) if asked else ():
            attempt = attempt_of(request)
            if attempt is None or attempt not in asked:
                continue
            since = self._asked.setdefault(attempt, now)
            if since == now:
                self._terminate(request, "TERM")
            elif now - since >= GRACE_SECONDS:
                self._terminate(request, "KILL")

    def _terminate(self, request: Any, how: str) -> None:
        try:
            request.terminate(self._worker.pool, how)
        except NotImplementedError:  # threads and solo cannot
            return

    @property
    def _concurrency(self) -> int:
        return int(getattr(self._worker, "concurrency", 0) or 1)

    def _new_identity(self) -> WorkerIdentity:
        door = self._door
        return WorkerIdentity(
            id="", name=str(getattr(self._worker, "hostname", None) or f"{socket.gethostname()}:{os.getpid()}"),
            queues=(), tasks=(), lease_seconds=self._lease_seconds, namespace=door.namespace,
        )  # fmt: skip


def attempt_of(request: Any) -> Attempt | None:
    """The attempt whose message a request of Celery's is; None if it is of no step."""
    header = header_of(request.request_dict)
    return None if header is None else header.attempt


def node_step(door: Door) -> type[bootsteps.StartStopStep]:
    """The bootstep of a worker that starts its node, and lets it end after the pool.

    A worker stops its steps in the order in which they have not begun. The pool waits for its tasks then, however long
    they take, so the node must not have ended before: others would take these tasks for lost, and run them again.
    """

    class SegueNode(bootsteps.StartStopStep):
        requires = ("celery.worker.components:Pool",)

        def __init__(self, parent: Any, **kwargs: Any) -> None:
            super().__init__(parent, **kwargs)
            pool = parent.pool_cls if isinstance(parent.pool_cls, str) else parent.pool_cls.__module__
            if "eventlet" in pool:
                raise ConfigError(
                    "Segue cannot run on eventlet, on which its threads and database drivers would block. Start the "
                    "worker with another pool: celery worker -P prefork, threads, gevent or solo."
                )
            door.shared = mmap.mmap(-1, 64)  # before children are forked, which share it
            self._node: Node | None = None

        def create(self, parent: Any) -> None:
            kinds = type(parent.pool).__mro__  # a project may have a class of its own
            door.is_prefork = any("prefork" in kind.__module__ for kind in kinds)  # before it forks: children know it

        def start(self, parent: Any) -> None:
            self._node = Node(door, parent)
            self._node.start()

        def include(self, parent: Any) -> Any:
            parent.steps.insert(0, _LastStep(parent, end=self._end))
            return super().include(parent)

        def stop(self, parent: Any) -> None:
            if self._node is not None:
                self._node.expect_end()

        terminate = stop

        def _end(self) -> None:
            if self._node is not None:
                self._node.stop()
                self._node = None

    return SegueNode


class _LastStep(bootsteps.StartStopStep):
    """The last to be stopped, since it is the first to be started."""

    def __init__(self, parent: Any, *, end: Callable[[], None]) -> None:
        super().__init__(parent)
        self._end = end

    def start(self, parent: Any) -> None:
        """There is nothing to begin."""

    def stop(self, parent: Any) -> None:
        """Everything else has been stopped."""
        self._end()

    terminate = stop


_nodes: weakref.WeakSet[Node] = weakref.WeakSet()


_gates: list[bool] = []  # whether the gate of SQLite is closed, of the fork that is under way


def _before_fork() -> None:
    nodes = copy_of(_nodes)
    for node in nodes:
        node.hold()
    if nodes:  # the threads that do chores and look for news use SQLite, too
        _gates.append(close_gate(FORK_PATIENCE_SECONDS))


def _after_fork() -> None:
    if _gates and _gates.pop():
        open_gate()
    for node in copy_of(_nodes):
        node.let_go()


def _in_child() -> None:
    _gates.clear()
    _nodes.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
