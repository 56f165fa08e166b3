"""A shop in which the commands of the pages have something to do: its code, its runs, and a shell in its folder.

Commands run in this process; those that work until they are stopped run as processes and are stopped when they are
ready.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from segue import Segue
from segue.authoring.declared import find_workflow
from segue.cli.root import segue as command_line
from segue.client import Run
from segue.errors import ScheduleNotFoundError
from segue.worker.inline import work_run

SHOP = """
from segue import task, wait_for, workflow


@task
def price(order: int) -> int:
    return order


@task(concurrency=2)
def load(path: str, chunk: int = 100) -> str:
    if path.startswith("d"):
        raise OSError(f"{path} is away")
    return path


@task
def rows(path: str) -> int:
    if path.startswith("b"):
        raise ValueError(f"{path} has no header")
    return 100


@task
def report(day: str) -> str:
    return day


@task
def publish(title: str = "news") -> str:
    return title


@task
def train(rate: float = 0.5) -> float:
    return rate


@task
def poll(place: str = "south") -> str:
    return place


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@task
def reindex(shop: str) -> str:
    return shop


@workflow
def nightly(day: str, shops: tuple[str, ...] = ()):
    prices = [price(order) for order in range(4)]
    return [report(day), publish.options(after=prices)(), train()]


@workflow
def broken(day: str):
    loads = load.map(["a.csv", "b.csv", "c.csv", "d.csv"])
    return [loads, rows.map(["a.csv", "b.csv"]), report(day), publish(), train(), price.map(list(range(10)))]


@workflow
def article():
    return [price.map(list(range(4))), publish(wait_for("approved", timeout=2 * 86400))]
"""
FIRST, SECOND = re.compile(r"\b(01a1fc28(-[\w-]+)?|cf7f2c17|4104e24d)\b"), re.compile(r"\b1fbecb5c\b")
SERVER = re.compile(r"postgresql://\S+")
UNENDING = ("worker", "dev", "scheduler")
STOP_SECONDS = 60


class Shop:
    """The shop, in a folder and with databases of its own."""

    def __init__(self, folder: Path, server: Callable[[], str]) -> None:
        self.folder = folder
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("SEGUE_")}
        url = f"sqlite:///{folder}/segue.db"
        self.environment |= {"SEGUE_DATABASE_URL": url, "SEGUE_APP": "shop.tasks", "COLUMNS": "150", "NO_COLOR": "1"}
        self._server = server
        (folder / "shop").mkdir()
        (folder / "shop" / "__init__.py").write_text("from shop import tasks\n")
        (folder / "shop" / "tasks.py").write_text(SHOP)
        (folder / "weblogs.py").write_text(SHOP.replace("def nightly(day", "def robust_day(day"))
        importlib.import_module("shop.tasks")
        self.segue = Segue(url)
        for name in ("nightly", "north", "spring"):
            self.segue.schedules.create(name, _workflow("nightly"), schedule="0 2 * * *", timezone="Europe/Paris")
        _work(self.segue, self.segue.start(_workflow("nightly"), "2026-11-19", key="2026-11-19", tags=["week-47"]))
        _work(self.segue, self.segue.start(_workflow("broken"), "2026-11-20", tags=["week-47"]))
        self.segue.start(_workflow("article"), key="cats", tags=["week-47"])
        self._looked_at: list[Run] = []  # the runs of commands that only look

    def close(self) -> None:
        self.segue.close()

    def type(self, line: str) -> str:
        """Run a `segue` command as a page has it; returns what it said. Fails when the command does.

        A file to which its output goes is left out.
        """
        words = [self._of_the_shop(word, line) for word in shlex.split(line.partition("  #")[0].partition(" > ")[0])]
        assert words[0] == "segue", line
        if words[1] in UNENDING and "--burst" not in words:
            with self._process(words[1:]):
                return ""
        self._let_there_be_schedules(words)
        with self._process(["worker"]) if "--wait" in words else nullcontext():
            result = CliRunner().invoke(command_line, words[1:], env=self.environment, prog_name="segue")
        assert result.exit_code == 0, f"{line}: exit code {result.exit_code}\n{result.output}{result.exception!r}"
        return str(result.output)

    def export(self, line: str) -> None:
        """`export NAME=VALUE ...`: what the shop is, not where its data are."""
        given = dict(word.split("=", 1) for word in shlex.split(line)[1:])
        self.environment |= {name: value for name, value in given.items() if name != "SEGUE_DATABASE_URL"}

    def _of_the_shop(self, word: str, line: str) -> str:
        word = SERVER.sub(lambda _: self._server(), word)
        for stands_for, number in ((FIRST, 0), (SECOND, 1)):
            if stands_for.search(word):
                word = stands_for.sub(self._run_for(line, number).id, word)
        return word

    def _run_for(self, line: str, number: int) -> Run:
        """A run on which this command has something to do; the commands that only look share one."""
        make = _MAKERS.get(line.split()[1])
        if make is not None:
            return make(self.segue)
        while len(self._looked_at) <= number:
            self._looked_at.append(_over(self.segue))
        return self._looked_at[number]

    def _let_there_be_schedules(self, words: list[str]) -> None:
        """The page removes the schedule `reports`, and goes on to show what else is done to it."""
        if words[1] == "schedules" and "reports" in words and words[2] != "create":
            with suppress(ScheduleNotFoundError):
                self.segue.schedules.get("reports")
                return
            self.segue.schedules.create("reports", _workflow("nightly"), schedule="0 2 * * *")

    @contextmanager
    def _process(self, words: list[str]) -> Iterator[None]:
        """A command that works until it is stopped: begun, then stopped at the end of the block."""
        environment = self.environment | {"PYTHONPATH": os.pathsep.join([*sys.path, str(self.folder)])}
        process = subprocess.Popen(
            [sys.executable, "-m", "segue", *words],
            cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            yield
            process.send_signal(signal.SIGTERM)
            said += process.communicate(timeout=STOP_SECONDS)[0]
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        assert process.returncode == 0, f"segue {words}: exit code {process.returncode}\n{said}"


def _work(segue: Segue, run: Run) -> None:
    work_run(segue.engine, run.id)


def _workflow(name: str) -> Any:
    return find_workflow(f"shop.tasks.{name}")


def _over(segue: Segue) -> Run:
    run = segue.start(_workflow("nightly"), "2026-11-20", tags=["backfill"], metadata={"customer": 42})
    _work(segue, run)
    return run


def _begun(segue: Segue) -> Run:
    return segue.start(_workflow("broken"), "2026-11-20")


def _paused(segue: Segue) -> Run:
    run = _begun(segue)
    run.pause()
    return run


def _failed(segue: Segue) -> Run:
    run = _begun(segue)
    _work(segue, run)
    return run


def _waiting(segue: Segue) -> Run:
    return segue.start(_workflow("article"))


_MAKERS = {
    "pause": _begun, "cancel": _begun, "resume": _paused, "retry": _failed, "skip": _failed, "mark": _failed,
    "edit": _begun, "fork": _over, "send": _waiting, "explain": _waiting,
}  # fmt: skip
