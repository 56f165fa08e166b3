"""The form for the filters of runs: it says what is on, and leads to the list that was meant."""

from __future__ import annotations

import html
import re
from urllib.parse import urlencode

import pytest

from segue import Segue
from tests.contract.web.asking import add_up
from tests.contract.web.browsing import visitor

pytestmark = pytest.mark.contract

FULL = [
    ("workflow", "shop.takings"), ("newer_than", "90min"), ("since", "2026-11-01"), ("until", "2h"), ("key", " a key "),
    ("error_type", "ValueError"), ("forked_from", "01a2"), ("status", "failed"), ("status", "running"),
    ("tag", "eu"), ("tag", "two words"), ("meta.customer", "42"), ("meta.<b>", '"quoted"'), ("arg.order.id", "x & y"),
]  # fmt: skip


def fields(page: str) -> list[tuple[str, str]]:
    """What a browser sends when the button of the form is pressed."""
    found = [
        (name, html.unescape(value))
        for name, value in re.findall(r'<input[^>]* name="([^"]+)" value="([^"]*)"(?: list="\w+")?[^>]*>', page)
        if name != "q"
    ]
    boxes = set(re.findall(r'name="status" value="(\w+)" checked', page))
    found = [(name, value) for name, value in found if name != "status" or value in boxes]
    found += [("newer_than", html.unescape(value)) for value in re.findall(r'<option value="([^"]*)" selected', page)]
    found += [("tags", html.unescape(text)) for text in re.findall(r"<textarea[^>]*>([^<]*)", page)]
    return found


def test_the_form_gives_back_the_filters_that_are_on(segue: Segue) -> None:
    web = visitor(segue, "viewer")
    filled = fields(web.get(f"/filter?{urlencode(FULL)}").text)
    assert sorted(filled) != sorted(FULL)  # it has fields of its own
    answer = web.get(f"/filter?{urlencode(filled)}")
    assert answer.status_code == 303, answer.text
    path, _, query = answer.headers["location"].partition("?")
    assert path == "/runs"
    assert sorted(query.split("&")) == sorted(urlencode(FULL).split("&"))


def test_what_is_not_understood_is_said_at_the_form(segue: Segue) -> None:
    web = visitor(segue, "viewer")
    for odd in (("since", "soon"), ("status", "odd"), ("older_than", "x")):
        answer = web.get(f"/filter?go=1&{urlencode([odd])}")
        assert answer.status_code == 400
        assert odd[1] in answer.text
    both = web.get("/filter?go=1&workflow=a&workflow=b")
    assert "is there twice" in both.text


def test_an_empty_form_is_the_whole_list(segue: Segue) -> None:
    segue.start(add_up, [1])
    web = visitor(segue, "viewer")
    page = web.get("/filter").text
    assert '<option value="shop.add_up">' in page
    assert web.get(f"/filter?{urlencode(fields(page))}").headers["location"] == "/runs"
    assert web.get("/filter?go=1&meta:value=42&arg:name=x&before=1&q=y&format=json").status_code == 303
