"""Which database a command works on, for itself and for the tasks that it runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from segue import Segue
from segue.cli.options import Setup
from segue.config import DATABASE_VARIABLE


def test_a_task_that_goes_elsewhere_still_means_the_database_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks make a `Segue()` of their own, and change the working directory."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(DATABASE_VARIABLE, "sqlite:///segue.db")
    of_the_command = Setup().segue()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert os.environ[DATABASE_VARIABLE] == f"sqlite:///{tmp_path}/segue.db"
    assert Segue().url == of_the_command.url


def test_what_was_typed_leaves_the_environment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATABASE_VARIABLE, "sqlite:///other.db")
    assert Setup(database=f"sqlite:///{tmp_path}/segue.db").segue().url == f"sqlite:///{tmp_path}/segue.db"
    assert os.environ[DATABASE_VARIABLE] == "sqlite:///other.db"
