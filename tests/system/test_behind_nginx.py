"""The web pages behind a real nginx, with deploy/proxies/nginx.conf as it stands, and with a path that is cut off."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from segue import Segue, task
from segue.web.access.combined import LoginAccess
from segue.web.access.proxy import TrustedProxy
from segue.web.app import Application
from segue.web.serve import listen, served
from segue.web.site import Settings, Site
from tests.servers import nginx
from tests.servers.ports import free_port

SNIPPET = (Path(__file__).resolve().parents[2] / "deploy" / "proxies" / "nginx.conf").read_text()
KEPT, CUT = "proxy_pass http://127.0.0.1:8042;", "proxy_pass http://127.0.0.1:8042/;"


@task(name="proxied.nothing")
def nothing() -> None: ...


class Place:
    """The pages at an address of nginx, and a token for them."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token

    def open(self, path: str, form: dict[str, str] | None = None, *, cookie: str | None = None) -> tuple[int, str, str]:
        """The status, the text and the redirection of an answer."""
        headers = {"Cookie": cookie, "Origin": self.url.removesuffix("/segue")} if cookie else {}
        data = urlencode(form).encode() if form is not None else None
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with _no_redirects.open(request, timeout=20) as answer:
                return answer.status, answer.read().decode(), answer.headers.get("Set-Cookie", "")
        except urllib.error.HTTPError as error:
            where = error.headers.get("Location", "")
            return error.code, where, error.headers.get("Set-Cookie", "")


class _Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *given: object) -> None:
        return None


_no_redirects = urllib.request.build_opener(_Stays)


@pytest.fixture(params=["kept", "cut"])
def place(request: pytest.FixtureRequest, segue: Segue) -> Iterator[Place]:
    try:
        nginx.find_program()
    except nginx.NginxMissingError as error:
        pytest.skip(str(error))
    port, listening = free_port(), listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{port}/segue"
    access = LoginAccess(segue, proxy=TrustedProxy(["127.0.0.1"]))
    app = Application(Site(segue, access, Settings(public_url=url, allowed_hosts=("127.0.0.1",))))
    snippet = SNIPPET if request.param == "kept" else SNIPPET.replace(KEPT, CUT)
    assert (KEPT in snippet) == (request.param == "kept")
    snippet = snippet.replace("127.0.0.1:8042", f"127.0.0.1:{listening.getsockname()[1]}")
    with served(app, listening), nginx.running_nginx(snippet, port=port):
        yield Place(url, segue.access.create_token("ann", role="operator"))


def test_pages_forms_and_streams_work_below_a_path(place: Place, segue: Segue) -> None:
    run = segue.start(nothing)
    status, where, _ = place.open("/runs")
    assert (status, where) == (303, "/segue/login?next=%2Fruns")
    assert place.open("")[:2] == (308, f"{place.url}/")
    status, where, said = place.open("/login", {"token": place.token, "next": "/runs"})
    assert (status, where) == (303, "/segue/runs")
    cookie = said.partition(";")[0]
    status, page, _ = place.open("/runs", cookie=cookie)
    links = re.findall(r'(?:href|src|action)="([^"]+)"', page)
    assert status == 200
    assert all(link.startswith(("/segue", "#")) for link in links), links
    [script] = [link for link in links if link.split("?")[0].endswith("/app.js")]
    assert place.open(script.removeprefix("/segue"))[0] == 200
    status, where, _ = place.open(f"/act/runs/{run.id}/pause", {"next": "/runs?status=paused"}, cookie=cookie)
    assert (status, where) == (303, "/segue/runs?status=paused")
    assert run.info().status == "paused"
    headers = {"Cookie": cookie}
    with urllib.request.urlopen(
        urllib.request.Request(f"{place.url}/live?topic=runs", headers=headers), timeout=5
    ) as bell:
        assert bell.headers["Content-Type"].startswith("text/event-stream")
        first = bell.readline()  # nginx would hold it back, without `X-Accel-Buffering: no`
    assert first
    [entry] = [each for each in segue.access.audit() if each.action == "pause_run"]
    assert (entry.actor, entry.address) == ("ann", "127.0.0.1")
