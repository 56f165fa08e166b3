"""The figures of one file."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.demo.corpus import list_files, standard_library_root
from segue.demo.findings import LineCounts
from segue.demo.measure import measure_file


def test_everything_in_a_file_is_counted(library: Path) -> None:
    facts = measure_file(library, "shapes/__init__.py")
    assert facts.problem is None
    assert facts.lines == LineCounts(code=15, docstrings=6, comments=1, blank=8)
    assert (facts.functions, facts.async_functions, facts.methods, facts.classes) == (4, 1, 2, 1)
    assert facts.imports == ["collections", "os"]
    assert (facts.documented, facts.documentable) == (3, 4)  # `area` has none; `_hidden` and `stroke` need none
    assert sorted(facts.function_lengths) == [2, 2, 4, 6]


def test_names_places_and_branches_of_functions(library: Path) -> None:
    facts = measure_file(library, "shapes/__init__.py")
    notable = {function.name: function for function in facts.notable}
    assert notable.keys() == {"Shape.area", "Shape.draw", "Shape.draw.stroke", "_hidden"}
    assert notable["Shape.area"].line == 16
    assert notable["Shape.area"].branches == 4  # if, and, the comprehension
    assert notable["Shape.draw"].branches == 2  # the loop
    assert notable["_hidden"].branches == 1


@pytest.mark.parametrize(
    "path, lines",
    [
        ("broken.py", LineCounts(code=1, comments=1, blank=1)),
        ("undecodable.py", LineCounts(code=1)),
    ],
)
def test_a_file_that_cannot_be_parsed_is_counted_by_lines_with_the_reason(
    library: Path, path: str, lines: LineCounts
) -> None:
    facts = measure_file(library, path)
    assert facts.lines == lines
    assert facts.problem is not None
    assert facts.problem.startswith("SyntaxError")
    assert facts.functions == 0


def test_a_null_byte_costs_only_the_file(tmp_path: Path) -> None:
    (tmp_path / "null.py").write_bytes(b"x = 1\0\n")
    assert measure_file(tmp_path, "null.py").problem


def test_the_encoding_that_a_file_names_is_respected(library: Path) -> None:
    assert measure_file(library, "latin.py").problem is None


def test_an_empty_file_has_no_lines(library: Path) -> None:
    assert measure_file(library, "empty.py").lines.total == 0


def test_kinds_of_lines_add_up_in_real_files() -> None:
    root = standard_library_root()
    for path in list_files(root)[::60]:
        facts = measure_file(root, path)
        assert facts.lines.total == len((root / path).read_bytes().splitlines())
        assert min(facts.lines.code, facts.lines.docstrings, facts.lines.comments, facts.lines.blank) >= 0
