"""The tasks of the demo one after the other, through JSON as a run passes it on, and the report that they write."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from segue.authoring import Task, encode
from segue.demo.findings import BatchFacts, FileFacts, Findings, FunctionFacts, LineCounts, Listing
from segue.demo.report import Provenance, read_findings, render, write_files
from segue.demo.tally import tally_up
from segue.demo.workflow import QUEUE, add_up, list_modules, parse, standard_library, write_report

HOSTILE = "<img src=x onerror=alert(1)>"
PROVENANCE = Provenance(run_id="01HX", database="SQLite", written_at="2026-01-01", seconds=1.5)


def call(task: Task[..., Any], *args: Any) -> Any:
    """Call a task as a worker does: arguments come as JSON, and the result leaves as JSON."""
    converted, _ = task.converters.apply(task.name, json.loads(encode(args)), {})
    return json.loads(encode(task.fn(*converted)))


class Reader(HTMLParser):
    """Notes every tag with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_tasks_fit_together_through_json(library: Path, tmp_path: Path) -> None:
    listing = call(list_modules, str(library), 2)
    batches = [call(parse, batch) for batch in listing["batches"]]
    findings = call(add_up, listing, batches)
    summary = call(write_report, findings, str(tmp_path / "out"), "SQLite", datetime.now(UTC).isoformat())
    assert summary["exact"] is True
    assert summary["files"] == 6
    assert Path(summary["report"]).read_text().startswith("<!doctype html>")
    assert read_findings(Path(summary["findings"])).totals.files == 6


def test_the_plan_fans_out_when_the_listing_is_known() -> None:
    plan = standard_library.plan("/tmp/report")
    assert [node.name for node in plan.nodes] == ["list_modules", "parse.map", "add_up", "write_report"]
    assert [node.parents for node in plan.nodes] == [(), (0,), (0, 1), (2,)]
    assert {node.queue for node in plan.nodes} == {QUEUE}


def test_the_report_needs_nothing_from_elsewhere(findings: Findings) -> None:
    page = render(findings, PROVENANCE)
    reader = Reader()
    reader.feed(page)
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in reader.tags}
    assert not [attributes for _, attributes in reader.tags if attributes.keys() & {"src", "href"}]
    assert "url(" not in page
    assert "@import" not in page
    assert "$" not in page  # no placeholder is left


def test_what_the_corpus_says_is_escaped(findings: Findings) -> None:
    page = render(findings, PROVENANCE)
    assert HOSTILE not in page
    assert "&lt;img src=x" in page


def test_the_report_says_when_a_file_was_not_counted_once() -> None:
    listing: Listing = {"root": "/lib", "python": "3.11", "files": ["a.py", "b.py"], "batches": []}
    twice = FileFacts("a.py", LineCounts(code=1))
    page = render(tally_up(listing, [BatchFacts([twice, twice])]), PROVENANCE)
    assert "not each was counted exactly once: 1 more than once (a.py); 1 not at all (b.py)" in page
    assert "proof broken" in page


def test_an_empty_corpus_has_a_report(tmp_path: Path) -> None:
    empty = tally_up({"root": "/lib", "python": "3.11", "files": [], "batches": []}, [])
    html, _ = write_files(empty, tmp_path, PROVENANCE)
    assert "Of 0 files listed, 0 were counted" in html.read_text()


def test_files_are_replaced_whole_and_nothing_is_left_beside_them(findings: Findings, tmp_path: Path) -> None:
    write_files(findings, tmp_path, PROVENANCE)
    html, data = write_files(findings, tmp_path, PROVENANCE)
    assert sorted(tmp_path.iterdir()) == sorted([html, data])
    assert read_findings(data) == findings


@pytest.fixture
def findings() -> Findings:
    listing: Listing = {"root": HOSTILE, "python": HOSTILE, "files": [f"{HOSTILE}.py"], "batches": []}
    facts = FileFacts(
        path=f"{HOSTILE}.py",
        lines=LineCounts(code=3, comments=1),
        functions=1,
        imports=[HOSTILE],
        function_lengths=[3],
        notable=[FunctionFacts(HOSTILE, f"{HOSTILE}.py", 1, 3, 1)],
        problem=HOSTILE,
    )
    return tally_up(listing, [BatchFacts([facts])])
