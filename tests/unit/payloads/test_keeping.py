"""Long texts go to the store under names by contents and day, and come back verified, whole or in part."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from segue.clock import ManualClock
from segue.errors import PayloadDamagedError, PayloadError, PayloadMissingError, PayloadUnavailableError
from segue.payloads import FilePayloads, Payloads
from segue.plan.frames import opened
from segue.plan.payload_frames import PayloadRef, payload_of

pytestmark = pytest.mark.unit

LONG = '{"rows":["' + "x" * 20_000 + '","y"]}'


class Memory:
    """A store of two methods."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.reads = 0
        self.error: Exception | None = None

    def store(self, data: bytes, name: str) -> str:
        if self.error is not None:
            raise self.error
        self.objects[name] = data
        return name

    def retrieve(self, reference: str) -> bytes:
        self.reads += 1
        if self.error is not None:
            raise self.error
        if reference not in self.objects:
            raise PayloadMissingError("nothing there")
        return self.objects[reference]


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def payloads(memory: Memory) -> Payloads:
    found = Payloads(memory, threshold=10_000, clock=ManualClock())
    found.pauses_seconds = ()
    return found


def put(payloads: Payloads, text: str) -> PayloadRef:
    frame = opened(payloads.keep(text))
    assert frame is not None
    found = payload_of(frame)
    assert found is not None
    return found


def test_it_comes_back(payloads: Payloads) -> None:
    found = put(payloads, LONG)
    assert found.size == len(LONG)
    assert payloads.text_of(found) == LONG
    assert payloads.text_of(found._replace(path=("rows", 1))) == '"y"'


def test_equal_contents_of_a_day_are_one_object(memory: Memory) -> None:
    clock = ManualClock(datetime(2026, 11, 20, 0, 0, tzinfo=UTC))
    payloads = Payloads(memory, clock=clock)
    first = put(payloads, LONG)
    clock.advance(seconds=23 * 3600)
    assert put(payloads, LONG) == first
    clock.advance(seconds=3600)
    other = put(payloads, LONG)
    assert other.reference != first.reference
    assert other.digest == first.digest
    assert len(memory.objects) == 2


def test_only_long_texts_go_there(payloads: Payloads, memory: Memory) -> None:
    assert payloads.kept("x" * 10_000, most_inline=100) == "x" * 10_000
    assert not memory.objects
    assert opened(payloads.kept(LONG, most_inline=100)) is not None


def test_while_the_store_is_away_long_texts_stay_if_the_database_takes_them(
    payloads: Payloads, memory: Memory
) -> None:  # fmt: skip
    memory.error = OSError("no route")
    assert payloads.kept(LONG, most_inline=100_000) == LONG
    with pytest.raises(PayloadUnavailableError, match="no route"):
        payloads.kept(LONG, most_inline=20_000)


def test_a_store_that_is_away_is_not_asked_for_a_while(memory: Memory) -> None:
    clock = ManualClock()
    payloads = Payloads(memory, threshold=10_000, clock=clock)
    memory.error = OSError("no route")
    payloads.kept(LONG, most_inline=100_000)
    memory.error = None
    assert payloads.kept(LONG, most_inline=100_000) == LONG
    assert opened(payloads.kept(LONG, most_inline=20_000)) is not None  # it cannot stay
    clock.advance(seconds=31)
    assert opened(payloads.kept(LONG, most_inline=100_000)) is not None


def test_what_is_wrong_is_said_with_the_reference(payloads: Payloads, memory: Memory) -> None:
    found = put(payloads, LONG)
    data = memory.objects[found.reference]
    memory.objects[found.reference] = data[:-9]
    with pytest.raises(PayloadDamagedError, match=found.reference):
        payloads.text_of(found)
    with pytest.raises(PayloadDamagedError, match=found.reference):
        payloads.text_of(found._replace(path=("rows",)))
    del memory.objects[found.reference]
    with pytest.raises(PayloadMissingError, match=found.reference):
        payloads.text_of(found)
    memory.error = TimeoutError("slow")
    with pytest.raises(PayloadUnavailableError, match=f"{found.reference}.*slow"):
        payloads.text_of(found)


