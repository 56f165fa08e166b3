"""The command line as tests call it: in this process, on a database of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from segue.cli.root import segue
from tests.conftest import only_tasks_of

APP = "tests.unit.cli.shop_tasks"


class Shell:
    """Runs `segue ...`; `json` parses what it prints, and all commands share a database."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, *words: str, exit_code: int | None = 0, typed: str | None = None, **environment: str) -> Result:
        env = {"SEGUE_DATABASE_URL": self.url, "SEGUE_APP": APP} | environment
        result = CliRunner().invoke(segue, list(words), env=env, prog_name="segue", input=typed)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert exit_code is None or result.exit_code == exit_code, result.output
        return result

    def json(self, *words: str, exit_code: int = 0, **environment: str) -> Any:
        return json.loads(self(*words, "--json", exit_code=exit_code, **environment).stdout)

    def start(self, *words: str, exit_code: int = 0) -> str:
        run_id: str = self.json("start", *words, exit_code=exit_code)["id"]
        return run_id


@pytest.fixture(autouse=True)
def only_the_shop() -> Iterator[None]:
    with only_tasks_of("tests.unit.cli"):
        yield


@pytest.fixture
def shell(database_url: str) -> Shell:
    return Shell(database_url)


@pytest.fixture
def sqlite_shell(sqlite_url: str) -> Shell:
    return Shell(sqlite_url)


@pytest.fixture
def make_shell() -> Callable[[str], Shell]:
    return Shell
