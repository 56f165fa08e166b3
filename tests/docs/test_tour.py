"""The README's tour, typed into a shell: its commands work in the order given and say what it shows.

Compared are words, not times, process ids or places. The ids of runs are those of this tour.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import README, ROOT, Block, blocks

RUN_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}(?:-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})?\b")
WORD = re.compile(r"[A-Za-z_]{3,}")
PASSING = {"min", "now", "ago", "just", "tmp", "tour"}  # what tells times and places


class Tour:
    """A folder, an environment, and which of our run ids stands for which of the page's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("SEGUE_")}
        self.environment |= {"COLUMNS": "150", "PYTHONPATH": str(ROOT / "src"), "NO_COLOR": "1"}
        self.ids: dict[str, str] = {}

    def type(self, command: str) -> str:
        """Run one line; returns what it said, on stdout and stderr."""
        if command.startswith("export "):
            self.environment |= dict(word.split("=", 1) for word in command.split()[1:])
            return ""
        for theirs, ours in self.ids.items():
            command = command.replace(theirs[:13], ours)
        words = [sys.executable, "-m", *command.split()]
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout + done.stderr

    def learn(self, shown: str, said: str) -> None:
        """A command that starts a run tells its id."""
        for theirs, ours in zip(RUN_ID.findall(shown), RUN_ID.findall(said), strict=False):
            self.ids.setdefault(theirs, ours)


def dialogue(block: Block) -> list[tuple[str, str]]:
    """Each command of a console block, with what is shown under it."""
    parts = re.split(r"^\$ (.*)\n", block.text, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def test_the_tour_says_what_it_shows(tmp_path: Path) -> None:
    tour = Tour(tmp_path)
    commands = 0
    for block in blocks(README, "python", "console"):
        if block.language == "python":
            for word in block.words[1:]:
                (tmp_path / word.removeprefix("file=")).write_text(block.text)
            continue
        for command, shown in dialogue(block):
            said = tour.type(command)
            if command.startswith("segue start"):
                tour.learn(shown, said)
            missing = words_of(shown) - words_of(said) - PASSING
            assert missing == set(), f"{command} does not say {missing}:\n{said}"
            commands += 1
    assert commands > 8
    assert len(set(tour.ids.values())) == len(tour.ids) == 2


def words_of(text: str) -> set[str]:
    return set(WORD.findall(RUN_ID.sub("", text)))
