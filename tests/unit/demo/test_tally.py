"""The figures of all files, and the proof that each was counted once."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.demo.corpus import list_corpus
from segue.demo.findings import BatchFacts, FileFacts, LineCounts, Listing
from segue.demo.measure import measure_file
from segue.demo.tally import package_of, tally_up


@pytest.fixture
def listing(library: Path) -> Listing:
    return list_corpus(library, batch_size=2)


@pytest.fixture
def batches(listing: Listing) -> list[BatchFacts]:
    return [BatchFacts([measure_file(Path(b.root), path) for path in b.files]) for b in listing["batches"]]


def test_totals_are_the_sums(listing: Listing, batches: list[BatchFacts]) -> None:
    findings = tally_up(listing, batches)
    assert findings.totals.files == 6
    assert findings.totals.lines.total == sum(facts.lines.total for batch in batches for facts in batch.files)
    assert findings.packages[0].name == "shapes"
    assert findings.packages[0].files == 2
    assert [item.name for item in findings.imported] == ["collections", "os"]
    assert [facts.path for facts in findings.problems] == ["broken.py", "undecodable.py"]
    assert findings.longest[0].name == "Shape.draw"
    assert findings.branched[0].name == "Shape.area"
    assert sum(item.count for item in findings.lengths.bins) == findings.totals.functions
    assert findings.coverage.is_exact


def test_the_order_of_the_batches_does_not_matter(listing: Listing, batches: list[BatchFacts]) -> None:
    assert tally_up(listing, batches[::-1]) == tally_up(listing, batches)


def test_a_file_that_comes_twice_is_added_up_once_and_named(listing: Listing, batches: list[BatchFacts]) -> None:
    again = BatchFacts([batches[0].files[0]], attempt=2)
    findings = tally_up(listing, [*batches, again])
    assert findings.coverage.duplicates == ["broken.py"]
    assert not findings.coverage.is_exact
    assert findings.totals == tally_up(listing, batches).totals
    assert findings.repeated_batches == 1


def test_a_file_that_does_not_come_back_is_named(listing: Listing, batches: list[BatchFacts]) -> None:
    findings = tally_up(listing, batches[1:])
    assert findings.coverage.missing == ["broken.py", "empty.py"]
    assert not findings.coverage.is_exact


def test_a_file_that_nobody_listed_is_named(listing: Listing, batches: list[BatchFacts]) -> None:
    stranger = BatchFacts([FileFacts("stranger.py", LineCounts(code=1))])
    coverage = tally_up(listing, [*batches, stranger]).coverage
    assert coverage.unlisted == ["stranger.py"]
    assert not coverage.is_exact


def test_no_files_give_empty_findings() -> None:
    findings = tally_up({"root": "/nowhere", "python": "3.11", "files": [], "batches": []}, [])
    assert findings.totals.files == 0
    assert findings.totals.documented_share == 0.0
    assert findings.coverage.is_exact


@pytest.mark.parametrize("path, package", [("abc.py", "abc"), ("json/decoder.py", "json"), ("a/b/c.py", "a")])
def test_the_package_is_the_first_part_of_the_path(path: str, package: str) -> None:
    assert package_of(path) == package
