"""Which files the demo reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.demo.corpus import list_corpus, list_files, standard_library_root

OWN = ["broken.py", "empty.py", "latin.py", "shapes/__init__.py", "shapes/other.py", "undecodable.py"]


def test_tests_packages_build_leftovers_and_links_are_left_out(library: Path) -> None:
    assert list_files(library) == OWN


def test_tests_are_listed_when_asked_for(library: Path) -> None:
    assert set(list_files(library, with_tests=True)) - set(OWN) == {"test/test_shapes.py", "shapes/tests/test_more.py"}


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_each_file_is_in_exactly_one_batch(library: Path, batch_size: int) -> None:
    listing = list_corpus(library, batch_size=batch_size)
    assert [path for batch in listing["batches"] for path in batch.files] == OWN
    assert all(1 <= len(batch.files) <= batch_size for batch in listing["batches"])


def test_a_batch_size_of_none_is_refused(library: Path) -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        list_corpus(library, batch_size=0)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list_files(tmp_path / "nowhere")


def test_the_standard_library_is_found_without_its_tests() -> None:
    files = list_files(standard_library_root())
    assert {"abc.py", "json/decoder.py", "asyncio/base_events.py"} <= set(files)
    assert len(files) > 300
    assert not [path for path in files if path.startswith(("test/", "site-packages/", "dist-packages/"))]
