"""The web pages behind a real Caddy, with deploy/proxies/Caddyfile as it stands, but for the address."""

from __future__ import annotations

import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from segue import Segue
from segue.web.access.combined import LoginAccess
from segue.web.access.proxy import TrustedProxy
from segue.web.app import Application
from segue.web.serve import listen, served
from segue.web.site import Settings, Site
from tests.servers.guard import Guarded
from tests.servers.ports import free_port, listens

pytestmark = pytest.mark.proof

CADDYFILE = (Path(__file__).resolve().parents[2] / "deploy" / "proxies" / "Caddyfile").read_text()
PATIENCE = 30


class _Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *given: object) -> None:
        return None


opened = urllib.request.build_opener(_Stays).open


@pytest.fixture
def url(segue: Segue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of Caddy, which has the pages behind it."""
    program = shutil.which("caddy")
    if program is None:
        pytest.skip("Caddy is not installed (apt-get install caddy)")
    port, listening = free_port(), listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{port}"
    text = CADDYFILE.replace("segue.example.org {", f"{url} {{")
    text = text.replace("127.0.0.1:8042", f"127.0.0.1:{listening.getsockname()[1]}")
    (tmp_path / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https off\n}\n" + text)
    access = LoginAccess(segue, proxy=TrustedProxy(["127.0.0.1"]))
    app = Application(Site(segue, access, Settings(public_url=url, allowed_hosts=("127.0.0.1",))))
    command = [program, "run", "--config", str(tmp_path / "Caddyfile"), "--adapter", "caddyfile"]
    folder = tmp_path / "caddy"
    folder.mkdir()
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(folder))
    with served(app, listening):
        caddy = Guarded(command, folder=folder, log=tmp_path / "log", stop_signal=signal.SIGTERM)
        try:
            until = time.monotonic() + PATIENCE
            while not listens(port):
                assert time.monotonic() < until, (tmp_path / "log").read_text()
                time.sleep(0.05)
            yield url
        finally:
            caddy.stop()


def ask(url: str, data: bytes | None = None, **headers: str) -> tuple[int, str]:
    """The status of an answer, and its cookie."""
    request = urllib.request.Request(url, data, {name.title(): value for name, value in headers.items()})
    try:
        with opened(request, timeout=PATIENCE) as answer:
            return answer.status, answer.headers.get("Set-Cookie", "")
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("Set-Cookie", "")


def test_login_pages_and_streams_pass_through_caddy(url: str, segue: Segue) -> None:
    token = segue.access.create_token("ann", role="operator")
    form = f"token={token}&next=/".encode()
    assert ask(f"{url}/login", form, origin="http://evil.example")[0] == 403
    assert ask(f"{url}/login", form, origin=url.replace("http:", "ftp:"))[0] == 403
    status, cookie = ask(f"{url}/login", form, origin=url)
    assert status == 303
    cookie = cookie.partition(";")[0]
    assert ask(f"{url}/runs", cookie=cookie)[0] == 200
    assert segue.access.sessions()[0].address == "127.0.0.1"
    began = time.monotonic()
    with opened(urllib.request.Request(f"{url}/live?topic=runs", headers={"Cookie": cookie}), timeout=PATIENCE) as told:
        assert [told.readline() for _ in range(3)] == [b"retry: 3000\n", b"\n", b"data: 0\n"]
    assert time.monotonic() - began < 10  # it is not held back
