"""`segue scheduler` as processes: one leads, another takes over, and each tick has one run whatever happens to them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from segue import Segue
from segue.scheduler.leader import LeaderInfo, leader_info
from segue.scheduler.looking import TickInfo
from tests.crash.worker_processes import eventually, freeze
from tests.system import cli_tasks

ROOT = Path(__file__).resolve().parents[2]
LEASE_SECONDS = 1.0


class Office:
    """A database with a schedule that ticks every second, and processes that do its chores."""

    def __init__(self, url: str, *, schedulers: int = 2) -> None:
        self.segue = Segue(url)
        self._started: list[subprocess.Popen[str]] = []
        self.segue.schedules.create(
            "seconds", cli_tasks.square, 3, schedule="every second", overlap="allow", catch_up="all"
        )
        self.staff = [self.hire("scheduler", "--lease-seconds", f"{LEASE_SECONDS:g}") for _ in range(schedulers)]

    def hire(self, *words: str) -> subprocess.Popen[str]:
        paths = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
        environment = os.environ | {"SEGUE_DATABASE_URL": self.segue.url, "PYTHONPATH": paths}
        process = subprocess.Popen(
            [sys.executable, "-m", "segue", *words, "--json", "-A", cli_tasks.__name__],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        self._started.append(process)
        return process

    def wait_until_ready(self) -> None:
        for process in self._started:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["pid"] == process.pid

    def leader(self) -> subprocess.Popen[str] | None:
        info = self.leader_info()
        if info is None or info.lease_until <= self.segue.engine.store.now():
            return None
        return next(process for process in self.staff if info.host.endswith(f":{process.pid}"))

    def leader_info(self) -> LeaderInfo | None:
        with self.segue.engine.reading() as tx:
            return leader_info(tx)

    def ticks(self) -> list[TickInfo]:
        return self.segue.schedules.ticks("seconds", limit=1000)[::-1]

    def wait_for_ticks(self, count: int) -> None:
        until = len(self.ticks()) + count
        eventually(lambda: len(self.ticks()) >= until)

    def wait_for_leader(self, *, other_than: subprocess.Popen[str]) -> subprocess.Popen[str]:
        leader: subprocess.Popen[str] = eventually(
            lambda: (found := self.leader()) is not None and found is not other_than and found, seconds=10
        )
        return leader

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        self.segue.close()


@pytest.fixture
def offices(make_sqlite_url: Callable[[], str], make_postgres_url: Callable[[], str]) -> Iterator[list[Office]]:
    """One for each kind of database; they work side by side, for most of the time is waiting."""
    made = [Office(make()) for make in (make_sqlite_url, make_postgres_url)]
    yield made
    for office in made:
        office.close()


def assert_each_second_has_one_run(office: Office) -> None:
    ticks = office.ticks()
    seconds = [int(info.tick.timestamp()) for info in ticks]
    assert seconds == list(range(seconds[0], seconds[0] + len(seconds)))
    assert {info.status for info in ticks} == {"started"}
    runs = {run.metadata["tick"]: run.id for run in office.segue.runs(limit=1000)}
    assert runs == {info.tick.isoformat(): info.run_id for info in ticks}
    assert len(office.segue.runs(limit=1000)) == len(ticks)
    assert office.segue.engine.broken_invariants() == []


def test_leaders_are_stopped_continued_and_killed_and_each_tick_has_one_run(offices: list[Office]) -> None:
    for office in offices:
        office.wait_until_ready()
    frozen = [eventually(office.leader) for office in offices]
    for office in offices:
        office.wait_for_ticks(1)
    for office, leader in zip(offices, frozen, strict=True):
        freeze(office.segue, leader.send_signal)
    others = [office.wait_for_leader(other_than=leader) for office, leader in zip(offices, frozen, strict=True)]
    for office in offices:
        office.wait_for_ticks(1)
    for leader in frozen:
        leader.send_signal(signal.SIGCONT)
    for office in offices:
        office.wait_for_ticks(1)
    for leader in others:
        leader.kill()
    for office, leader, other in zip(offices, frozen, others, strict=True):
        assert office.wait_for_leader(other_than=other) is leader
        office.wait_for_ticks(1)
        info = office.leader_info()
        assert info is not None
        assert info.term == 3
    for office, leader in zip(offices, frozen, strict=True):
        leader.send_signal(signal.SIGTERM)
        assert leader.wait(10) == 0
        assert office.leader() is None  # it gave up the lead, nobody need wait for its lease
        assert_each_second_has_one_run(office)


def test_a_worker_does_the_chores_beside_its_work(sqlite_url: str) -> None:
    office = Office(sqlite_url, schedulers=0)
    try:
        office.hire("worker", "--pool", "thread", "--no-chores")
        office.hire("worker", "--pool", "thread")
        ran = eventually(lambda: [tick for tick in office.ticks() if tick.run_status == "succeeded"])
        assert office.segue.get(ran[0].run_id).result() == 9
        info = office.leader_info()
        assert info is not None
        assert info.host.endswith(f":{office._started[1].pid}")
        assert (datetime.now(UTC) - info.since).total_seconds() < 60
    finally:
        office.close()
