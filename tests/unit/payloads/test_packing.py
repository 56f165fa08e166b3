"""What is packed comes back, and any change of the bytes is noticed."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.errors import ConfigError, PayloadDamagedError, PayloadError
from segue.payloads.packing import check_compression, digest_of, pack, unpack
from tests.unit.payloads.ciphers import Sealing

pytestmark = pytest.mark.unit

TEXT = b'["' + b"abc" * 5000 + b'"]'


@pytest.mark.parametrize("cipher", [None, Sealing()])
@pytest.mark.parametrize("compression", ["zlib", "none"])
@pytest.mark.parametrize("contents", [b"", b"1", TEXT, random.Random(7).randbytes(9000)])
def test_contents_come_back(contents: bytes, compression: str, cipher: Sealing | None) -> None:
    digest = digest_of(contents, cipher)
    data = pack(contents, digest, compression=compression, cipher=cipher)
    assert unpack(data, digest, len(contents), cipher=cipher) == contents
    if compression == "zlib" and contents == TEXT:
        assert len(data) < 500
    if cipher is not None and len(contents) > 1:
        assert contents not in data


@given(place=st.integers(0, 10_000), change=st.integers(1, 255))
def test_any_changed_byte_is_noticed(place: int, change: int) -> None:
    for cipher in (None, Sealing()):
        digest = digest_of(TEXT, cipher)
        data = bytearray(pack(TEXT, digest, cipher=cipher))
        data[place % len(data)] ^= change
        try:
            found = unpack(bytes(data), digest, len(TEXT), cipher=cipher)
        except PayloadError:
            continue
        assert found == TEXT  # only bits that mean nothing: of the compression's own header


@pytest.mark.parametrize("length", [0, 3, 13, 14, 30, -1])
def test_a_cut_one_is_noticed(length: int) -> None:
    digest = digest_of(TEXT, None)
    with pytest.raises(PayloadDamagedError):
        unpack(pack(TEXT, digest)[:length], digest, len(TEXT))


def test_another_valid_payload_in_its_place_is_noticed() -> None:
    other = TEXT[:-3] + b"x" + TEXT[-2:]
    with pytest.raises(PayloadDamagedError, match="another digest"):
        unpack(pack(other, digest_of(other, None)), digest_of(TEXT, None), len(TEXT))
    with pytest.raises(PayloadDamagedError, match="should have"):
        unpack(pack(TEXT + b" ", digest_of(TEXT, None)), digest_of(TEXT, None), len(TEXT))


def test_equal_contents_have_other_names_under_another_key() -> None:
    assert digest_of(TEXT, Sealing(b"a" * 16)) != digest_of(TEXT, Sealing(b"b" * 16)) != digest_of(TEXT, None)


def test_without_the_cipher_it_cannot_be_read() -> None:
    cipher = Sealing()
    digest = digest_of(TEXT, cipher)
    with pytest.raises(PayloadError, match="has no cipher"):
        unpack(pack(TEXT, digest, cipher=cipher), digest, len(TEXT))


def test_a_compression_that_is_not_known() -> None:
    with pytest.raises(ConfigError, match="zlib, zstd, none"):
        check_compression("lzma")
