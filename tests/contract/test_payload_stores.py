"""What every payload store does: files, a bucket behind a real HTTP server, and a store of two methods."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from segue.clock import ManualClock
from segue.errors import ConfigError, PayloadDamagedError, PayloadMissingError, PayloadUnavailableError
from segue.payloads import DeletingStore, FilePayloads, ListingStore, Payloads, PayloadStore
from segue.plan.frames import opened
from segue.plan.payload_frames import PayloadRef, payload_of
from tests.servers.objects import CUT, Bucket

pytestmark = pytest.mark.contract

LONG = '["' + "word " * 10_000 + '"]'


class Shelf:
    """The two methods, and nothing else."""

    def __init__(self) -> None:
        self.things: dict[str, bytes] = {}

    def store(self, data: bytes, name: str) -> str:
        self.things[f"shelf:{name}"] = data
        return f"shelf:{name}"

    def retrieve(self, reference: str) -> bytes:
        try:
            return self.things[reference]
        except KeyError:
            raise PayloadMissingError(f"nothing at {reference}") from None


class Place:
    """A store, and what its owner can do to what lies in it."""

    def __init__(self, store: PayloadStore, write: Callable[[str, bytes], None], drop: Callable[[str], None]) -> None:
        self.store = store
        self.write = write
        self.drop = drop


@pytest.fixture(params=["files", "bucket", "two methods"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "files":
        files = FilePayloads(tmp_path / "payloads")
        return Place(
            files, lambda ref, data: (files.folder / ref).write_bytes(data) and None, lambda ref: files.delete([ref])
        )
    if request.param == "bucket":
        bucket: Bucket = request.getfixturevalue("bucket")
        store = bucket.store()
        return Place(store, lambda ref, data: store._bucket().put(ref, data), lambda ref: store.delete([ref]))
    shelf = Shelf()
    return Place(shelf, shelf.things.__setitem__, lambda ref: shelf.things.pop(ref) and None)


@pytest.fixture
def payloads(place: Place) -> Payloads:
    found = Payloads(place.store, clock=ManualClock())
    found.pauses_seconds = ()
    return found


def put(payloads: Payloads, text: str) -> PayloadRef:
    frame = opened(payloads.keep(text))
    assert frame is not None
    found = payload_of(frame)
    assert found is not None
    return found


@pytest.mark.parametrize("text", ["", LONG, "x" * 8_000_000], ids=["nothing", "words", "8 MB"])
def test_a_text_comes_back(payloads: Payloads, text: str) -> None:
    assert payloads.text_of(put(payloads, text)) == text


def test_equal_texts_are_one(payloads: Payloads) -> None:
    assert put(payloads, LONG) == put(payloads, LONG)
    assert put(payloads, LONG + " ") != put(payloads, LONG)


def test_the_same_text_from_many_threads(payloads: Payloads) -> None:
    found, errors = set[PayloadRef](), list[Exception]()

    def work() -> None:
        try:
            found.add(put(payloads, LONG))
            assert payloads.text_of(next(iter(found))) == LONG
        except Exception as error:  # noqa: BLE001 - the test looks at it
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(found) == 1


def test_a_missing_one_is_named(payloads: Payloads, place: Place) -> None:
    found = put(payloads, LONG)
    place.drop(found.reference)
    with pytest.raises(PayloadMissingError, match=found.reference):
        payloads.text_of(found)
    assert payloads.text_of(put(payloads, LONG)) == LONG  # it may be stored again


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:-1] + b"?", lambda data: b""])
def test_a_damaged_one_is_named(payloads: Payloads, place: Place, damage: Callable[[bytes], bytes]) -> None:
    found = put(payloads, LONG)
    place.write(found.reference, damage(place.store.retrieve(found.reference)))
    with pytest.raises(PayloadDamagedError, match=found.reference):
        payloads.text_of(found)


def test_deleting_and_listing(payloads: Payloads, place: Place) -> None:
    store: Any = place.store
    if not isinstance(store, DeletingStore):
        assert not isinstance(store, ListingStore)
        return
    assert isinstance(store, ListingStore)
    first, second = put(payloads, LONG), put(payloads, LONG + " ")
    now = datetime.now(UTC)
    assert set(store.stored_before(now + timedelta(minutes=1))) == {first.reference, second.reference}
    assert list(store.stored_before(now - timedelta(minutes=1))) == []
    store.delete([first.reference, "ab/abcd.1"])
    store.delete([first.reference])
    with pytest.raises(PayloadMissingError):
        payloads.text_of(first)
    assert payloads.text_of(second) == LONG + " "


# A bucket whose server fails -----------------------------------------------------------------------------------------


@pytest.fixture
def kept(bucket: Bucket) -> Payloads:
    payloads = Payloads(bucket.store(retries=2), clock=ManualClock())
    payloads.pauses_seconds = ()
    return payloads


def test_a_passing_error_of_the_server_is_not_noticed(kept: Payloads, bucket: Bucket) -> None:
    bucket.answers = [503]
    found = put(kept, LONG)
    bucket.answers = [500, 503]
    assert kept.text_of(found) == LONG


def test_an_answer_that_is_cut_short_is_no_payload(kept: Payloads, bucket: Bucket) -> None:
    found = put(kept, LONG)
    bucket.answers = [CUT] * 8
    with pytest.raises((PayloadUnavailableError, PayloadDamagedError), match=found.reference):
        kept.text_of(found)
    bucket.answers = []
    assert kept.text_of(found) == LONG


@pytest.mark.parametrize("status", [403, 503])
def test_an_error_that_stays_is_said(kept: Payloads, bucket: Bucket, status: int) -> None:
    found = put(kept, LONG)
    bucket.answers = [status] * 20
    with pytest.raises(PayloadUnavailableError, match=found.reference):
        kept.text_of(found)
    with pytest.raises(PayloadUnavailableError, match="cannot be put"):
        kept.keep(LONG + " ")


def test_what_lies_there_is_not_sent_again(kept: Payloads, bucket: Bucket) -> None:
    put(kept, LONG)
    put(kept, LONG)
    assert [request.partition(" ")[0] for request in bucket.requests] == ["HEAD", "PUT", "HEAD"]


def test_without_the_library_it_is_said(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "obstore"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"pip install .*\[objects\]"):
        bucket.store().retrieve("ab/abcd.1")
