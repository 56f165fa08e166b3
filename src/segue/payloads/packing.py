"""The bytes of a payload: a short header, and the contents, compressed and perhaps encrypted.

The header says how to undo both. Whether the contents are right is decided by the digest in the reference, which lies
in the database, so a payload that was replaced by another valid one is found as well.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from importlib import import_module
from typing import Any

from segue.errors import ConfigError, PayloadDamagedError, PayloadError
from segue.payloads.protocol import Cipher

COMPRESSIONS = ("zlib", "zstd", "none")
LEVEL = 1  # of both: most of the gain for a fraction of the time

_HEADER = struct.Struct(">4sBBQ")  # magic, compression, cipher, bytes of the contents
_MAGIC = b"SGP1"
_NONE, _ZLIB, _ZSTD = 0, 1, 2
_PLAIN, _ENCRYPTED = 0, 1


def digest_of(contents: bytes, cipher: Cipher | None) -> str:
    """SHA-256 of the contents; with a cipher, HMAC of it under a secret key."""
    if cipher is None:
        return sha256(contents).hexdigest()
    return hmac_digest(cipher.name_key, contents, "sha256").hex()


def pack(contents: bytes, digest: str, *, compression: str = "zlib", cipher: Cipher | None = None) -> bytes:
    """The bytes for a store. Contents that do not become shorter are not compressed."""
    kind, data = _NONE, contents
    if compression != "none":
        found, shorter = (
            (_ZLIB, zlib.compress(contents, LEVEL)) if compression == "zlib" else (_ZSTD, _zstd()(contents))
        )
        if len(shorter) < len(contents):
            kind, data = found, shorter
    if cipher is not None:
        data = cipher.encrypt(data, digest.encode())
    return _HEADER.pack(_MAGIC, kind, _PLAIN if cipher is None else _ENCRYPTED, len(contents)) + data


def unpack(data: bytes, digest: str, size: int, *, cipher: Cipher | None = None) -> bytes:
    """The contents. Raises PayloadDamagedError if they are not those with this digest and size."""
    try:
        magic, kind, is_encrypted, length = _HEADER.unpack_from(data)
    except struct.error:
        raise PayloadDamagedError(f"it has only {len(data)} bytes") from None
    if magic != _MAGIC:
        raise PayloadDamagedError("it does not begin as a payload of Segue")
    if length != size:
        raise PayloadDamagedError(f"it should have {size:,} bytes, and says that it has {length:,}")
    body = data[_HEADER.size :]
    if is_encrypted:
        if cipher is None:
            raise PayloadError("it is encrypted, and this process has no cipher: give one, Payloads(store, cipher=...)")
        try:
            body = cipher.decrypt(body, digest.encode())
        except Exception as error:
            raise PayloadDamagedError(f"it cannot be decrypted: {type(error).__name__}: {error}") from error
    contents = _decompressed(body, kind, size)
    if not compare_digest(digest_of(contents, cipher if is_encrypted else None), digest):
        raise PayloadDamagedError("its contents have another digest")
    return contents


def check_compression(name: str) -> None:
    """Raise ConfigError for a compression that is unknown, or not available here."""
    if name not in COMPRESSIONS:
        raise ConfigError(f"compression={name!r} is not known. Choose from: {', '.join(COMPRESSIONS)}.")
    if name == "zstd":
        _zstd()


def _decompressed(body: bytes, kind: int, size: int) -> bytes:
    if kind == _NONE:
        return body
    try:
        if kind == _ZLIB:
            reader = zlib.decompressobj()
            contents = reader.decompress(body, size + 1)  # no more, whatever a damaged one would become
            if not reader.eof:
                raise PayloadDamagedError("it is cut off, or longer than it should be")
            return contents
        if kind == _ZSTD:
            return _unzstd()(body, size)
    except (PayloadError, ConfigError):
        raise
    except Exception as error:
        raise PayloadDamagedError(f"it cannot be decompressed: {error}") from error
    raise PayloadDamagedError(f"it is compressed in a way ({kind}) that this version of Segue does not know")


def _zstd() -> Callable[[bytes], bytes]:
    module = _zstd_module()
    return lambda contents: bytes(module.compress(contents, LEVEL))


def _unzstd() -> Callable[[bytes, int], bytes]:
    module = _zstd_module()
    if module.__name__ == "zstandard":
        return lambda body, size: bytes(module.ZstdDecompressor().decompress(body, max_output_size=size + 1))
    return lambda body, size: bytes(module.ZstdDecompressor().decompress(body, size + 1))


def _zstd_module() -> Any:
    """The standard library's (Python 3.14), otherwise the package `zstandard`. Raises ConfigError."""
    for name in ("compression.zstd", "zstandard"):
        try:
            return import_module(name)
        except ImportError:
            continue
    raise ConfigError(
        "zstd needs Python 3.14, or the package zstandard, which cannot be imported. Run: pip install zstandard"
    )
