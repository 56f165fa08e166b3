"""Payload stores by name: what SEGUE_PAYLOADS may contain, and how a store reaches the children of a process pool."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from segue.errors import ConfigError
from segue.given import shown
from segue.masking import HIDDEN
from segue.payloads.files import FilePayloads
from segue.payloads.keeping import THRESHOLD, Payloads, check_threshold
from segue.payloads.objects import RETRIES, SCHEMES, TIMEOUT_SECONDS, ObjectPayloads
from segue.payloads.protocol import PayloadStore

STORE_VARIABLE = "SEGUE_PAYLOADS"
THRESHOLD_VARIABLE = "SEGUE_PAYLOAD_THRESHOLD"


class PayloadsAddress(msgspec.Struct, frozen=True):
    """What another process needs to make the same `Payloads`."""

    place: str  # file:///folder, s3://bucket/prefix, or package.module:attribute
    threshold: int | None
    compression: str = "zlib"
    options: dict[str, str] = {}  # of a bucket
    timeout_seconds: float = TIMEOUT_SECONDS
    retries: int = RETRIES

    def open(self) -> Payloads:
        """The store with its settings. Raises ConfigError."""
        store = _store_at(self)
        if store is None:
            return Payloads.named(self.place, threshold=self.threshold)
        return Payloads(store, threshold=self.threshold or THRESHOLD, compression=self.compression)


def payloads_of(
    given: Payloads | PayloadStore | str | None = None, threshold: int | None = None
) -> Payloads | None:  # fmt: skip
    """The payload store that was given, as an object or by name, otherwise the one in the environment.

    None if there is neither. Raises ConfigError.
    """
    if threshold is not None:
        check_threshold(threshold)
    if isinstance(given, Payloads):
        if threshold is not None:
            raise ConfigError(
                "payload_threshold= was given beside Payloads(...). Write Payloads(store, threshold=...)."
            )
        return given
    place = os.environ.get(STORE_VARIABLE, "").strip() if given is None else given
    if not place:
        if threshold is not None:
            raise ConfigError(
                f"payload_threshold= was given without a payload store. Give payloads=..., or set {STORE_VARIABLE}."
            )
        return None
    limit = _threshold_of_environment() if threshold is None else threshold
    if isinstance(place, str):
        return PayloadsAddress(place, limit).open()
    return Payloads(place, threshold=limit or THRESHOLD)


def address_of(payloads: Payloads | None) -> PayloadsAddress | None:
    """How a child process finds the same store. Raises ConfigError for an object that exists in this process only."""
    if payloads is None:
        return None
    if payloads.name:
        return PayloadsAddress(payloads.name, payloads.threshold_given)
    store: Any = payloads.store
    if payloads.cipher is None:
        if type(store) is FilePayloads:
            return PayloadsAddress(store.url, payloads.threshold, payloads.compression)
        if type(store) is ObjectPayloads:
            return PayloadsAddress(
                store.url, payloads.threshold, payloads.compression, dict(store.options), store.timeout_seconds,
                store.retries,
            )  # fmt: skip
    raise ConfigError(
        f"A process pool cannot hand {payloads!r} to its children: it is an object of this process, or has a cipher. "
        f"Let a module make it, and name that: {STORE_VARIABLE}=shop.payloads:payloads. Or use the thread pool."
    )


def _store_at(address: PayloadsAddress) -> FilePayloads | ObjectPayloads | None:
    """The store of a URL; None for package.module:attribute."""
    place = address.place
    scheme, mark, rest = place.partition("://")
    if mark and scheme == "file":
        if not rest.startswith("/"):
            raise ConfigError(f"{STORE_VARIABLE}={place!r}: give an absolute path, file:///var/lib/segue/payloads.")
        return FilePayloads(rest)
    if mark and scheme in SCHEMES:
        return ObjectPayloads(
            place, timeout_seconds=address.timeout_seconds, retries=address.retries, **address.options
        )  # fmt: skip
    module, colon, attribute = place.partition(":")
    if mark or not colon or not attribute.isidentifier() or not all(p.isidentifier() for p in module.split(".")):
        shown_place = shown(place) if "@" not in place else HIDDEN
        raise ConfigError(
            f"{shown_place} names no payload store. Give file:///folder, s3://bucket/prefix (also gs:, az:), or "
            "package.module:attribute."
        )
    return None


def _threshold_of_environment() -> int | None:
    text = os.environ.get(THRESHOLD_VARIABLE, "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise ConfigError(
            f"{THRESHOLD_VARIABLE}={shown(text)} is not a number of characters. Give one, such as 131072."
        )
    check_threshold(int(text))
    return int(text)
