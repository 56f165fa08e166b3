"""Payload stores by name and as objects: what is accepted, what is refused, and what children of a pool get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segue.errors import ConfigError
from segue.payloads import FilePayloads, ObjectPayloads, Payloads
from segue.payloads.address import PayloadsAddress, address_of, payloads_of
from tests.unit.payloads.ciphers import Sealing

pytestmark = pytest.mark.unit

HERE = __name__


class Toy:
    def store(self, data: bytes, name: str) -> str:
        return name

    def retrieve(self, reference: str) -> bytes:
        return b""


toy = Toy()
settled = Payloads(toy, threshold=9000, compression="none", cipher=Sealing())
nothing = object()


def test_without_a_store_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert payloads_of() is None
    monkeypatch.setenv("SEGUE_PAYLOADS", " ")
    assert payloads_of() is None


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEGUE_PAYLOADS", f"file://{tmp_path}")
    found = payloads_of()
    assert found is not None
    assert found.threshold == 131_072
    monkeypatch.setenv("SEGUE_PAYLOAD_THRESHOLD", "20000")
    found = payloads_of()
    assert found is not None
    assert isinstance(found.store, FilePayloads)
    assert (found.store.folder, found.threshold) == (tmp_path, 20_000)
    given = payloads_of(FilePayloads("/elsewhere"))  # what is given goes before the environment
    assert given is not None
    assert str(given.store.folder) == "/elsewhere"  # type: ignore[attr-defined]


def test_by_the_name_of_an_attribute() -> None:
    found = payloads_of(f"{HERE}:toy", 10_000)
    assert found is not None
    assert (found.store, found.threshold, found.cipher) == (toy, 10_000, None)
    found = payloads_of(f"{HERE}:settled")
    assert found is not None
    assert (found.store, found.threshold, found.compression) == (toy, 9000, "none")
    assert found.cipher is settled.cipher


@pytest.mark.parametrize("payloads", [
    FilePayloads("/some/where"), Payloads(FilePayloads("/some/where"), threshold=10_000, compression="none"),
    ObjectPayloads("s3://bucket/prefix", region="eu-west-1", retries=7), f"{HERE}:settled", "gs://bucket",
])  # fmt: skip
def test_a_child_process_opens_the_same(payloads: Any) -> None:
    here = payloads_of(payloads)
    address = address_of(here)
    assert here is not None
    assert address is not None
    there = address.open()
    assert repr(there.store) == repr(here.store)
    assert (there.threshold, there.compression) == (here.threshold, here.compression)
    if isinstance(here.store, ObjectPayloads):
        assert isinstance(there.store, ObjectPayloads)
        assert (there.store.options, there.store.retries) == (here.store.options, here.store.retries)


@pytest.mark.parametrize("payloads", [toy, settled, Payloads(FilePayloads("/a"), cipher=Sealing())])
def test_an_object_of_this_process_reaches_no_child(payloads: Any) -> None:
    with pytest.raises(ConfigError, match="SEGUE_PAYLOADS="):
        address_of(payloads_of(payloads))
    assert address_of(None) is None


@pytest.mark.parametrize("place", [
    "file://relative", "/a/path", "ftp://a/b", "shop", "shop:", "shop:a b", "http://user:secret@host/",
])  # fmt: skip
def test_other_names_are_refused(place: str) -> None:
    with pytest.raises(ConfigError) as refused:
        payloads_of(place)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("name", [f"{HERE}:missing", f"{HERE}:nothing", f"{HERE}:Toy", "no_such_module_at_all:x"])
def test_an_attribute_that_is_no_store_is_refused_when_it_is_needed(name: str) -> None:
    found = payloads_of(name)
    assert found is not None
    with pytest.raises(ConfigError, match=name.partition(":")[2] if "no_such" not in name else "no_such"):
        _ = found.threshold


@pytest.mark.parametrize("wrong", [object(), Toy, 7])
def test_an_object_without_the_methods_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="store\\(data, name\\)"):
        payloads_of(wrong)


@pytest.mark.parametrize("threshold", [0, 8191, True, 1e6, "9000"])
def test_a_threshold_that_makes_no_sense_is_refused(threshold: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="at least 8,192"):
        Payloads(toy, threshold=threshold)
    with pytest.raises(ConfigError, match="payload_threshold"):
        payloads_of(toy, threshold)


def test_a_threshold_without_a_store_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="without a payload store"):
        payloads_of(None, 10_000)
    with pytest.raises(ConfigError, match="beside Payloads"):
        payloads_of(settled, 10_000)
    monkeypatch.setenv("SEGUE_PAYLOAD_THRESHOLD", "many")
    with pytest.raises(ConfigError, match="SEGUE_PAYLOAD_THRESHOLD"):
        payloads_of(toy)


@pytest.mark.parametrize("folder", ["", 7, None, b"bytes"])
def test_a_folder_that_is_none_is_refused(folder: Any) -> None:
    with pytest.raises(ConfigError, match="names no folder"):
        FilePayloads(folder)


@pytest.mark.parametrize("url", ["", "bucket", "http://host/bucket", 7])
def test_a_bucket_that_is_none_is_refused(url: Any) -> None:
    with pytest.raises(ConfigError, match="names no bucket"):
        ObjectPayloads(url)


def test_a_cipher_needs_a_key_for_names() -> None:
    with pytest.raises(ConfigError, match="name_key"):
        Payloads(toy, cipher=object())  # type: ignore[arg-type]


def test_the_address_is_plain_data() -> None:
    assert PayloadsAddress("file:///a", None).open().threshold == 131_072
