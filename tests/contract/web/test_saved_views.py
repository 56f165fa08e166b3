"""Lists under a name: whose they are, where they lead, and who may change what is for all."""

from __future__ import annotations

import html
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient

from segue import Segue
from segue.engine import saved_views
from segue.web import Identity, Role, create_app
from tests.contract.web.asking import add_up
from tests.contract.web.browsing import hidden_fields

pytestmark = pytest.mark.contract

FAILED = "/runs?status=failed&newer_than=2d"


def person(segue: Segue, name: str = "ann", role: Role = Role.VIEWER, how: str = "session") -> TestClient:
    app = create_app(segue, identify=lambda request: Identity(name, role, how=how))
    return TestClient(app, base_url="http://localhost", follow_redirects=False)


def save(web: TestClient, name: str, link: str = FAILED, **more: Any) -> Any:
    return web.post("/api/v1/views", json={"name": name, "link": link, **more})


def names(web: TestClient) -> list[tuple[str, bool]]:
    return [(each["name"], each["is_shared"]) for each in web.get("/api/v1/views").json()]


def submitted(web: TestClient, action: str, **fields: str) -> Any:
    return web.post(action, content=urlencode(fields), headers={"content-type": "application/x-www-form-urlencoded"})


def test_a_view_is_mine_and_a_shared_one_is_for_all(segue: Segue) -> None:
    ann, bob = person(segue), person(segue, "bob", Role.OPERATOR)
    assert save(ann, "my failures").status_code == 201
    assert save(ann, "for the team", shared=True).status_code == 403
    assert (
        save(bob, "for the team", "/runs?tag=eu&before=x&q=y&format=json", shared=True).json()["link"] == "/runs?tag=eu"
    )
    assert names(ann) == [("my failures", False), ("for the team", True)]
    assert names(bob) == [("for the team", True)]
    mine, shared = (each["id"] for each in ann.get("/api/v1/views").json())
    assert bob.delete(f"/api/v1/views/{mine}").status_code == 404  # not even an operator sees it
    assert ann.delete(f"/api/v1/views/{shared}").status_code == 403
    assert ann.delete(f"/api/v1/views/{mine}").status_code == 200
    assert ann.delete(f"/api/v1/views/{mine}").status_code == 404
    assert names(ann) == [("for the team", True)]


def test_without_a_login_views_are_everybodys(segue: Segue) -> None:
    assert save(person(segue, "ann", Role.ADMIN, "local"), "failures").json()["is_shared"] is True
    assert names(person(segue, "bob", Role.ADMIN, "local")) == [("failures", True)]


FOREIGN = (
    "https://example.org/runs?tag=eu", "//example.org/runs?tag=eu", "/\\example.org?tag=eu", "javascript:alert(1)",
    "/logout?tag=eu", "/act/runs?tag=eu", "/runs/../act?tag=eu", "/runs", "/runs?before=x", "/runs?no=filter",
    "/runs?status=odd", "/runs?tag=", "/errors?newer_than=soon", "/errors?tag=eu", "/runs?tag=\x00", "runs?tag=eu",
    "/runs?tag=%ff", f"/runs?tag={'x' * 2000}",
)  # fmt: skip


def test_a_view_leads_only_to_a_list_of_this_site(segue: Segue) -> None:
    web = person(segue)
    assert [link for link in FOREIGN if save(web, "odd", link).status_code not in (400, 422)] == []
    assert names(web) == []


def test_a_row_that_somebody_has_changed_leads_nowhere(segue: Segue) -> None:
    told = {"name": "free money", "link": "//example.org/runs?x"}
    segue.engine.act(saved_views.save_view, segue.namespace, saved_views.EVERYBODY, **told)
    web = person(segue)
    assert names(web) == []
    for path in ("/runs", "/views", "/search?q=money"):
        assert "example.org" not in web.get(path).text


def test_a_name_is_short_and_can_be_read(segue: Segue) -> None:
    web = person(segue)
    odd = ("", " ", "x" * 61, "two\nlines", "right\u202eleft")
    assert {save(web, name).status_code for name in odd} == {422}


def test_a_used_name_is_replaced_only_when_the_person_says_so(segue: Segue) -> None:
    web = person(segue)
    save(web, "failures")
    assert save(web, "failures", "/runs?tag=eu").status_code == 409
    form = hidden_fields(web.get("/runs?tag=eu").text, "/act/views")
    asked = submitted(web, "/act/views", name="failures", **{**form, "back": html.unescape(form["back"])})
    page = web.get(asked.headers["location"])
    assert "There is a view named failures already" in page.text
    assert 'value="/runs?tag=eu"' in page.text
    assert [each["link"] for each in web.get("/api/v1/views").json()] == [FAILED]
    done = submitted(web, "/act/views", name="failures", replace="true", link="/runs?tag=eu", next="/runs?tag=eu")
    assert done.headers["location"] == "/runs?tag=eu"
    assert [each["link"] for each in web.get("/api/v1/views").json()] == ["/runs?tag=eu"]


def test_lists_and_search_lead_to_saved_views(segue: Segue) -> None:
    segue.start(add_up, [1])
    web = person(segue)
    save(web, "failures <b>")
    save(web, "time outs", "/errors?newer_than=3600&type=TimeoutError")
    runs, errors = web.get("/runs").text, web.get("/errors").text
    assert 'href="/runs?status=failed&amp;newer_than=2d">failures &lt;b&gt;</a>' in runs
    assert "time outs" not in runs
    assert "time outs" in errors
    assert 'aria-current="page">failures' in web.get(FAILED).text
    assert "Save this view" not in web.get(FAILED).text
    assert "Save this view" in web.get("/runs?status=failed").text
    assert web.get("/search?q=time out").headers["location"] == "/errors?newer_than=3600&type=TimeoutError"
    assert web.get("/views").text.count("/delete?next=") == 2


def test_a_person_has_a_hundred_views(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_views, "MOST", 3)
    web = person(segue)
    assert [save(web, str(number)).status_code for number in range(4)] == [201, 201, 201, 400]
    assert save(web, "1", "/runs?tag=eu", replace=True).status_code == 201
    assert save(person(segue, "bob"), "1").status_code == 201


def test_a_person_with_an_odd_name_sees_the_lists(segue: Segue) -> None:
    for name, may_save in (("", False), ("x" * 2000, False), ("a\x00b", True), ("a\ud800", True)):
        web = person(segue, name)
        assert web.get("/runs").status_code == 200
        assert save(web, "mine").status_code == (201 if may_save else 422)
        assert [name for name, _ in names(web)] == (["mine"] if may_save else [])
