"""Nothing over HTTP turns an operator into a shell on the workers, or into a traveller in the workers' network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from segue import Secret, Segue, shell, task, workflow
from segue.plan import codec
from segue.web import Identity, create_app
from segue.web.operations import OPERATIONS
from segue.web.pages.frame import PAGES

pytestmark = pytest.mark.contract

OWN = ("segue.shell", "segue.webhook", "segue.notify")


@task(name="danger.greet")
def greet(name: str) -> str:
    return f"hello {name}"


@workflow(name="danger.list")
def list_files() -> Any:
    return shell("ls")


@pytest.fixture
def segue(tmp_path: Path) -> Any:
    """One database is enough: what is asked here does not depend on its kind."""
    with Segue(f"sqlite:///{tmp_path}/segue.db") as found:
        found.publish_definitions()
        yield found


def web(segue: Segue, role: str, *, allow_shell: bool = False) -> TestClient:
    app = create_app(segue, identify=lambda request: Identity("ann", role), allow_shell=allow_shell)
    return TestClient(app, follow_redirects=False)


@pytest.mark.parametrize("name", [*OWN, "shell"])
def test_tasks_of_segue_itself_are_not_started(segue: Segue, name: str) -> None:
    order = {"name": name, "kwargs": {"command": "id > /tmp/x"}}
    for role in ("operator", "admin"):
        answer = web(segue, role).post("/api/v1/runs", json=order)
        assert answer.status_code == 403, answer.text
        assert "--allow-shell" in answer.json()["detail"]
    assert web(segue, "operator", allow_shell=True).post("/api/v1/runs", json=order).status_code == 403
    assert segue.runs() == []


@pytest.mark.parametrize("verb, body", [("edit", {"args": ["rm -rf /"]}), ("edit", {"kwargs": {"command": "id"}})])
def test_the_command_of_a_step_is_not_changed(segue: Segue, verb: str, body: dict[str, Any]) -> None:
    run = segue.start(list_files)
    before = run.step(0).info().arguments
    for role in ("operator", "admin"):
        answer = web(segue, role).post(f"/api/v1/runs/{run.id}/steps/0/{verb}", json=body)
        assert answer.status_code == 403, answer.text
        form = web(segue, role).post(f"/act/runs/{run.id}/steps/0/{verb}", data={"kwargs": '{"command": "id"}'})
        assert form.status_code == 403
    assert run.step(0).info().arguments == before


def test_a_fork_does_not_change_a_command(segue: Segue) -> None:
    run = segue.start(list_files)
    run.cancel()
    answer = web(segue, "operator").post(f"/api/v1/runs/{run.id}/fork", json={"step": "0", "kwargs": {"command": "id"}})
    assert answer.status_code == 403, answer.text
    assert len(segue.runs()) == 1


@pytest.mark.parametrize("work", ["segue.shell", "shell"])
def test_a_schedule_does_not_start_a_task_of_segue_itself(segue: Segue, work: str) -> None:
    order = {"name": "evil", "schedule": "* * * * *", "work": work, "kwargs": {"command": "id"}}
    answer = web(segue, "admin").post("/api/v1/schedules", json=order)
    assert answer.status_code == 403, answer.text
    assert segue.schedules.list() == []


@pytest.mark.parametrize(
    "to, status",
    [("json://localhost/x", 403), ("mailto://user:pass@example.org", 403), ("file:///etc/passwd", 403),
     ("ftp://x", 403), ("no url", 422)],
)  # fmt: skip
def test_a_subscription_over_http_sends_only_to_web_servers(segue: Segue, to: str, status: int) -> None:
    order = {"events": ["run.failed"], "to": to}
    answer = web(segue, "admin").put("/api/v1/subscriptions/evil", json=order)
    assert answer.status_code == status, answer.text
    assert segue.subscriptions.list() == []


def test_a_subscription_over_http_stays_outside_of_private_networks(segue: Segue) -> None:
    order = {"events": ["run.failed"], "to": "http://internal.example.org/${SEGUE_SECRET_X}"}
    assert web(segue, "admin").put("/api/v1/subscriptions/hook", json=order).status_code == 200
    [found] = segue.subscriptions.list()
    [node] = codec.decode(found.target).nodes
    assert node.args is not None
    kwargs = msgspec.json.decode(node.args)[1]
    assert kwargs["public_only"] is True
    assert "secrets" not in kwargs


def test_reading_changes_nothing(segue: Segue, tmp_path: Path) -> None:
    """Every GET, of the API, the pages and the forms that ask again, leaves the database as it was."""
    run = segue.start(greet, "ada", key="k", tags=["t"])
    segue.run(greet, "bob")
    segue.schedules.create("nightly", greet.s("x"), schedule="0 2 * * *")
    segue.limits.set("api", concurrency=3)
    admin = web(segue, "admin")
    values = {
        "run_id": run.id, "step:name": "0", "step": "0", "name:name": "nightly", "name": "nightly",
        "queue:name": "default",
        "key:name": "k", "n": "0", "attempt": "1", "token_id": "x", "session_id": "x",
    }  # fmt: skip

    def filled(path: str) -> str:
        for name, value in values.items():
            path = path.replace("{" + name + "}", value)
        return path

    paths = [f"/api/v1{each.path}" for each in OPERATIONS.values() if not each.changes and "follow" not in each.path]
    paths += list(PAGES)
    paths += [f"/act{each.path}" for each in OPERATIONS.values() if each.method == "POST"]
    before = content(segue)
    for path in paths:
        answer = admin.get(filled(path))
        assert answer.status_code < 500, (path, answer.text[:300])
        assert content(segue) == before, path


def content(segue: Segue) -> str:
    """A digest of all tables but the statistics of SQLite."""
    import sqlite3

    with sqlite3.connect(segue.url.removeprefix("sqlite:///")) as connection:
        text = "\n".join(line for line in connection.iterdump() if "sqlite_stat" not in line)
    return hashlib.sha256(text.encode()).hexdigest()


@task(name="danger.upload")
def upload(path: str, pin: Secret[str]) -> str:
    return path


def test_a_secret_is_revealed_to_an_admin_and_the_audit_log_says_so(segue: Segue) -> None:
    run = segue.start(upload, "a.csv", "c4n4ry")
    for path in (f"/runs/{run.id}", f"/runs/{run.id}/steps/0", f"/runs/{run.id}/data"):
        for role in ("viewer", "admin"):
            page = web(segue, role).get(path)
            assert "c4n4ry" not in page.text
        assert "a.csv" in page.text or path.endswith(run.id)
    for path in (f"/runs/{run.id}/reveal", f"/runs/{run.id}/steps/0/reveal"):
        assert web(segue, "operator").post(f"/api/v1{path}").status_code == 403
        assert web(segue, "operator").post(f"/act{path}").status_code == 403
        assert "c4n4ry" in web(segue, "admin").post(f"/api/v1{path}").text
        answer = web(segue, "admin").post(f"/act{path}", data={"reason": "support"})
        assert "c4n4ry" in answer.text
        assert answer.headers["cache-control"] == "no-store"
    assert "Reveal what is hidden" in web(segue, "admin").get(f"/runs/{run.id}/steps/0").text
    assert "Reveal what is hidden" not in web(segue, "operator").get(f"/runs/{run.id}/steps/0").text
    entries = segue.access.audit()
    assert [(entry.action, entry.ok) for entry in entries[:4]] == [
        ("reveal_step", True), ("reveal_step", True), ("reveal_step", False), ("reveal_step", False)
    ]  # fmt: skip
    assert entries[0].reason == "support"
