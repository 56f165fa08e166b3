"""The suite on the page about tests is a suite: pytest runs it, with the plugin that comes with Segue."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT, blocks


def test_the_suite_of_the_page_passes(fresh_place: Path) -> None:
    for block in blocks(ROOT / "docs" / "testing.md", "python"):
        for word in block.words:
            if word.startswith("file="):
                (fresh_place / word.removeprefix("file=")).write_text(block.text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=fresh_place, capture_output=True, text=True, check=False, timeout=120)
    assert "4 passed" in done.stdout, done.stdout + done.stderr
