"""Segue itself, measured in exactly the same way as the others."""

from __future__ import annotations

import os

from benchmarks.peers.rival import POSTGRES_VARIABLE, Rival, session_folder
from segue.bench.setting import WorkerChoice
from segue.bench.tasks import diamond, fan, line, single
from segue.client import Segue
from segue.config import DATABASE_VARIABLE


class SegueRival(Rival):
    durable = "yes: every result is committed before the steps that need it begin"

    def __init__(self, storage: str) -> None:
        self.name = f"segue-{storage}"
        self.setting = f"{storage}, one worker, 2 processes"
        self._url = (
            os.environ[POSTGRES_VARIABLE] if storage == "postgres" else f"sqlite:///{session_folder() / 'segue.db'}"
        )
        os.environ[DATABASE_VARIABLE] = self._url  # for the worker

    def prepare(self) -> None:
        self.segue = Segue(self._url)
        self.segue.upgrade()

    def commands(self) -> list[list[str]]:
        return [WorkerChoice("process", 2).command()]

    def chain(self, run: int, count: int) -> None:
        self.segue.start(line(run, count))

    def fan(self, run: int, width: int) -> None:
        self.segue.start(fan(run, width))

    def diamonds(self, run: int, count: int) -> None:
        self.segue.start_many(diamond, [(run, 5 * number) for number in range(count)])

    def enqueue(self, run: int, count: int) -> None:
        self.segue.start_many(single, [(run, node) for node in range(count)])

    def close(self) -> None:
        self.segue.close()
