"""Looks that several viewers share: when a bell rings, all of them ask at once.

Promise: what `shared` shows is never older than KEPT_SECONDS, and a person who has just changed something looks again.
What `shared_of_run` shows of a run that has ended is read once; of one that goes on, reading takes at most a SHAREth of
the time, however many people look.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

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


class _Kept:
    """What was seen of a run."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.state: Any = None
        self.until = 0.0
        self.value: Any = None


_of_runs: weakref.WeakKeyDictionary[Segue, OrderedDict[Hashable, _Kept]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def shared_of_run(view: View, info: RunInfo, what: Hashable, look: Callable[[], T]) -> T:
    """What `look` returns about a run, or returned while the run was as it is now. One thread looks, others wait.

    Raises StoreBusyError if that takes too long. Example::

        groups = shared_of_run(view, info, "groups", run.groups)
    """
    kept = _kept_of_run(view.call.segue, (info.id, what))
    if not kept.lock.acquire(timeout=LONGEST_WAIT):
        raise StoreBusyError(f"Another request has been reading run {info.id} for {LONGEST_WAIT:g} s. Try again later.")
    try:
        state = (info.status, info.ending, info.finished_at, info.steps)
        if view.said is None and kept.state == state and time.monotonic() < kept.until:
            found: T = kept.value
            return found
        began = time.monotonic()
        fresh = look()
        cost = time.monotonic() - began
        if cost > DEAR_SECONDS:
            kept.state, kept.value = state, fresh
            kept.until = float("inf") if info.status.is_final else began + SHARE * cost
        return fresh
    finally:
        kept.lock.release()


def _kept_of_run(segue: Segue, key: Hashable) -> _Kept:
    with _lock:
        mine = _of_runs.setdefault(segue, OrderedDict())
        kept = mine.setdefault(key, _Kept())
        mine.move_to_end(key)
        if len(mine) > MOST_RUNS_KEPT:
            mine.popitem(last=False)
        return kept