def test_a_store_that_is_away_is_asked_again(payloads: Payloads, memory: Memory) -> None:
    found = put(payloads, LONG)
    payloads.pauses_seconds = (0.0, 0.0)
    memory.error = OSError("away")
    with pytest.raises(PayloadUnavailableError):
        payloads.text_of(found)
    assert memory.reads == 3
    memory.error = PayloadMissingError("gone")
    with pytest.raises(PayloadMissingError):
        payloads.text_of(found)
    assert memory.reads == 4  # what is missing is missing


def test_parts_of_one_payload_are_read_once(payloads: Payloads, memory: Memory) -> None:
    found = put(payloads, LONG)
    for _ in range(5):
        assert payloads.text_of(found._replace(path=("rows", 1))) == '"y"'
    assert memory.reads == 1


@pytest.mark.parametrize("reference", ["", "x" * 256, "a\0b", None, 7])
def test_a_reference_that_cannot_be_kept_is_refused(reference: Any) -> None:
    class Odd(Memory):
        def store(self, data: bytes, name: str) -> str:
            return reference  # type: ignore[no-any-return]

    with pytest.raises(PayloadError, match="no reference"):
        Payloads(Odd()).keep(LONG)


# Files ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> FilePayloads:
    return FilePayloads(tmp_path / "not" / "there" / "yet")


def all_files(files: FilePayloads) -> list[str]:
    return sorted(str(path.relative_to(files.folder)) for path in files.folder.rglob("*") if path.is_file())


def test_a_file_is_written_once(files: FilePayloads) -> None:
    reference = files.store(b"abc", "abcdef.1")
    before = (files.folder / reference).stat()
    assert files.store(b"abc", "abcdef.1") == reference == "ab/abcdef.1"
    assert (files.folder / reference).stat().st_ino == before.st_ino
    assert all_files(files) == [reference]


def test_a_damaged_file_is_replaced(files: FilePayloads) -> None:
    reference = files.store(b"abc", "abcdef.1")
    for damaged in (b"", b"ab", b"abX"):
        (files.folder / reference).write_bytes(damaged)
        files.store(b"abc", "abcdef.1")
        assert files.retrieve(reference) == b"abc"
    assert all_files(files) == [reference]


def test_an_unfinished_file_is_never_seen(files: FilePayloads, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", dies)
    with pytest.raises(KeyboardInterrupt):
        files.store(b"abc", "abcdef.1")
    monkeypatch.undo()
    assert all_files(files) == []
    with pytest.raises(PayloadMissingError, match=r"ab/abcdef\.1"):
        files.retrieve("ab/abcdef.1")


def test_a_folder_that_is_not_mounted_is_not_a_missing_payload(files: FilePayloads) -> None:
    with pytest.raises(FileNotFoundError, match="mounted"):
        files.retrieve("ab/abcdef.1")


@pytest.mark.parametrize("reference", ["/etc/passwd", "../x", "ab/../../x", "a\0b"])
def test_no_reference_leads_out_of_the_folder(files: FilePayloads, reference: str) -> None:
    files.store(b"abc", "abcdef.1")
    with pytest.raises(PayloadMissingError):
        files.retrieve(reference)
    with pytest.raises(PayloadMissingError):
        files.delete([reference])


def test_threads_that_store_the_same_do_not_disturb_each_other(files: FilePayloads) -> None:
    data, errors = b"x" * 100_000, list[BaseException]()

    def work() -> None:
        try:
            for _ in range(20):
                assert files.retrieve(files.store(data, "abcdef.1")) == data
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert all_files(files) == ["ab/abcdef.1"]


def test_files_have_the_rights_of_a_folder_that_was_made_before(files: FilePayloads, tmp_path: Path) -> None:
    private = files.folder / files.store(b"abc", "abcdef.1")
    assert (private.stat().st_mode & 0o777, private.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2770)
    there = shared / FilePayloads(shared).store(b"abc", "abcdef.1")
    assert (there.stat().st_mode & 0o777, there.parent.stat().st_mode & 0o7777) == (0o660, 0o2770)


def test_delete_takes_empty_folders_with_it(files: FilePayloads) -> None:
    first, second = files.store(b"1", "abcdef.1"), files.store(b"2", "abcdff.1")
    files.delete([first, "no/ne/none.1"])
    assert all_files(files) == [second]
    files.delete([second])
    assert list(files.folder.iterdir()) == []
    files.store(b"3", "abcdef.1")
