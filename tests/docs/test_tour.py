"""The README's tour, typed into a shell: its commands work in the order given and say what it shows.

The ids of runs are those of this tour.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import README, ROOT, blocks, dialogue
from tests.docs.shown import RUN_ID, is_shown

STARTING = ("segue start", "segue fork")  # commands that tell the id of a new run


class Tour:
    """A folder, an environment, and which of our run ids stands for which of the page's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("SEGUE_")}
        self.environment |= {"COLUMNS": "100", "PYTHONPATH": str(ROOT / "src"), "NO_COLOR": "1"}
        self.ids: dict[str, str] = {}

    def type(self, command: str) -> str:
        """Run one line; returns what it said, on stdout and stderr."""
        if command.startswith("export "):
            self.environment |= dict(word.split("=", 1) for word in command.split()[1:])
            return ""
        for theirs, ours in self.ids.items():
            command = command.replace(theirs[-8:], ours[-8:])
        words = [sys.executable, "-m", *shlex.split(command)]
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout + done.stderr

    def learn(self, shown: str, said: str) -> None:
        """A command that starts a run tells its id."""
        for theirs, ours in zip(RUN_ID.findall(shown), RUN_ID.findall(said), strict=False):
            self.ids.setdefault(theirs, ours)


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
            if command.startswith(STARTING):
                tour.learn(shown, said)
            assert is_shown(shown, said), f"{command} says\n{said}"
            commands += 1
    assert commands > 8
    assert len(set(tour.ids.values())) == len(tour.ids) == 4
