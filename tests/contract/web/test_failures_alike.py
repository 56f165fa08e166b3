"""What a person asks first about a failure: is it the only one, and what can be done about all of them."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest

from segue import Segue
from segue.worker.inline import work_run
from tests.contract.web.asking import add_up, takings
from tests.contract.web.browsing import hidden_fields, visitor

pytestmark = pytest.mark.contract


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_a_failed_step_says_how_many_are_like_it(segue: Segue) -> None:
    web = visitor(segue, "viewer")
    first, *_ = runs = [segue.start(takings, [-number]) for number in (7, 8)]
    work_run(segue.engine, first.id)
    page = web.get(f"/runs/{first.id}/steps/0").text
    assert "It is the only failure of its kind ." in text_of(page)
    work_run(segue.engine, runs[1].id)
    page = web.get(f"/runs/{first.id}/steps/0").text
    assert "2 failures of this kind , the first" in text_of(page)
    link = re.search(r'href="(/errors/[0-9a-f]+)"', page)
    assert link is not None
    assert f"/runs/{runs[1].id}" in web.get(link[1]).text
    assert "of this kind" not in web.get(f"/runs/{first.id}/steps/1").text  # it was skipped
    first.retry()
    assert "It failed before" in web.get(f"/runs/{first.id}/steps/0").text
    [alike] = [web.get(f"/runs/{first.id}/steps/0?format=json").json()["alike"]]
    assert alike["count"] == 2


def test_a_kind_of_error_is_retried_from_the_list(segue: Segue) -> None:
    run = segue.start(takings, [-1])
    work_run(segue.engine, run.id)
    link = re.search(r'href="(/bulk\?verb=retry[^"]+)"', visitor(segue).get("/errors").text)
    assert link is not None
    assert "Retry 1 run?" in visitor(segue).get(link[1].replace("&amp;", "&")).text
    assert "verb=retry" not in visitor(segue, "viewer").get("/errors").text


def test_many_runs_are_tagged_after_a_preview(segue: Segue) -> None:
    web = visitor(segue)
    runs = [segue.start(add_up, [number], tags=["eu"]) for number in range(3)]
    page = web.get("/bulk?verb=annotate&all=1&tag=eu").text
    assert "Tag 3 runs?" in page
    told = hidden_fields(page, "/act/selections/apply") | {"tags": "looked at\nknown", "without": "eu"}
    answer = web.post(
        "/act/selections/apply", content=urlencode({name: value for name, value in told.items() if value}),
        headers={"content-type": "application/x-www-form-urlencoded"},
    )  # fmt: skip
    order = answer.headers["location"].rpartition("/")[2]
    work_run(segue.engine, order)
    assert {tuple(segue.get(run.id).info().tags) for run in runs} == {("looked at", "known")}
    nothing = {"verb": "annotate", "newest_id": runs[0].id}
    refused = web.post("/api/v1/selections/apply", json=nothing)
    assert (refused.status_code, refused.json()["code"]) == (422, "NothingToDo")
