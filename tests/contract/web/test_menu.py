"""The counts in the menu, which are on every page."""

from __future__ import annotations

import re

import pytest

from segue import Segue
from segue.scheduler.leader import Lead
from segue.web import troubles
from segue.worker.inline import work_run
from tests.contract.web.asking import approved, takings
from tests.contract.web.browsing import counted_statements, visitor

pytestmark = pytest.mark.contract


def badges(html: str) -> dict[str, str]:
    found = re.findall(r'data-swap="badge-([^"]+)"[^>]*>(.*?)<span class="sr">', html)
    return dict(found)


def test_the_menu_counts_failures_and_approvals(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(troubles, "MOST_COUNTED", 3)
    web = visitor(segue, "viewer")
    assert badges(web.get("/limits").text) == {}
    for number in range(3):
        run = segue.start(takings, [-1])
        work_run(segue.engine, run.id)
        if number:
            segue.start(approved, 1.0)
    assert badges(web.get("/limits").text) == {}  # one look serves all pages of the next seconds
    monkeypatch.setattr(troubles, "KEPT_SECONDS", 0.0)
    assert badges(web.get("/limits").text) == {"/errors": "2+", "/approvals": "2"}
    fragment = web.get("/limits", headers={"x-segue-fragment": "main"}).text
    assert badges(fragment) == {"/errors": "2+", "/approvals": "2"}


def test_a_line_above_every_page_says_that_nobody_ever_did_the_chores(
    segue: Segue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(troubles, "KEPT_SECONDS", 0.0)
    web = visitor(segue, "viewer")
    assert "chores" not in web.get("/limits").text
    segue.start(approved, 1.0)
    for path in ("/", "/limits"):
        text = web.get(path).text
        assert "No process has ever done the chores" in text
        assert "segue scheduler -A your.module" in text
    assert Lead(segue.engine, monotonic=lambda: 0.0).ask()
    assert "chores" not in web.get("/limits").text


def test_the_counts_cost_a_page_nothing(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(troubles, "KEPT_SECONDS", 1e9)
    web = visitor(segue)
    web.get("/settings")
    with counted_statements(monkeypatch) as found:
        assert web.get("/settings").status_code == 200
    assert not [each for each in found if "wait" in each or "page" in each or "select" in each], found
