"""Charts are well-formed, true to scale, and let nothing through unescaped."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.demo.charts import Box, Datum, bars, columns, squarify, treemap

HOSTILE = '<script>alert("&")</script>'
DATA = [Datum("os", 200, "os is imported often"), Datum(HOSTILE, 50), Datum("none", 0)]
CHARTS: dict[str, Callable[[list[Datum]], str]] = {
    "bars": lambda data: bars(data, title=HOSTILE, unit="files"),
    "columns": lambda data: columns(data, title=HOSTILE, unit="files"),
    "treemap": lambda data: treemap(data, title=HOSTILE, unit="files", width=600, height=300),
}


@pytest.mark.parametrize("kind", CHARTS)
@pytest.mark.parametrize("data", [DATA, []], ids=["data", "nothing"])
def test_charts_are_well_formed_and_named(kind: str, data: list[Datum]) -> None:
    root = ElementTree.fromstring(CHARTS[kind](data))
    assert root.attrib["role"] == "img"
    assert root.findtext("title") == HOSTILE
    assert root.findtext("desc", "").startswith("os: 200 files" if data else "")


@pytest.mark.parametrize("kind", CHARTS)
def test_names_are_escaped(kind: str) -> None:
    assert "<script" not in CHARTS[kind](DATA)


def test_bars_are_as_long_as_their_values() -> None:
    root = ElementTree.fromstring(CHARTS["bars"](DATA))
    widths = [float(rect.attrib["width"].rstrip("%")) for rect in root.iter("rect")]
    assert widths == pytest.approx([46, 11.5, 0])


def test_a_long_name_keeps_its_end() -> None:
    assert "…ader_value_parser" in bars([Datum("email/_header_value_parser", 3)], title="t", unit="lines")


@given(st.lists(st.integers(1, 50_000), max_size=80), st.integers(10, 2000), st.integers(10, 2000))
def test_a_treemap_fills_its_area_with_parts_of_the_right_size(values: list[int], width: int, height: int) -> None:
    boxes = squarify(values, Box(0, 0, width, height))
    assert len(boxes) == len(values)
    for value, box in zip(values, boxes, strict=True):
        assert box.width * box.height == pytest.approx(value / sum(values) * width * height, rel=1e-6)
        assert -1e-6 <= box.x <= box.x + box.width <= width + 1e-6 * width
        assert -1e-6 <= box.y <= box.y + box.height <= height + 1e-6 * height


def test_parts_of_a_treemap_are_close_to_squares() -> None:
    boxes = squarify([1] * 16, Box(0, 0, 400, 400))
    assert all(max(box.width / box.height, box.height / box.width) < 2 for box in boxes)
