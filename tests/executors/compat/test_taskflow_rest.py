"""The REST paths of Taskflow, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from segue import Segue
from segue.authoring import declared
from segue.compat.taskflow import Task, Taskflow, Workflow
from segue.compat.taskflow.rest.app import create_app
from segue.web import Identity
from segue.worker.inline import work_run

pytestmark = pytest.mark.contract


class Say(Task):
    def execute(self, task_instance: Any) -> None:
        if task_instance.params.get("fails"):
            raise ValueError("it was asked to fail")


@pytest.fixture
def taskflow() -> Iterator[Taskflow]:
    before = [(known, dict(known)) for known in (declared.tasks, declared.workflows)]
    weekly = Workflow(name="weekly", schedule="0 4 * * 1", active=True, title="Weekly")
    first = Say(workflow=weekly, name="first")
    Say(workflow=weekly, name="second").depends_on(first)
    found = Taskflow()
    found.add_workflows([weekly])
    found.add_tasks([Say(name="alone", retries=2, params={"table": "x"})])
    yield found
    for known, was in before:
        known.clear()
        known.update(was)


def client(segue: Segue, taskflow: Taskflow, role: str) -> TestClient:
    app = create_app(taskflow, segue=segue, identify=lambda request: Identity("ann", role))  # type: ignore[arg-type]
    return TestClient(app, base_url="http://localhost/v1", raise_server_exceptions=False)


def test_the_paths_of_taskflow(segue: Segue, taskflow: Taskflow) -> None:
    web = client(segue, taskflow, "operator")
    weekly = taskflow.get_workflow("weekly")
    segue.schedules.create("weekly", weekly.work, schedule="0 4 * * 1")
    listed = web.get("/workflows").json()
    assert (listed["count"], listed["total_pages"], listed["page"]) == (1, 1, 1)
    assert listed["data"] == [
        {
            "name": "weekly", "active": True, "title": "Weekly", "description": None, "concurrency": 1, "sla": None,
            "schedule": "0 4 * * 1", "default_priority": "normal", "start_date": None, "end_date": None,
        }
    ]  # fmt: skip
    assert web.put("/workflows/weekly", json={"active": False}).json()["active"] is False
    assert segue.schedules.get("weekly").is_active is False
    assert [task["name"] for task in web.get("/tasks").json()["data"]] == ["alone", "first", "second"]
    assert web.get("/tasks/first").json()["workflow_name"] == "weekly"

    made = web.post("/workflow-instances", json={"workflow_name": "weekly", "priority": "high", "unique": "u"})
    assert made.status_code == 201, made.text
    id_ = made.json()["id"]
    assert (made.json()["status"], made.json()["priority"], made.json()["unique"]) == ("queued", "high", "u")
    assert web.post("/workflow-instances", json={"workflow_name": "weekly", "unique": "u"}).status_code == 409
    tasks = web.get(f"/task-instances?workflow_instance_id={id_}").json()["data"]
    assert [(task["task_name"], task["workflow_instance_id"]) for task in tasks] == [("first", id_), ("second", id_)]
    work_run(segue.engine, id_)
    assert web.get(f"/workflow-instances/{id_}").json()["status"] == "success"

    alone = web.post("/task-instances", json={"task_name": "alone", "params": {"fails": 1}, "max_attempts": 1}).json()
    work_run(segue.engine, alone["id"].partition(".")[0])
    assert (alone["status"], alone["max_attempts"], alone["params"]) == ("queued", 1, {"fails": 1})
    ended = web.get(f"/task-instances/{alone['id']}").json()
    assert (ended["status"], ended["attempts"], ended["ended_at"] is None) == ("failed", 1, False)
    for number in range(3):
        web.post("/task-instances", json={"task_name": "alone", "params": {"n": number}})
    page = web.get("/task-instances?$page=2&$page_size=2&status=queued").json()
    assert ([each["params"] for each in page["data"]], page["page"], page["count"]) == ([{"n": 0}], 2, 3)
    waiting = web.get("/task-instances?status=queued").json()["data"][0]["id"]
    assert web.delete(f"/task-instances/{waiting}").status_code == 204
    assert web.get(f"/task-instances/{waiting}").json()["status"] == "dequeued"
    assert web.get("/session").json() == {"username": "ann", "role": "admin"}
    assert web.get("/workflow-instances/recurring-latest").json() == []


@pytest.mark.parametrize(
    "method, path, body, status",
    [
        ("GET", "/workflows/none", None, 404), ("PUT", "/tasks/none", {"active": True}, 404),
        ("PUT", "/tasks/alone", {"active": 1}, 400), ("PUT", "/tasks/alone", {"active": True}, 404),
        ("PUT", "/tasks/alone", [], 400), ("POST", "/task-instances", {"task_name": "none"}, 400),
        ("POST", "/task-instances", {}, 400), ("POST", "/task-instances", {"task_name": "alone", "run_at": 7}, 400),
        ("POST", "/task-instances", {"task_name": "alone", "priority": "urgent"}, 400),
        ("POST", "/task-instances", {"task_name": "alone", "params": [1]}, 400),
        ("GET", "/task-instances/none.0", None, 404), ("GET", "/task-instances?$page=0", None, 400),
        ("GET", "/task-instances?$page=x", None, 400), ("GET", "/task-instances?$page=9999", None, 400),
        ("GET", "/nothing", None, 404), ("PATCH", "/tasks/alone", {}, 405),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(
    segue: Segue, taskflow: Taskflow, method: str, path: str, body: Any, status: int
) -> None:
    answer = client(segue, taskflow, "operator").request(method, path, json=body)
    assert answer.status_code == status, answer.text


def test_viewers_only_read(segue: Segue, taskflow: Taskflow) -> None:
    web = client(segue, taskflow, "viewer")
    assert web.get("/tasks").status_code == 200
    assert web.post("/task-instances", json={"task_name": "alone"}).status_code == 403
    stranger = TestClient(create_app(taskflow, segue=segue), base_url="http://localhost/v1")
    assert stranger.get("/tasks").status_code == 403
    assert segue.runs() == []
