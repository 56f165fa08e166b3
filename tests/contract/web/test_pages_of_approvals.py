"""Approvals go page by page, over HTTP and on the page."""

from __future__ import annotations

import re
from typing import Any

import pytest

from segue import Segue, group, wait_for, workflow
from tests.contract.web.asking import client
from tests.contract.web.browsing import visitor

pytestmark = pytest.mark.contract


@workflow(name="pages.twice")
def twice() -> Any:
    return group(wait_for.s("approved"), wait_for.s("approved"), wait_for.s("checked"))


def test_pages_of_approvals_have_no_gaps(segue: Segue) -> None:
    runs = [segue.start(twice) for _ in range(3)]
    web = client(segue, "viewer")
    found: list[tuple[str, int]] = []
    after = None
    for _ in range(20):
        page = web.get("/approvals", params={"limit": 2} | ({"after": after} if after else {})).json()
        found += [(each["run"], each["step"]) for each in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert len(found) == len(set(found)) == 9
    assert found == sorted(found)
    assert {run_id for run_id, _ in found} == {run.id for run in runs}
    for wrong in ("x", "1:2", f"{runs[0].id}:-1", f"{runs[0].id}:99999999999", f"{runs[0].id}:１"):
        assert web.get("/approvals", params={"after": wrong}).status_code == 400, wrong


def test_the_page_leads_to_the_next_and_knows_who_is_first(segue: Segue) -> None:
    segue.start(twice)
    web = visitor(segue, "operator")
    said = []
    path = "/approvals?limit=1"
    while path:
        html = web.get(path).text
        said.append(("takes it first" in html, ">Approve<" in html))
        more = re.search(r'rel="next" href="([^"]+)"', html)
        path = more[1].replace("&amp;", "&") if more else ""
    assert sorted(said[:3]) == [(False, True), (False, True), (True, False)]
    assert visitor(segue).get("/approvals?after=x").status_code == 400
