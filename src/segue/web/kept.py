"""Looks that several viewers share for a moment: when a bell rings, all of them ask at once.

Promise: what is shown is never older than KEPT_SECONDS, and a person who has just changed something looks again.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from segue.client import Segue
from segue.web.pages.frame import View

KEPT_SECONDS = 2.0
MOST_KEPT = 200

T = TypeVar("T")

_kept: weakref.WeakKeyDictionary[Segue, dict[str, tuple[float, Any]]] = weakref.WeakKeyDictionary()


def shared(view: View, what: str, look: Callable[[], T]) -> T:
    """What `look` returns, or returned a moment ago.

    Example::

        queues = shared(view, "queues", view.call.segue.queues)
    """
    mine = _kept.setdefault(view.call.segue, {})
    at, value = mine.get(what, (0.0, None))
    if view.said is None and time.monotonic() - at < KEPT_SECONDS and what in mine:
        found: T = value
        return found
    if len(mine) >= MOST_KEPT:
        mine.clear()
    began = time.monotonic()
    fresh = look()
    mine[what] = (began, fresh)
    return fresh
