"""The suite of the API. The fixture `workbench` comes with Segue: it works the runs, and its clock is the test's."""

import json

import pytest
from api import app
from fastapi.testclient import TestClient


@pytest.fixture
def client(workbench, monkeypatch):
    monkeypatch.setenv("SHOP_DATABASE", workbench.segue.url.replace("sqlite://", "sqlite+aiosqlite://"))
    with TestClient(app) as client:
        yield client


def test_an_order_is_packed_and_waits_for_its_approval(client, workbench):
    placed = client.post("/orders", json=["lamp", "book"])
    assert placed.status_code == 202
    run = f"/runs/{placed.json()['run']}"
    shown = client.get(run).json()
    assert (shown["key"], shown["status"], shown["arguments"]) == ("order-1", "running", [[1, ["lamp", "book"]], {}])
    workbench.work()
    assert "approved" in client.get(f"{run}/reasons").json()[0]["text"]
    assert client.post(f"{run}/approval", json={"by": "ann"}).status_code == 200
    workbench.work()
    assert client.get(f"{run}/progress").json()["status"] == "succeeded"
    events = client.get(f"{run}/events").text
    assert json.loads(events.split("event: result\ndata: ")[1]) == "2 parcels left, approved by ann"


def test_a_request_that_fails_leaves_no_order_and_no_run(client, workbench):
    refused = client.post("/orders", json=["unicorn"])
    assert (refused.status_code, refused.json()["detail"]) == (409, "There are no unicorns.")
    assert workbench.segue.runs() == []
    assert client.post("/orders", json=["lamp"]).json()["order"] == 1


def test_a_run_is_cancelled_once(client):
    run = f"/runs/{client.post('/orders', json=['lamp']).json()['run']}"
    assert client.post(f"{run}/cancellation").json() == "cancelled"
    assert client.get(run).json()["status"] == "cancelled"
    assert client.post(f"{run}/approval", json={"by": "ann"}).status_code == 409
    assert client.get("/runs/ffff").status_code == 404


def test_the_documents_of_the_api_describe_runs(client):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert {"RunInfo", "RunProgress", "Reason", "StepInfo"} <= schemas.keys()
