"""What a worker's options become: its pool, its queues, what signals do to it."""

from __future__ import annotations

import os
import signal

import pytest

from segue import Segue
from segue.cli.application import import_modules
from segue.cli.worker import Banner, Hiring
from segue.errors import ConfigError
from segue.worker import launch
from segue.worker.worker import WorkerOptions
from tests.unit.cli.conftest import APP


def hiring(*queues: str, pool: str = "thread", concurrency: int | None = None) -> Hiring:
    return Hiring(concurrency, pool, queues, 30.0, 30.0, 0.0, None, None, "info")


def test_queues_may_be_repeated_or_listed() -> None:
    assert hiring("a,b", "c", " a ").options().queues == ("a", "b", "c")
    assert hiring().options().queues == ("default",)


def test_concurrency_follows_the_pool_when_nobody_says() -> None:
    assert hiring(pool="async").options().concurrency == launch.ASYNC_CONCURRENCY
    assert hiring(pool="process").options().concurrency == os.cpu_count()
    assert hiring(pool="thread", concurrency=7).options().concurrency == 7


@pytest.mark.parametrize("name", launch.POOLS)
def test_every_pool_can_be_made(name: str) -> None:
    pool = launch.make_pool(name, 2, modules=[APP])
    assert pool.in_flight == []
    pool.kill()


def test_a_pool_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="there are process, thread, async, inline"):
        launch.make_pool("fork", 2)
    with pytest.raises(ConfigError, match="the thread pool has none"):
        launch.make_pool("thread", 2, max_rss_mb=100)
    with pytest.raises(ConfigError, match="at least 1"):
        launch.make_pool("process", 0)


def test_signals_are_heard_while_the_block_lasts(sqlite_url: str) -> None:
    heard: list[tuple[int, int]] = []
    before = signal.getsignal(signal.SIGTERM)
    with Segue(sqlite_url) as segue:
        worker = launch.make_worker(segue.engine, WorkerOptions(pool="thread", concurrency=1))
        with launch.stopping_on_signals(worker, say=lambda number, count: heard.append((number, count))):
            signal.raise_signal(signal.SIGTERM)
            worker.run()  # it was stopped before it began, so it ends at once
            signal.raise_signal(signal.SIGINT)
    assert heard == [(signal.SIGTERM, 1), (signal.SIGINT, 2)]
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_banner_names_the_users_tasks_and_no_password(sqlite_url: str) -> None:
    import_modules([APP])
    assert f"{APP}.count" in launch.user_tasks()
    assert not {"segue.map", "segue.shell", "segue.flatten"} & set(launch.user_tasks())
    assert set(launch.user_tasks()) < set(launch.known_tasks())
    with Segue(sqlite_url) as segue:
        options = hiring("mail", "print").options()
        worker = launch.make_worker(segue.engine, options)
        text = Banner(worker, options, "postgresql://me:***@host/db").text().plain
    assert "queues    mail, print" in text
    assert "thread, " in text
    assert "postgresql://me:***@host/db" in text
