"""A process may fork while its threads use a SQLite file: their locks do not keep the child from the file."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from segue.store import open_store
from segue.store.sqlite_held import close_gate, open_gate

CHILD_SECONDS = 20.0
FORKS = 30


def write(store: object) -> None:
    with store.transaction() as tx:  # type: ignore[attr-defined]
        tx.all("count_runs")


def test_a_child_can_write_though_threads_wrote_when_it_was_forked(sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    write(store)
    is_over = threading.Event()

    def keep_writing() -> None:
        while not is_over.is_set():
            write(store)

    threads = [threading.Thread(target=keep_writing) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(FORKS):
            assert close_gate(CHILD_SECONDS)
            pid = os.fork()
            if not pid:
                try:
                    write(open_store(sqlite_url))
                finally:
                    os._exit(0)
            open_gate()
            assert ends(pid)
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
        store.close()


def ends(pid: int) -> bool:
    """Whether a child ends in time; it is killed otherwise."""
    end = time.monotonic() + CHILD_SECONDS
    while time.monotonic() < end:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.002)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return False


def test_no_thread_begins_while_the_gate_is_closed(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/gate.db")
    write(store)
    began = threading.Event()
    thread = threading.Thread(target=lambda: (write(store), began.set()))
    assert close_gate(1.0)
    try:
        thread.start()
        assert not began.wait(0.2)
    finally:
        open_gate()
    assert began.wait(10)
    thread.join()
    store.close()


@pytest.mark.parametrize("seconds", [0.05])
def test_a_thread_that_does_not_end_is_not_waited_for_without_end(tmp_path: Path, seconds: float) -> None:
    store = open_store(f"sqlite:///{tmp_path}/gate.db")
    write(store)
    entered, is_over = threading.Event(), threading.Event()

    def hold() -> None:
        with store.transaction():
            entered.set()
            is_over.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert entered.wait(10)
    assert close_gate(seconds)
    open_gate()
    is_over.set()
    thread.join()
    store.close()
