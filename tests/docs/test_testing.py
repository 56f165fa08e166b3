"""The suite on the page about tests is a suite: pytest runs it, with the plugin that comes with Segue."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT, save_files


def test_the_suite_of_the_page_passes(fresh_place: Path) -> None:
    save_files(ROOT / "docs" / "testing.md", fresh_place)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=fresh_place, capture_output=True, text=True, check=False, timeout=120)
    assert "4 passed" in done.stdout, done.stdout + done.stderr
