"""Looks that several viewers share: when a bell rings, all of them ask at once.

Promise: what `shared` shows is never older than KEPT_SECONDS, and a person who has just changed something looks again.
What `shared_of_run` shows of a run that has ended is read once; of one that goes on, reading takes at most a SHAREth of
the time, however many people look. What `soon_of_run` looks for in a run of many steps never keeps a page waiting.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple, TypeVar

from segue.client import Segue
from segue.client.views import RunInfo
from segue.errors import StoreBusyError
from segue.web.pages.frame import View

KEPT_SECONDS = 0.9
"""Less than the second between two looks of a bell, so that what rings is seen."""

MOST_KEPT = 200
DEAR_SECONDS = 0.02
"""A look at a run that takes longer than that is kept for a while."""

SHARE = 20
MOST_RUNS_KEPT = 64
LONGEST_WAIT = 3.0
"""Seconds to wait for another thread that looks at the same."""

FEW_STEPS = 2000
"""A run with so many steps is looked at while its page waits."""

MOMENT = 0.03
"""Seconds for which a page waits for a look at a larger run; then it comes without it."""

LONGEST_LOOK = 10.0
LOOKS = 2
"""Looks that pages do not wait for, at the same time."""

MOST_WAITING = 32
"""Such looks that are taken or wait for their turn."""

T = TypeVar("T")

_kept: weakref.WeakKeyDictionary[Segue, dict[str, tuple[float, Any]]] = weakref.WeakKeyDictionary()


def shared(view: View, what: str, look: Callable[[], T]) -> T:
    """What `look` returns, or returned a moment ago.

    Example::

        queues = shared(view, "queues", view.call.segue.queues)
    """
    return shared_of(view.call.segue, what, look, is_fresh=view.said is not None)


def shared_of(segue: Segue, what: str, look: Callable[[], T], *, is_fresh: bool = False) -> T:
    """The same where there is no page; with `is_fresh` it looks anyway."""
    mine = _kept.setdefault(segue, {})
    at, value = mine.get(what, (0.0, None))
    if not is_fresh and time.monotonic() - at < KEPT_SECONDS and what in mine:
        found: T = value
        return found
    if len(mine) >= MOST_KEPT:
        mine.clear()
    began = time.monotonic()
    fresh = look()
    mine[what] = (began, fresh)
    return fresh


def forget(segue: Segue) -> None:
    """Look again next time."""
    _kept.pop(segue, None)
    _of_runs.pop(segue, None)


class _Seen(NamedTuple):
    """What was seen of a run, and in which state it was."""

    state: Any
    until: float
    value: Any


class _Kept:
    """One kind of look at a run."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # of the thread that looks
        self.seen: _Seen | None = None
        self.job: Future[Any] | None = None  # a look that no page waits for

    def now(self, state: Any) -> _Seen | None:
        """What was seen, if the run is still in that state and the look is not too old."""
        seen = self.seen
        return seen if seen is not None and seen.state == state and time.monotonic() < seen.until else None

    def begin(self, look: Callable[[], Any], *, is_fresh: bool) -> Future[Any]:
        """Look without a page that waits, unless that goes on already. Raises what ended the look before."""
        with _lock:
            job, self.job = self.job, None
            if job is not None and job.done():
                job.result()
                job = None
            if job is None or is_fresh:
                if not _places.acquire(blocking=False):
                    raise StoreBusyError("Too many large runs are being read at once. Try again later.")
                job = _pool.submit(look)
                job.add_done_callback(lambda _: _places.release())
            self.job = job
            return job

    def look(self, info: RunInfo, look: Callable[[], T], *, is_fresh: bool) -> T:
        """Look, unless another thread has just done so. Raises StoreBusyError if that takes too long."""
        if not self.lock.acquire(timeout=LONGEST_WAIT):
            raise StoreBusyError(
                f"Another request has been reading run {info.id} for {LONGEST_WAIT:g} s. Try again later."
            )
        try:
            seen = None if is_fresh else self.now(_state_of(info))
            if seen is not None:
                found: T = seen.value
                return found
            began = time.monotonic()
            fresh = look()
            cost = time.monotonic() - began
            if cost > DEAR_SECONDS or info.steps > FEW_STEPS:
                until = float("inf") if info.status.is_final else began + max(SHARE * cost, KEPT_SECONDS)
                self.seen = _Seen(_state_of(info), until, fresh)
            return fresh
        finally:
            self.lock.release()


_of_runs: weakref.WeakKeyDictionary[Segue, OrderedDict[Hashable, _Kept]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()
_places = threading.BoundedSemaphore(MOST_WAITING)
_pool = ThreadPoolExecutor(LOOKS, thread_name_prefix="segue-web-look")


def shared_of_run(view: View, info: RunInfo, what: Hashable, look: Callable[[], T]) -> T:
    """What `look` returns about a run, or returned while the run was as it is now. One thread looks, others wait.

    Raises StoreBusyError if that takes too long. Example::

        groups = shared_of_run(view, info, "groups", run.groups)
    """
    return _kept_of_run(view.call.segue, (info.id, what)).look(info, look, is_fresh=view.said is not None)


def soon_of_run(view: View, info: RunInfo, what: Hashable, look: Callable[[], T]) -> T | None:
    """The same for a page that can come without it: None if the run has many steps, and the look goes on.

    The next request has it, or sees why it failed. What was seen a while ago serves meanwhile.
    """
    if info.steps <= FEW_STEPS or view.is_json:
        return shared_of_run(view, info, what, look)
    kept = _kept_of_run(view.call.segue, (info.id, what))
    is_fresh = view.said is not None
    seen = None if is_fresh else kept.now(_state_of(info))
    if seen is None:
        job = kept.begin(lambda: _aside(view.call.segue, kept, info, look, is_fresh=is_fresh), is_fresh=is_fresh)
        wait([job], MOMENT)
        if job.done():
            return job.result()  # type: ignore[no-any-return]
        seen = kept.seen
        if is_fresh or seen is None or seen.state != _state_of(info):
            return None
    return seen.value  # type: ignore[no-any-return]


def seen_of_run(view: View, info: RunInfo, what: Hashable) -> Any:
    """What was seen of a run, if that still holds; None otherwise. It reads nothing."""
    seen = _kept_of_run(view.call.segue, (info.id, what)).now(_state_of(info)) if view.said is None else None
    return None if seen is None else seen.value


def _aside(segue: Segue, kept: _Kept, info: RunInfo, look: Callable[[], T], *, is_fresh: bool) -> T:
    with segue.engine.store.reading_within(LONGEST_LOOK):
        return kept.look(info, look, is_fresh=is_fresh)


def _state_of(info: RunInfo) -> Any:
    """What was seen holds while this is the same. A run that goes on may grow all the time."""
    return info.status, info.ending, info.finished_at, info.steps if info.status.is_final else None


def _kept_of_run(segue: Segue, key: Hashable) -> _Kept:
    with _lock:
        mine = _of_runs.setdefault(segue, OrderedDict())
        kept = mine.setdefault(key, _Kept())
        mine.move_to_end(key)
        if len(mine) > MOST_RUNS_KEPT:
            mine.popitem(last=False)
        return kept
