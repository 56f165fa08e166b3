"""The suites of the page about FastAPI, and of the example project, pass."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT, save_files

EXAMPLE = ROOT / "examples" / "fastapi_orders"


def pytest_in(folder: Path) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    return done.stdout + done.stderr


def test_the_suite_of_the_page_passes(fresh_place: Path) -> None:
    save_files(ROOT / "docs" / "fastapi.md", fresh_place)
    said = pytest_in(fresh_place)
    assert "2 passed" in said, said


def test_the_suite_of_the_example_passes(tmp_path: Path) -> None:
    folder = shutil.copytree(EXAMPLE, tmp_path / "fastapi_orders", ignore=shutil.ignore_patterns("__pycache__"))
    said = pytest_in(folder)
    assert "4 passed" in said, said
