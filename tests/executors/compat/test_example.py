"""The example project runs as its README says, with real workers."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import _state

from segue.errors import RunFailedError
from tests.executors.celery.conftest import wait_until
from tests.executors.compat.workers import running_worker

FOLDER = Path(__file__).parents[3] / "examples" / "celery_shop"
SECONDS = 40


@pytest.fixture
def shop(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:  # fmt: skip
    environment = {
        "SHOP_REDIS": redis_url, "SHOP_DATABASE": database_url, "SHOP_LEDGER": str(tmp_path / "ledger.txt"),
    }  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # Celery gives the tasks of a module to every app of the process: not those of other tests to this one, nor back
    of_celery = {make for make in _state._on_app_finalizers if make.__module__ == "celery.app.builtins"}
    monkeypatch.setattr(_state, "_on_app_finalizers", of_celery)
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    shop = importlib.import_module("shop")
    shop.deploy()
    with running_worker("shop", environment, tmp_path / "shop.log", queues="orders,stock,mail", folder=FOLDER):
        yield shop
    shop.segue.close()
    shop.app.close()


def test_an_order_waits_for_a_person_and_is_shipped(shop: Any) -> None:
    run = shop.place(7, "ann", ["book", "lamp"], is_urgent=True)
    assert shop.place(7, "ann", ["book", "lamp"]).id == run.id
    wait_until(lambda: [wait.name for wait in shop.segue.approvals.list()] == ["approved"], SECONDS)
    run.send("approved", {"ok": True, "by": "bob"})
    assert run.wait(timeout=SECONDS).result() == "shipped"
    lines = shop.LEDGER.read_text().splitlines()
    assert sorted(lines[:2]) == ["order 7: reserved book", "order 7: reserved lamp"]
    assert lines[2:] == ["order 7: shipped, approved by bob, priority 0", "dear ann: shipped"]
    queues = {step.name: step.queue for step in run.steps() if step.executor == "celery"}
    assert queues == {
        "reserve[0]": "@celery:stock", "reserve[1]": "@celery:stock", "total": "@celery:orders",
        "release": "@celery:stock", "ship": "@celery:orders", "write_to": "@celery:mail",
    }  # fmt: skip


def test_a_failed_order_gives_back_what_it_reserved_once(shop: Any) -> None:
    run = shop.place(8, "ann", ["book", "unicorn", "lamp"])
    with pytest.raises(RunFailedError, match="SoldOutError"):
        run.wait(timeout=SECONDS).result()
    lines = shop.LEDGER.read_text().splitlines()
    assert sorted(lines[:2]) == ["order 8: reserved book", "order 8: reserved lamp"]
    assert lines[2:] == ["order 8: released everything"]


def test_what_beat_did_is_a_schedule(shop: Any) -> None:
    info = shop.segue.schedules.get("stocktaking")
    assert (info.expression, info.timezone, info.workflow) == ("0 3 * * *", "Europe/Paris", "count_stock")
    first, second = (shop.segue.schedules.run_now("stocktaking") for _ in range(2))
    assert [run.wait(timeout=SECONDS).result() for run in (first, second)] == [3, 3]
    for run in (first, second):
        [step] = run.steps()
        assert shop.app.AsyncResult(step.handle).get(timeout=SECONDS) == 3
