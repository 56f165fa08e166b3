"""Workers as processes, a subscription, and a server that is told of a failed run: at least once, whatever happens."""

from __future__ import annotations

import hashlib
import hmac
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segue import Segue, webhook
from segue.engine.subscriptions import NOTIFICATION
from tests.crash.working import let_leases_run_out
from tests.servers.receiver import HANG_UP, HOLD, Receiver
from tests.system import notification_tasks

ROOT = Path(__file__).resolve().parents[2]
SECRET = "whsec-1"
PATIENCE_SECONDS = 30.0

Spawn = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def spawn_worker(database_url: str, tmp_path: Path) -> Iterator[Spawn]:
    started: list[subprocess.Popen[bytes]] = []
    environment = os.environ | {
        "SEGUE_DATABASE_URL": database_url, "SEGUE_APP": notification_tasks.__name__, "HOOK_SECRET": SECRET,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        notification_tasks.HEARD: str(tmp_path / "heard"),
    }  # fmt: skip

    def spawn(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "segue", "worker", "-c", "1", *words]
        started.append(
            subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        )
        return started[-1]

    yield spawn
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(worker: subprocess.Popen[bytes]) -> None:
    _, errors = worker.communicate(timeout=PATIENCE_SECONDS)
    assert worker.returncode == 0, errors.decode()


def test_a_failed_run_is_told_in_spite_of_failures_and_a_lost_answer(
    segue: Segue, spawn_worker: Spawn, webhooks: Receiver, tmp_path: Path
) -> None:
    webhooks.answers = [503, HANG_UP]
    target = webhook.s(f"{webhooks.url}/hooks", secret_env="HOOK_SECRET", retry_delay=0.05)
    segue.subscriptions.add("on-call", events=["run.failed"], to=target)
    run = segue.start(notification_tasks.doomed, "no paper", key="today")
    finish(spawn_worker("--burst"))

    assert len(webhooks.received) == 3
    (told,) = segue.runs(workflow=NOTIFICATION)
    assert set(webhooks.keys()) == {f"{told.id}:0"}
    assert segue.get(told.id).result() == {"status": 200}
    for request in webhooks.received:
        event = request.json
        assert (event["kind"], event["run_id"], event["key"]) == ("run.failed", run.id, "today")
        assert event["error"] == {"type": "ValueError", "message": "no paper"}
        parts = dict(part.split("=") for part in request.headers["Segue-Signature"].split(","))
        signed = parts["t"].encode() + b"." + request.body
        assert parts["v1"] == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()

    heard = (tmp_path / "heard").read_text().splitlines()
    doomed = f"{notification_tasks.__name__}.doomed"
    assert heard == [
        f"run.started {doomed} None None",
        f"step.failed {doomed} break_down no paper",
        f"run.failed {doomed} None no paper",
        f"run.started {NOTIFICATION} None None",
        f"run.succeeded {NOTIFICATION} None None",
    ]


def test_a_worker_that_is_killed_while_it_tells_leaves_the_telling_to_another(
    segue: Segue, spawn_worker: Spawn, webhooks: Receiver
) -> None:
    webhooks.answers = [HOLD]
    segue.subscriptions.add("on-call", events=["run.failed"], to=webhooks.url)
    segue.start(notification_tasks.doomed, "no paper")
    worker = spawn_worker()
    webhooks.wait_for(1)
    worker.kill()
    worker.communicate()
    let_leases_run_out(segue.url)
    assert segue.engine.rescue() == 1
    finish(spawn_worker("--burst"))
    assert len(webhooks.received) == 2
    assert len(set(webhooks.keys())) == 1
    assert webhooks.received[0].body == webhooks.received[1].body
