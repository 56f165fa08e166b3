"""The pages inside other applications and behind proxies: every link, form and redirect stays below the place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from a2wsgi import ASGIMiddleware
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient
from werkzeug.test import Client as WsgiClient

from segue import Segue, task
from segue.web import Identity, create_app
from segue.web.access.combined import LoginAccess

pytestmark = pytest.mark.contract


@task(name="mounted.nothing")
def nothing() -> None: ...


@pytest.fixture
def segue(tmp_path: Any) -> Iterator[Segue]:
    with Segue(f"sqlite:///{tmp_path}/segue.db") as found:
        yield found


def operator(request: Any) -> Identity:
    return Identity("ann", "operator")


def in_starlette(segue: Segue) -> Any:
    return Starlette(routes=[Mount("/tools", Mount("/segue", create_app(segue, identify=operator)))])


def in_fastapi(segue: Segue) -> Any:
    app = FastAPI()
    app.mount("/tools/segue", create_app(segue, identify=operator))
    return app


def behind_a_proxy(segue: Segue) -> Any:
    """The proxy takes the prefix away, and the application knows it from its public URL."""
    app = create_app(segue, identify=operator, public_url="http://testserver/tools/segue")

    async def proxy(scope: Any, receive: Any, send: Any) -> None:
        assert scope["path"].startswith("/tools/segue")
        cut = {"path": scope["path"].removeprefix("/tools/segue") or "/"}
        await app({**scope, **cut, "raw_path": scope["raw_path"].removeprefix(b"/tools/segue") or b"/"}, receive, send)

    return proxy


@pytest.mark.parametrize("place", [in_starlette, in_fastapi, behind_a_proxy])
def test_everything_stays_below_the_place(segue: Segue, place: Any) -> None:
    run = segue.start(nothing)
    web = TestClient(place(segue), follow_redirects=False)
    page = web.get("/tools/segue/runs?status=pending")
    assert page.status_code == 200
    links = re.findall(r'(?:href|src|action)="([^"]+)"', page.text)
    assert len(links) > 10
    assert all(link.startswith(("/tools/segue", "#")) for link in links), links
    for link in {link for link in links if "/static/" in link or link.endswith("/runs")}:
        assert web.get(link).status_code in (200, 303), link
    assert 'data-root="/tools/segue"' in page.text
    answer = web.post(f"/tools/segue/act/runs/{run.id}/pause", data={"next": "/runs?status=paused"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/tools/segue/runs?status=paused")
    assert web.get("/tools/segue/api/v1/runs").json()["items"][0]["status"] == "paused"
    missing = web.get("/tools/segue/nothing")
    assert missing.status_code == 404
    assert 'href="/tools/segue/"' in missing.text
    assert web.get("/tools/segue/api/v1/nothing").json()["code"] == "NotFound"


def test_a_login_below_a_place_leads_back(segue: Segue) -> None:
    app = Starlette(routes=[Mount("/segue", create_app(segue, access=LoginAccess(segue)))])
    web = TestClient(app, follow_redirects=False)
    asked = web.get("/segue/runs?status=failed")
    assert asked.headers["location"] == "/segue/login?next=%2Fruns%3Fstatus%3Dfailed"
    form = {"token": segue.access.create_token("ann"), "next": "/runs?status=failed"}
    assert web.post("/segue/login", data=form).headers["location"] == "/segue/runs?status=failed"


def test_the_login_of_the_host_is_asked(segue: Segue) -> None:
    pages = create_app(segue, identify=lambda request: None, login="/accounts/login/")
    web = TestClient(Starlette(routes=[Mount("/segue", pages)]), follow_redirects=False)
    answer = web.get("/segue/runs?workflow=x")
    assert answer.headers["location"] == "/accounts/login/?next=%2Fsegue%2Fruns%3Fworkflow%3Dx"
    assert web.get("/segue/api/v1/runs").status_code == 401


def test_under_wsgi_pages_ask_by_themselves(segue: Segue) -> None:
    segue.start(nothing)
    wrapped = ASGIMiddleware(create_app(segue, identify=operator, live="poll"))
    web = WsgiClient(wrapped)
    page = web.get("/runs")
    assert page.status_code == 200
    assert 'data-live="poll"' in page.text
    assert web.get("/live?topic=runs").status_code == 204
    assert web.get("/api/v1/runs").json["items"][0]["workflow"] == "mounted.nothing"
