"""Definitions of jobs and of tasks, named by their content and registered once.

Amazon keeps every definition, and registers few of them a second. So steps that need the same share one,
whichever process was the first to need it; two processes that register it at once make two revisions of the same.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

PREFIX = "segue-"
Content = Mapping[str, Any]


def name_of(content: Content) -> str:
    """The name of a definition with this content: the same for the same content, whatever its order."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return PREFIX + hashlib.sha256(text.encode()).hexdigest()[:16]


class Definitions:
    """Those that this process knows. `find` asks Amazon for one of a name, `register` makes it; both return its ARN."""

    def __init__(self, find: Callable[[str], str | None], register: Callable[[str, Content], str]) -> None:
        self._find = find
        self._register = register
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()

    def arn_of(self, content: Content) -> str:
        """The ARN of the definition with this content."""
        name = name_of(content)
        with self._lock:
            if name not in self._known:
                self._known[name] = self._find(name) or self._register(name, content)
            return self._known[name]

    def forget(self, arn: str) -> None:
        """It is not there any more."""
        with self._lock:
            self._known = {name: known for name, known in self._known.items() if known != arn}
