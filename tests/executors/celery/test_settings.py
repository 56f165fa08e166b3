"""Settings that projects have, and under which canvases mean the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.contrib.testing.worker import start_worker
from kombu import Exchange, Queue

from segue import Segue
from segue.executors.celery import install
from segue.executors.celery.door import door_of
from segue.executors.celery.repairing import repair
from tests.executors.celery.conftest import wait_until

SECONDS = 40

SETTINGS: dict[str, dict[str, Any]] = {
    "protocol 1": {"task_protocol": 1},
    "compression": {"task_compression": "zlib"},
    "no results": {"task_ignore_result": True},
    "plain results": {"result_extended": False, "task_store_errors_even_if_ignored": True},
    "extended results": {"result_extended": True, "task_track_started": True, "task_send_sent_event": True},
    "prefetch without end": {"worker_prefetch_multiplier": 0},
    "late": {"task_acks_late": True, "task_reject_on_worker_lost": True, "task_acks_on_failure_or_timeout": False},
    "a prefix": {"broker_transport_options": {"global_keyprefix": "shop:"}},
    "priorities": {
        "task_default_priority": 4,
        "broker_transport_options": {"priority_steps": list(range(10)), "queue_order_strategy": "sorted", "sep": ":"},
    },
    "queues of a topic": {
        "task_create_missing_queues": False, "task_default_queue": "shop",
        "task_queues": [Queue("shop", Exchange("shop", "topic"), routing_key="shop.#")],
        "task_default_exchange": "shop", "task_default_exchange_type": "topic", "task_default_routing_key": "shop.any",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_canvases_run_under_the_settings_of_a_project(own_redis: str, tmp_path: Path, name: str) -> None:
    app = Celery("settings", broker=f"{own_redis}/0", backend=f"{own_redis}/1", set_as_current=False)
    segue = Segue(f"sqlite:///{tmp_path}/segue.db")
    segue.upgrade()
    install(app, segue, canvas="durable", lease_seconds=1)
    app.conf.update(SETTINGS[name])
    path = tmp_path / "failures"

    @app.task(name="add", shared=False)
    def add(x: int, y: int) -> int:
        return x + y

    @app.task(name="total", shared=False)
    def total(values: list[int]) -> int:
        return sum(values)

    @app.task(name="fail", shared=False)
    def fail() -> None:
        raise ValueError("broken")

    @app.task(name="again", shared=False, bind=True)
    def again(self: Any, value: int) -> int:
        if not self.request.retries:
            raise self.retry(countdown=0)
        return value

    @app.task(name="note", shared=False)
    def note(task_id: str) -> None:
        path.write_text(task_id)

    waiting = segue.start(chain(add.s(0, 1), add.s(1)))
    until = waiting.steps()[0].sent_until
    wait_until(lambda: repair(door_of(app)) > 0 or waiting.steps()[0].sent_until != until)
    assert waiting.steps()[0].attempt == 1  # it waits in the broker, and was not sent again
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=SECONDS):
        assert waiting.wait(timeout=SECONDS).result() == 2
        run = segue.start(chain(group(add.s(1, 1), again.s(2)), total.s(), again.s(), add.s(1)))
        assert run.wait(timeout=SECONDS).result() == 5
        failed = segue.start(chord([add.s(1, 1), fail.s().on_error(note.s())], total.s()))
        assert failed.wait(timeout=SECONDS).status == "failed"
        result = chain(fail.s(), add.si(1, 1)).apply_async()
        if name != "no results":
            with pytest.raises(ValueError, match="broken"):
                result.get(timeout=SECONDS)
    assert path.exists()
    segue.close()
    app.close()
