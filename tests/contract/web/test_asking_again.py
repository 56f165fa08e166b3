"""What touches many runs, or cannot be undone, asks again."""

from __future__ import annotations

import re

import pytest

from segue import Segue
from segue.web.pages import bulk
from tests.contract.web.asking import price
from tests.contract.web.browsing import hidden_fields, visitor

pytestmark = pytest.mark.contract


def test_many_runs_are_confirmed_by_their_number(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "CONFIRMED_ABOVE", 2)
    runs = [segue.start(price, number) for number in range(3)]
    web = visitor(segue, "operator")
    few = web.get(f"/bulk?verb=cancel&ids={runs[0].id}&ids={runs[1].id}").text
    assert 'name="typed"' not in few
    page = "/bulk?verb=cancel&all=1&workflow=shop.price"
    text = web.get(page).text
    assert re.search(r'<input id="f-typed" name="typed" [^>]* required', text)
    fields = hidden_fields(text, "/act/selections/apply")
    for typed in ({}, {"typed": ""}, {"typed": "4"}, {"typed": "all"}):
        answer = web.post("/act/selections/apply", data=fields | typed)
        assert answer.headers["location"] == page
        assert "Nothing was done" in web.get(page).text
    assert not segue.runs(workflow="segue.bulk")
    answer = web.post("/act/selections/apply", data=fields | {"typed": " 3 "})
    assert answer.headers["location"].startswith("/runs/")


def test_a_reason_is_required_where_the_site_insists(segue: Segue) -> None:
    run = segue.start(price, 1)
    required = re.compile(r'name="reason" [^>]*required')
    path = f"/act/runs/{run.id}/cancel"
    assert required.search(visitor(segue, requires_reason=True).get(path).text)
    assert not required.search(visitor(segue).get(path).text)
    assert required.search(visitor(segue, requires_reason=True).get("/bulk?verb=cancel&all=1").text)


def test_a_form_about_a_run_says_which_run_it_is(segue: Segue) -> None:
    run = segue.start(price, 1, key="order 7")
    web = visitor(segue)
    text = web.get(f"/act/runs/{run.id}/cancel").text
    facts = text[text.index("<dl") : text.index("</dl>")]
    assert f"<b>{run.info().workflow}</b>" in facts
    assert "<b>order 7</b>" in facts
    assert "pending" in facts
    assert web.get("/act/runs/00000000-0000-0000-0000-000000000000/cancel").status_code == 200
