"""Draws docs/screenshots/*.svg: `make screenshots`. What they show is what the commands say, in colour.

The programs are those of the README, saved from its blocks. Each picture is a dialogue in a terminal of 100 columns.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "screenshots"
COLUMNS = 100
RUN = "RUN"  # in a command: the run that was started last

_FILES = re.compile(r"^```python file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_RUN_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b")
_HOST = re.compile(r"\bon [\w.-]+:\d+")
_FONTS = re.compile(r"@font-face \{\{.*?\}\}", re.DOTALL)  # a picture asks no other host for fonts


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture: the commands that it shows, and those that come before without being seen."""

    title: str
    before: tuple[str, ...]
    shown: tuple[str, ...]


SHOTS = {
    "show": Shot(
        "a run that succeeded", ("segue start -A shop takings 2026-11-20", "segue worker -A shop --burst"),
        ("segue show RUN", "segue result RUN"),
    ),
    "failure": Shot(
        "a run that failed", ("segue start -A nightly nightly 2026-11-20", "segue worker -A nightly --burst"),
        ("segue show RUN --attempts",),
    ),
    "approval": Shot(
        "a run that waits", ("segue start -A article article Durability", "segue worker -A article --burst"),
        ("segue approvals", "segue explain RUN"),
    ),
}  # fmt: skip


def take(shot: Shot, folder: Path) -> str:
    """What a terminal shows, with its colours as ANSI sequences."""
    for name, text in _FILES.findall((ROOT / "README.md").read_text(encoding="utf-8")):
        (folder / name).write_text(text, encoding="utf-8")
    settings = {"SEGUE_DATABASE_URL": "sqlite:///shop.db", "COLUMNS": str(COLUMNS), "FORCE_COLOR": "1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SEGUE_", "NO_COLOR"))}
    environment = kept | settings | {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT / "src")}
    run, lines = "", []
    for command in (*shot.before, *shot.shown):
        typed = command.replace(RUN, run)
        words = [sys.executable, "-m", *shlex.split(typed)]
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=True)
        if found := _RUN_ID.search(done.stdout) if command.startswith("segue start") else None:
            run = found[0]
        if command in shot.shown:
            lines += [f"\x1b[1m$ {typed}\x1b[0m", done.stdout.rstrip("\n"), ""]
    return _HOST.sub("on box:4711", "\n".join(lines).replace(str(folder.resolve()), "/home/ann/tour"))


def picture(said: str, title: str) -> str:
    """The SVG of a terminal that shows this."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print(Text.from_ansi(said), end="")
        svg = console.export_svg(title=title, code_format=_FONTS.sub("", CONSOLE_SVG_FORMAT), unique_id="segue")
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for name, shot in SHOTS.items():
        with tempfile.TemporaryDirectory() as place:
            (PICTURES / f"{name}.svg").write_text(picture(take(shot, Path(place)), shot.title), encoding="utf-8")
        print(f"docs/screenshots/{name}.svg")
