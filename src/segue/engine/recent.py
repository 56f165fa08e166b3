"""A bounded memory of ids."""

from __future__ import annotations

from collections.abc import Iterable


class RecentIds:
    """Remembers the ids that were added last, up to twice `size` of them. Forgetting one only costs a repetition."""

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._new: set[str] = set()
        self._old: set[str] = set()

    def __contains__(self, id_: str) -> bool:
        return id_ in self._new or id_ in self._old

    def add_all(self, ids: Iterable[str]) -> None:
        """Remember these."""
        self._new.update(ids)
        if len(self._new) > self._size:
            self._old, self._new = self._new, set()
