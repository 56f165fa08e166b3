"""What payload stores and ciphers do. Segue packs, compresses, encrypts and verifies; a store only keeps bytes.

A store is used by several threads and processes at the same time. A process pool forks its children; they use a store
first after the fork, if it opens its connections at their first use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

LONGEST_REFERENCE = 255


class PayloadStore(Protocol):
    """Keeps bytes. Two methods are enough.

    Example::

        class InRedis:
            def store(self, data: bytes, name: str) -> str:
                redis.set(f"payload:{name}", data)
                return name

            def retrieve(self, reference: str) -> bytes:
                data = redis.get(f"payload:{reference}")
                if data is None:
                    raise PayloadMissingError(f"there is no payload {reference}")
                return data

    Any exception except PayloadMissingError means that the store is not available.
    """

    def store(self, data: bytes, name: str) -> str:
        """Keep the bytes durably, and return a reference to them: at most 255 characters.

        `name` is the same for equal contents within a day, so the store may return the reference of an object that it
        has already; otherwise an object of this name is replaced.
        """
        ...

    def retrieve(self, reference: str) -> bytes:
        """The bytes. Raises PayloadMissingError if there are none."""
        ...


@runtime_checkable
class DeletingStore(Protocol):
    """A store in which Segue deletes payloads that no run uses any more."""

    def delete(self, references: Sequence[str]) -> None:
        """Delete these; one that does not exist is no error."""
        ...


@runtime_checkable
class ListingStore(Protocol):
    """A store in which Segue finds payloads that no run has ever used, because a process died before its commit."""

    def stored_before(self, moment: datetime) -> Iterator[str]:
        """The references of everything that was stored before this time."""
        ...


class Cipher(Protocol):
    """Encrypts payloads.

    `encrypt` and `decrypt` take additional data that must be the same in both, as AES-GCM does: it binds a payload to
    its reference. `name_key` is a secret from which the names of payloads are made, so that they do not betray equal
    contents. It stays the same when the keys for encryption change.
    """

    name_key: bytes

    def encrypt(self, data: bytes, bound_to: bytes) -> bytes:
        """The data, encrypted and authenticated."""
        ...

    def decrypt(self, data: bytes, bound_to: bytes) -> bytes:
        """What `encrypt` was given. Raises any exception if the data or `bound_to` differs."""
        ...
