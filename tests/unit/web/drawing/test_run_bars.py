"""The last runs of a workflow, as bars."""

from __future__ import annotations

import re

from segue.web.drawing.run_bars import HEIGHT, LEAST, Bar, run_bars


def heights(svg: str) -> list[float]:
    return [float(found) for found in re.findall(r'height="([\d.]+)" class="is-', svg)]


def test_the_longest_run_is_the_tallest_bar_and_each_can_be_seen() -> None:
    svg = run_bars(
        [
            Bar("/runs/1", "succeeded", 2.0, "a"), Bar("/runs/2", "failed", 0.0001, "b"),
            Bar("/runs/3", "pending", None, "c"),
        ],
        label="three runs",
    )  # fmt: skip
    assert heights(svg) == [HEIGHT, LEAST, LEAST]
    assert 'href="/runs/2"' in svg
    assert "b: ✗ failed, 0.1 ms" in svg
    assert "c: ○ pending, not begun" in svg


def test_a_name_stays_text() -> None:
    svg = run_bars([Bar("/runs/1", "failed", 1.0, '"><script>x</script>')], label="<b>")
    assert "<script>" not in svg
    assert "<b>" not in svg


def test_no_runs_are_an_empty_picture() -> None:
    assert heights(run_bars([], label="none")) == []
