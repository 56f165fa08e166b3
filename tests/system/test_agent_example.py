"""The agent among the examples prints what its page says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "examples" / "agent"


def test_the_agent_books_once(tmp_path: Path) -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    promised = page.partition("```text\n")[2].partition("```")[0]
    done = subprocess.run(
        [sys.executable, str(FOLDER / "agent.py")], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == promised
    again = subprocess.run(
        [sys.executable, str(FOLDER / "agent.py")], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert "bookings: []" in again.stdout  # the run of this key has ended
