"""A place for the examples of one page, which forgets what they registered."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from segue.authoring import declared
from tests.conftest import only_tasks_of


@pytest.fixture
def fresh_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory and a database of its own; what the page registers is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEGUE_DATABASE_URL", f"sqlite:///{tmp_path}/segue.db")
    monkeypatch.syspath_prepend(str(tmp_path))
    tasks, workflows, modules = dict(declared.tasks), dict(declared.workflows), set(sys.modules)
    with only_tasks_of():
        yield tmp_path
    for known, before in ((declared.tasks, tasks), (declared.workflows, workflows)):
        known.clear()
        known.update(before)
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
