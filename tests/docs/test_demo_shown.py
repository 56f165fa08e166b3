"""The README shows what the demo says when it kills its own worker."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import README, blocks
from tests.docs.shown import is_shown


def without_numbers(text: str) -> str:
    return re.sub(r"\d+(\.\d+)?", "N", text)


def test_the_demo_that_kills_its_worker_says_what_the_readme_shows(tmp_path: Path) -> None:
    (block,) = (block for block in blocks(README, "text") if "demo" in block.words)
    done = subprocess.run(
        [sys.executable, "-m", "segue", "demo", "--crash", "--output", str(tmp_path)],
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    assert is_shown(without_numbers(block.text), without_numbers(done.stdout + done.stderr)), done.stdout
