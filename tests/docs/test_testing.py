"""The suites of the page about tests, and of the shop on SQLAlchemy: pytest runs them, with the plugin of Segue."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, save_files

SHOP = ROOT / "examples" / "sqlalchemy_shop"


def test_the_suite_of_the_page_passes(fresh_place: Path) -> None:
    save_files(ROOT / "docs" / "testing.md", fresh_place)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=fresh_place, capture_output=True, text=True, check=False, timeout=120)
    assert "4 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_the_suite_of_the_shop_on_sqlalchemy_passes(
    dialect: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = shutil.copytree(SHOP, tmp_path / "shop", ignore=shutil.ignore_patterns("__pycache__"))
    environment = dict(os.environ)
    if dialect == "postgres":
        environment["SHOP_SERVER"] = request.getfixturevalue("postgres_server_url")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", "."]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )  # fmt: skip
    assert "5 passed" in done.stdout, done.stdout + done.stderr
