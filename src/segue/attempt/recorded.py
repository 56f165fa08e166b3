"""Values of a journal: the text that is recorded of a result, its way back, and fingerprints of calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from hashlib import blake2b
from types import FunctionType
from typing import Any

from segue.authoring.annotations import annotations_of, returned
from segue.authoring.filling import no_store, read
from segue.authoring.shapes import Shape
from segue.authoring.values import decode, encode, shape_of
from segue.errors import ResultTooLargeError, SerializationError
from segue.payloads.keeping import Payloads

_SEPARATOR = "\x1f"
_UNKNOWN = "?"


class Recorded:
    """Writes and reads the results of functions. Long ones go to the payload store, as results of steps do."""

    __slots__ = ("_limit_bytes", "_payloads")

    def __init__(self, payloads: Payloads | None, limit_bytes: int) -> None:
        self._payloads = payloads
        self._limit_bytes = limit_bytes

    def written(self, what: str, fn: Callable[..., Any], value: Any) -> tuple[str, Any]:
        """The text to be recorded, and the value as it comes back from it: also the first time, the task gets that one.

        Raises SerializationError for a value that would not come back as the return annotation says.
        """
        text = encode(value, f"result of {what}")
        shape, plain = _shape_of(fn), decode(text)
        fault = None if shape.trusts(value) else shape.verify(value, plain)
        if fault is not None:
            raise SerializationError(f"result{fault.path} of {what}: {fault.why}")
        return self._placed(what, text), shape.read(plain)

    def _placed(self, what: str, text: str) -> str:
        if self._payloads is not None:
            text = self._payloads.kept(text, most_inline=self._limit_bytes)
        if len(text) > self._limit_bytes:
            raise ResultTooLargeError(
                f"The result of {what} is {len(text):,} bytes of JSON, more than the limit of {self._limit_bytes:,}; "
                "use a payload store (SEGUE_PAYLOADS), or store it elsewhere and return its location."
            )
        return text

    def read(self, text: str | None, fn: Callable[..., Any] | None) -> Any:
        """The value of a record, by the return annotation of the function."""
        plain = read(text or "null", no_store if self._payloads is None else self._payloads.text_of)
        return plain if fn is None else _shape_of(fn).read(plain)


def fingerprint_of(kind: str, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """A hash of a call. Arguments that are not JSON, such as clients and connections, do not count."""
    parts = [kind, name, *map(_spelled, args), *(f"{key}={_spelled(kwargs[key])}" for key in sorted(kwargs))]
    return blake2b(_SEPARATOR.join(parts).encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()


def _spelled(value: Any) -> str:
    if isinstance(value, (set, frozenset)):
        return str(sorted(map(_spelled, value)))  # their order differs from process to process
    try:
        return encode(value)
    except Exception:  # noqa: BLE001 - `__iter__` and the like of the value are the user's code
        return _UNKNOWN


def _shape_of(fn: Callable[..., Any]) -> Shape:
    """The shape of what the function returns, by its annotation."""
    target = fn
    while isinstance(target, partial):
        target = target.func
    if "return" not in getattr(target, "__annotations__", {}):
        return shape_of(Any)
    is_lasting = isinstance(target, FunctionType) and target.__closure__ is None  # else it may hold large objects
    return _shape_of_lasting(target) if is_lasting else _annotated(target)


def _annotated(fn: Callable[..., Any]) -> Shape:
    return shape_of(returned(annotations_of(fn)["return"]))


_shape_of_lasting = lru_cache(maxsize=1024)(_annotated)
