"""The objects of the Kubernetes stand-in: versions, selectors, and a history of changes that is forgotten in time."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

Object = dict[str, Any]


class AnswerError(Exception):
    """An answer of the API that is an error."""

    def __init__(self, code: int, reason: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.headers = dict(headers or {})

    def status(self) -> Object:
        """The object that is answered."""
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": str(self),
                "reason": self.reason, "code": self.code}  # fmt: skip


class Change(NamedTuple):
    """One entry of the history."""

    version: int
    type: str
    kind: str
    object: Object


class Store:
    """Objects by kind, namespace and name. What is read is a copy, as through a network."""

    def __init__(self, history: int) -> None:
        self.changed = threading.Condition(threading.RLock())
        self._objects: dict[tuple[str, str, str], Object] = {}
        self._history: deque[Change] = deque()
        self._most = history
        self.version = 1000
        self.oldest = 1000

    def add(self, kind: str, obj: Object) -> Object:
        """A new object. Raises AnswerError 409 if there is one of this name."""
        with self.changed:
            meta = obj["metadata"]
            key = (kind, meta.get("namespace", ""), meta["name"])
            if key in self._objects:
                raise AnswerError(409, "AlreadyExists", f'{kind} "{meta["name"]}" already exists')
            meta.update(uid=str(uuid.uuid4()), creationTimestamp=stamp())
            return self._write("ADDED", kind, obj)

    def change(self, kind: str, namespace: str, name: str, change: Any) -> Object | None:
        """Let `change` alter the object; None if it is gone by now."""
        with self.changed:
            obj = self.get(kind, namespace, name)
            if obj is None:
                return None
            change(obj)
            return self._write("MODIFIED", kind, obj)

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """Remove it, if it is there."""
        with self.changed:
            obj = self._objects.pop((kind, namespace, name), None)
            if obj is not None:
                self._write("DELETED", kind, copied(obj))

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """A copy of the object."""
        with self.changed:
            obj = self._objects.get((kind, namespace, name))
            return None if obj is None else copied(obj)

    def select(self, kind: str, namespace: str, labels: str = "", fields: str = "") -> list[Object]:
        """Objects in the order of their names. They are not copied: only look at them."""
        with self.changed:
            items = [(key, obj) for key, obj in self._objects.items() if key[0] == kind and namespace in ("", key[1])]
        return [obj for _, obj in sorted(items, key=lambda item: item[0]) if matches(obj, labels, fields)]

    def since(self, version: int, seconds: float) -> list[Change]:
        """Changes after this version; waits so long for one. Raises AnswerError 410 for a version that is forgotten."""
        with self.changed:
            self._check(version)
            if version >= self.version:
                self.changed.wait(seconds)
                self._check(version)
            return [change for change in self._history if change.version > version]

    def compact(self) -> None:
        """Forget the history."""
        with self.changed:
            self._history.clear()
            self.oldest = self.version = self.version + 1
            self.changed.notify_all()

    def _check(self, version: int) -> None:
        if version < self.oldest:
            raise AnswerError(410, "Expired", f"too old resource version: {version} ({self.oldest})")

    def _write(self, type_: str, kind: str, obj: Object) -> Object:
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        kept = copied(obj)
        if type_ != "DELETED":
            self._objects[kind, kept["metadata"].get("namespace", ""), kept["metadata"]["name"]] = kept
        self._history.append(Change(self.version, type_, kind, kept))
        if len(self._history) > self._most:
            self.oldest = self._history.popleft().version
        self.changed.notify_all()
        return obj


def matches(obj: Object, labels: str, fields: str) -> bool:
    """Whether an object fits the selectors."""
    have = obj["metadata"].get("labels") or {}
    terms = [term.strip() for term in re.split(r",(?![^(]*\))", labels) if term.strip()]
    return all(_has(have, term) for term in terms) and all(_is(obj, term) for term in fields.split(",") if term)


def _has(have: Mapping[str, str], term: str) -> bool:
    if found := re.fullmatch(r"(\S+) (in|notin) \((.*)\)", term):
        return (have.get(found[1]) in [value.strip() for value in found[3].split(",")]) == (found[2] == "in")
    if found := re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", term):
        return (have.get(found[1]) == found[3]) == (found[2] != "!=")
    return (term[1:] not in have) if term.startswith("!") else term in have


def _is(obj: Object, term: str) -> bool:
    path, _, value = term.replace("==", "=").partition("=")
    at: Any = obj
    for part in path.split("."):
        at = (at or {}).get(part)
    return str(at or "") == value


def copied(obj: Object) -> Object:
    return json.loads(json.dumps(obj))


def stamp() -> str:
    """The time as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
