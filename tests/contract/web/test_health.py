"""What machines ask of the pages: alive, ready, metrics; and what the server says of its requests."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from segue import Segue
from segue.client.metrics import count_in_this_process
from segue.observing.metrics.meter import metering
from segue.web import Identity, create_app
from segue.web.access.combined import LoginAccess

pytestmark = pytest.mark.contract


@pytest.fixture
def segue(tmp_path: Path) -> Iterator[Segue]:
    with Segue(f"sqlite:///{tmp_path}/segue.db") as found:
        yield found


@pytest.fixture
def counted(segue: Segue) -> Iterator[None]:
    before = metering.meter
    count_in_this_process(segue)
    yield
    metering.meter = before
    metering.forget_listener()


def web(segue: Segue, **options: Any) -> TestClient:
    return TestClient(create_app(segue, **options), follow_redirects=False, raise_server_exceptions=False)


def test_machines_need_no_login_and_learn_one_word(segue: Segue) -> None:
    asked = web(segue, access=LoginAccess(segue))
    assert asked.get("/healthz").text == "ok"
    assert asked.get("/readyz").text == "ok"
    assert asked.get("/robots.txt").text.startswith("User-agent")


def test_a_probe_asks_by_the_address_of_a_pod(segue: Segue) -> None:
    asked = web(segue, access=LoginAccess(segue), allowed_hosts=["segue.example.org"])
    by_address = {"Host": "10.1.2.3:8042"}
    assert asked.get("/healthz", headers=by_address).status_code == 200
    assert asked.get("/readyz", headers=by_address).status_code == 200
    assert asked.get("/api/v1/runs", headers=by_address).json()["code"] == "WrongHost"


def test_it_is_not_ready_without_a_database(tmp_path: Path) -> None:
    away = Segue("postgresql://nobody@127.0.0.1:9/none")
    answer = web(away, identify=lambda request: None).get("/readyz")
    assert (answer.status_code, answer.text) == (503, "not ready")


def test_metrics_need_a_token_that_is_for_them(segue: Segue, counted: None) -> None:
    asked = web(segue, access=LoginAccess(segue))
    assert asked.get("/metrics").status_code == 401
    asked.get("/api/v1/runs/x?password=s3cret", headers=bearer(segue, "viewer"))
    assert asked.get("/metrics", headers=bearer(segue, "viewer", scopes=["get_run"])).status_code == 403
    text = asked.get("/metrics", headers=bearer(segue, "viewer", scopes=["read_metrics"])).text
    assert 'segue_http_requests_total{code="4xx",method="GET",route="/api/v1/runs/{run_id}"}' in text
    assert "segue_ready_steps" in text or "segue_schema_version" in text
    assert "s3cret" not in text


def bearer(segue: Segue, role: str, **limits: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {segue.access.create_token('x', role=role, **limits)}"}


def test_each_request_has_a_line_with_its_route_and_no_secrets(segue: Segue, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "segue.web.requests")
    asked = web(segue, identify=lambda request: Identity("ann", "viewer"))
    asked.get("/api/v1/runs/0123?token=s3cret", headers={"x-request-id": "abc"})
    asked.get("/no/such/page")
    first, second = [each for each in caplog.records if each.name == "segue.web.requests"]
    assert first.getMessage().startswith("GET /api/v1/runs/{run_id} 4")
    assert first.getMessage().endswith(" ms ann")
    assert (first.request_id, second.route) == ("abc", "other")  # type: ignore[attr-defined]
    assert "s3cret" not in caplog.text
