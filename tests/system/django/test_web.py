"""The web pages inside a Django project: its users, its login, under ASGI and WSGI."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.django.site import Site

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

VISIT = """
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.test import Client
from starlette.testclient import TestClient
from werkzeug.test import Client as WsgiClient
from orders.workflows import fulfil
from segue.contrib.django.web import with_segue
from segue.errors import ConfigError

run = segue.start(fulfil, 1)
def cookie_of(name, **what):
    user = get_user_model().objects.create_user(name, password="x", **what)
    if name == "olga":
        user.user_permissions.add(Permission.objects.get(codename="operate_run"))
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value

cookies = {
    "vera": cookie_of("vera", is_staff=True), "olga": cookie_of("olga", is_staff=True), "carl": cookie_of("carl"),
    "anna": cookie_of("anna", is_staff=True, is_superuser=True),
    "gone": cookie_of("gone", is_staff=True, is_active=False),
}
web = TestClient(with_segue(get_asgi_application()), follow_redirects=False)
roles = {}
for name, cookie in cookies.items():
    answer = web.get("/segue/api/v1/me", headers={"cookie": f"sessionid={cookie}"})
    roles[name] = answer.json().get("role", answer.status_code)
print(roles)
print(web.get("/segue/runs").headers["location"], web.get("/segue/runs", headers={"cookie": "sessionid=x"}).status_code)
page = web.get("/segue/runs", headers={"cookie": f"sessionid={cookies['vera']}"}).text
print(run.id in page, "/act/" in page)
print(web.get("/admin/login/").status_code, web.get("/segueish").status_code)
wsgi = WsgiClient(with_segue(get_wsgi_application()))
wsgi.set_cookie("sessionid", cookies["vera"])
print(wsgi.get("/segue/runs").status_code, wsgi.get("/admin/login/?next=/").status_code)
try:
    with_segue(print)
except ConfigError as error:
    print(error)
"""


def test_the_projects_users_see_the_pages(tmp_path: Path, bare_url: Callable[[], str]) -> None:
    site = Site(tmp_path, bare_url())
    site.manage("migrate")
    lines = site.python(VISIT).splitlines()
    assert lines[0] == "{'vera': 'viewer', 'olga': 'operator', 'carl': 401, 'anna': 'admin', 'gone': 401}"
    assert lines[1] == "/accounts/login/?next=%2Fsegue%2Fruns 303"
    assert lines[2] == "True False"
    assert lines[3].startswith("200 404")
    assert lines[4] == "200 302"
    assert "get_asgi_application" in lines[5]
