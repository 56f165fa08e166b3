"""Paths: which route comes first, and what of a path is the application's own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from segue.web.paths import filled_path, fixed_first, inner_path, own_path


def test_a_fixed_word_comes_before_a_parameter_that_would_match_it() -> None:
    given = ["/runs/{run_id}", "/runs/{run_id}/{step:name}", "/runs/{run_id}/steps", "/runs/search", "/"]
    assert [each.path for each in fixed_first(SimpleNamespace(path=path) for path in given)] == [
        "/runs/search", "/", "/runs/{run_id}/steps", "/runs/{run_id}", "/runs/{run_id}/{step:name}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "root, path, inner",
    [("", "/runs", "/runs"), ("/a", "/a/runs", "/runs"), ("/a/", "/a/runs", "/runs"), ("/a", "/ab/runs", "/ab/runs"),
     ("/a", "/a", ""), ("/a", "/runs", "/runs")],
)  # fmt: skip
def test_the_place_of_mounting_is_cut_off_as_a_whole_word(root: str, path: str, inner: str) -> None:
    assert inner_path({"path": path, "root_path": root}) == inner


def test_a_name_fills_one_part_of_a_path() -> None:
    assert filled_path("/a/{run_id}/{step:name}", {"run_id": "7", "step": "b/c ?"}) == "/a/7/b%2Fc%20%3F"


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "https://evil.example", "/a\n", ""])
def test_a_path_of_another_site_is_not_returned_to(path: str) -> None:
    assert own_path(path) == "/"
