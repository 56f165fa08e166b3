"""A workflow of long values, and a payload store whose process dies."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from segue import Limit, task, workflow
from segue.payloads import FilePayloads

FOLDER, WORKER = "TEST_PAYLOADS", "TEST_PAYLOADS_WORKER"
LONG = 20_000


class Deadly:
    """Files; the child that stores the first one dies once it is there, and the one that reads it first, before."""

    def store(self, data: bytes, name: str) -> str:
        reference = self._files.store(data, name)
        self._die_once("store")
        return reference

    def retrieve(self, reference: str) -> bytes:
        self._die_once("retrieve")
        return self._files.retrieve(reference)

    @property
    def _files(self) -> FilePayloads:
        return FilePayloads(os.environ[FOLDER])

    def _die_once(self, what: str) -> None:
        if os.environ[WORKER] == str(os.getpid()):
            return
        with suppress(FileExistsError):  # another child was the first
            (Path(os.environ[FOLDER]) / f"died-{what}").touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)


deadly = Deadly()


@task(retries=3, retry_delay=0)
def write(letter: str) -> str:
    return letter * LONG


@task(retries=3, retry_delay=0)
def count(*texts: Any) -> int:
    return sum(len(text) for text in texts)


@task(retries=3, retry_delay=0)
def both(letters: list[str]) -> Any:
    return [letter * LONG for letter in letters]


@task(retries=3, retry_delay=0)
def table() -> dict[str, str]:
    return {"text": "e" * LONG, "customer": "acme"}


@task(retries=3, retry_delay=0, limits=[Limit("crash_payloads", 1, key="customer")])
def limited(customer: str) -> str:
    return customer


@workflow
def long_values(text: str) -> Any:
    first, second = write("a"), write("b")
    part, key = count(both(["c", "d"])[1]), limited(table()["customer"])
    return {"all": count(first, second, text), "part": part, "first": first, "key": key}


RESULT = {"all": 3 * LONG, "part": LONG, "first": "a" * LONG, "key": "acme"}
