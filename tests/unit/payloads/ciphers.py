"""A cipher for tests, made of the standard library only: it is authenticated, and nothing else of it is good."""

from __future__ import annotations

import hashlib
import hmac


class Sealing:
    """Covers the data with a stream of hashes, and adds a signature of it and of what it is bound to."""

    def __init__(self, name_key: bytes = b"0123456789abcdef") -> None:
        self.name_key = name_key

    def encrypt(self, data: bytes, bound_to: bytes) -> bytes:
        covered = self._cover(data, bound_to)
        return self._sign(covered, bound_to) + covered

    def decrypt(self, data: bytes, bound_to: bytes) -> bytes:
        if not hmac.compare_digest(data[:32], self._sign(data[32:], bound_to)):
            raise ValueError("the signature is wrong")
        return self._cover(data[32:], bound_to)

    def _sign(self, data: bytes, bound_to: bytes) -> bytes:
        return hmac.digest(self.name_key, bound_to + data, "sha256")

    def _cover(self, data: bytes, bound_to: bytes) -> bytes:
        stream = hashlib.shake_256(self.name_key + bound_to).digest(len(data))
        return (int.from_bytes(data) ^ int.from_bytes(stream)).to_bytes(len(data))
