"""Keeps the number of values of a label small.

A program that makes up names of tasks or queues must not fill the memory of Prometheus.
"""

from __future__ import annotations

from segue.observing.harmless_log import get_logger

MOST_VALUES = 200
"""How many values a label may have in one process; all further ones are counted as `other`."""

OTHER = "other"
FIXED = frozenset({"outcome", "status", "kind", "reason", "version"})
"""Labels whose values Segue chooses itself."""


class Cap:
    """The values of all labels so far.

    Example::

        cap = Cap()
        cap.of("task", "shop.charge")  # shop.charge, or other
    """

    def __init__(self, most: int = MOST_VALUES) -> None:
        self._most = most
        self._known: dict[str, set[str]] = {}
        self._told: set[str] = set()
        self.capped: dict[str, int] = {}  # how many values of each label were counted as `other`

    def of(self, label: str, value: str) -> str:
        """The value, or `other` if the label has as many as it may have."""
        known = self._known.setdefault(label, set())
        if value in known or label in FIXED:
            return value
        if len(known) < self._most:
            known.add(value)
            return value
        self.capped[label] = self.capped.get(label, 0) + 1
        if label not in self._told:
            self._told.add(label)
            get_logger("segue.metrics").warning(
                "the label %s has more than %d values; further ones are counted as %s", label, self._most, OTHER
            )
        return OTHER
