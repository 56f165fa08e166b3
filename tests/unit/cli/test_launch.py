"""What a worker's options become: its pool, its queues, what signals do to it."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from segue import Segue, shell, webhook
from segue.authoring import find_task
from segue.cli.application import import_modules
from segue.cli.worker import Banner, WorkerArguments, payloads_of
from segue.errors import ConfigError, RunFailedError
from segue.model import RunStatus
from segue.worker import launch
from segue.worker.worker import WorkerOptions
from tests.unit.cli.conftest import APP, Shell


def worker_arguments(*queues: str, pool: str = "thread", concurrency: int | None = None) -> WorkerArguments:
    return WorkerArguments(concurrency, pool, queues, 30.0, 30.0, 0.0, None, None)


def test_queues_may_be_repeated_or_listed() -> None:
    assert worker_arguments("a,b", "c", " a ").options().queues == ("a", "b", "c")
    assert worker_arguments().options().queues == ("default",)


def test_concurrency_follows_the_pool_when_nobody_says() -> None:
    assert worker_arguments(pool="async").options().concurrency == launch.ASYNC_CONCURRENCY
    assert worker_arguments(pool="process").options().concurrency == os.cpu_count()
    assert worker_arguments(pool="thread", concurrency=7).options().concurrency == 7


@pytest.mark.parametrize("name", launch.POOLS)
def test_every_pool_can_be_made(name: str) -> None:
    pool = launch.make_pool(name, 2, modules=[APP])
    assert pool.in_flight == []
    pool.kill()


def test_a_pool_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="Choose from: process, thread, async, inline"):
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


class Asked:
    """What a worker is asked by signals."""

    def __init__(self) -> None:
        self.requests: list[str] = []

    def stop(self, *, at_once: bool = False) -> None:
        self.requests.append("at once" if at_once else "stop")


@pytest.mark.parametrize(
    "sent, requests, counts",
    [
        ([signal.SIGHUP], ["stop"], [1]),
        ([signal.SIGHUP, signal.SIGHUP, signal.SIGHUP], ["stop"], [1]),
        ([signal.SIGTERM, signal.SIGHUP], ["stop"], [1]),
        ([signal.SIGHUP, signal.SIGTERM], ["stop", "stop"], [1, 2]),
        ([signal.SIGQUIT], ["at once"], [2]),
        ([signal.SIGTERM, signal.SIGQUIT], ["stop", "at once"], [1, 2]),
    ],
    ids=str,
)
def test_a_terminal_that_closes_stops_it_warm_and_sigquit_cold(
    sent: list[int], requests: list[str], counts: list[int]
) -> None:
    worker, heard = Asked(), []
    with launch.stopping_on_signals(worker, say=lambda _, count: heard.append(count)):  # type: ignore[arg-type]
        for number in sent:
            signal.raise_signal(number)
    assert worker.requests == requests
    assert heard == counts


def test_what_nohup_ignores_stays_ignored() -> None:
    worker, before = Asked(), signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with launch.stopping_on_signals(worker):  # type: ignore[arg-type]
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert worker.requests == []


def test_the_banner_names_the_users_tasks_and_no_password(sqlite_url: str) -> None:
    import_modules([APP])
    assert f"{APP}.count" in launch.user_tasks()
    assert not {"segue.map", "segue.shell", "segue.flatten"} & set(launch.user_tasks())
    assert set(launch.user_tasks()) < set(launch.known_tasks())
    with Segue(sqlite_url) as segue:
        options = worker_arguments("mail", "print").options()
        worker = launch.make_worker(segue.engine, options)
        text = Banner(worker, options, "postgresql://me:***@host/db").text().plain
    assert "queues    mail, print" in text
    assert "thread, " in text
    assert "postgresql://me:***@host/db" in text
    assert "payloads" not in text


def test_the_banner_names_the_payload_store(sqlite_url: str) -> None:
    for store in ("file:///var/payloads", "shop.payloads:mine"):
        with Segue(sqlite_url, payloads=store) as segue:
            options = worker_arguments("mail", "print").options()
            worker = launch.make_worker(segue.engine, options)
            text = Banner(worker, options, "here", payloads=payloads_of(segue)).text().plain
        assert f"payloads  {store}" in text


def test_a_worker_takes_no_task_that_it_is_without_and_explain_says_so(sqlite_url: str) -> None:
    with Segue(sqlite_url) as segue:
        options = WorkerOptions(pool="thread", concurrency=1)
        worker = launch.make_worker(segue.engine, options, without=("shell", "notify"))
        ready = threading.Event()
        working = threading.Thread(target=lambda: worker.run(on_ready=ready.set))
        working.start()
        try:
            assert ready.wait(30)
            refused = segue.start(shell.s("exit 1"))
            batch = {"items": [["echo"]], "target": "segue.shell", "fixed": {"values": {}}, "star": False}
            hidden = segue.start(find_task("segue.map_batch").s(**batch))
            taken = segue.start(webhook.s("http://127.0.0.1:1", 1, retries=0))
            assert taken.wait(30).status is RunStatus.FAILED
            assert hidden.wait(30).info().error is not None
            assert refused.status is RunStatus.PENDING
            (reason,) = refused.explain()
            assert reason.code == "unknown_task"
            assert "--without shell" in reason.text
            with pytest.raises(RunFailedError, match=r"cannot call 'segue\.shell'"):
                hidden.result()
        finally:
            worker.stop()
            working.join()


def test_a_worker_can_only_be_without_what_is_built_in() -> None:
    with pytest.raises(ConfigError, match=r"'bash'.* can be without shell, webhook, notify"):
        launch.known_tasks(without=("bash", "shell"))


def test_what_a_worker_is_without_is_read_from_the_command_line_and_the_environment(sqlite_shell: Shell) -> None:
    for words, environment in (
        (["--without", "shell", "--without", "notify"], {}),
        ([], {"SEGUE_WITHOUT": "shell, notify"}),
    ):
        told = sqlite_shell.json("worker", "--burst", "--pool", "thread", *words, **environment)
        assert told["without"] == ["shell", "notify"]
    assert "'mail'" in sqlite_shell("worker", "--burst", "--without", "mail", exit_code=2).stderr
