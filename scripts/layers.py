"""Draws docs/layers.svg from the layers in pyproject.toml: `make screenshots`."""

from __future__ import annotations

import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "layers.svg"

NOTES = {
    "contrib": "the app for Django",
    "cli | compat": "commands for people and programs │ names of older libraries",
    "bench": "how fast this machine is",
    "demo": "a real workflow over Python's standard library",
    "web": "pages and HTTP API: operations, pages, drawings, access",
    "remote": "the verbs over HTTP, for programs without the database",
    "testing": "tools for users' tests: time that moves, tasks that fail",
    "terminal": "colours, widths and keys of a terminal",
    "output": "what is printed",
    "client": "Segue(url), the object that users hold",
    "executors": "Celery, Dramatiq, Slurm, Kubernetes, AWS, commands",
    "worker | scheduler | dispatcher": "runs attempts │ does the chores │ pushes steps to clusters",
    "attempt | loop | logs": "from a job to its outcome │ when a loop turns │ the log",
    "authoring | engine": "how work is written │ what happens to it",
    "payloads": "long values outside of the database",
    "plan | store | timetable": "the graph as data │ the databases │ when schedules tick",
    "config | observing": "settings from outside │ events, observers, metrics, traces",
    "model | errors | clock | printable | masking | times | version": "the words of Segue as values; no I/O",
    "given | jsonable": "what calls say │ values as JSON",
}
"""What each row does. A row of pyproject.toml that is not here fails the test."""

COLOURS = {
    "people": "#fde8d7", "programs": "#e3f1e3", "heart": "#e8eef7", "ground": "#f1edf8",
}  # fmt: skip
STROKE = 'stroke="#44617b"'
LEFT, WIDTH, HEIGHT, GAP, TOP = 40, 560, 38, 7, 62


def rows() -> list[list[str]]:
    """The modules of each layer, the highest first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    [layers] = [each["layers"] for each in settings["contracts"] if each["id"] == "layers"]
    return [row.split(" | ") for row in layers if row != "__main__"]


def picture() -> str:
    """The SVG."""
    found = rows()
    height = TOP + len(found) * (HEIGHT + GAP) + 20
    size = f'viewBox="0 0 1040 {height}" width="1040" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title">',
        '  <title id="title">The layers of Segue; a module imports only from lower rows</title>',
        "  <style>",
        '    .name { font: 600 14px system-ui, "DejaVu Sans", sans-serif; text-anchor: middle; fill: #102a43; }',
        '    .note { font: 13px system-ui, "DejaVu Sans", sans-serif; fill: #486581; }',
        '    .head { font: 600 15px system-ui, "DejaVu Sans", sans-serif; fill: #102a43; }',
        "  </style>",
        f'  <rect width="1040" height="{height}" rx="8" fill="#ffffff"/>',
        '  <text x="40" y="38" class="head">A module imports from its own folder and from lower rows only</text>',
    ]
    kinds = _kinds(found)
    for number, (row, kind) in enumerate(zip(found, kinds, strict=True)):
        lines += _drawn(row, TOP + number * (HEIGHT + GAP), COLOURS[kind])
    bottom = height - 36
    lines.append(f'  <path d="M20 {TOP + 8} V{bottom} M15 {bottom - 8} L20 {bottom} L25 {bottom - 8}" '
                 'fill="none" stroke="#44617b" stroke-width="1.5"/>')  # fmt: skip
    return "\n".join([*lines, "</svg>", ""])


def _kinds(found: list[list[str]]) -> list[str]:
    """Above the client is what people use; below the engine is what everything stands on."""
    client = next(number for number, row in enumerate(found) if "client" in row)
    engine = next(number for number, row in enumerate(found) if "engine" in row)
    store = next(number for number, row in enumerate(found) if "store" in row)
    return [
        "people" if n < client else "programs" if n < engine else "heart" if n <= store else "ground"
        for n in range(len(found))
    ]


def _drawn(row: list[str], top: int, colour: str) -> list[str]:
    width = (WIDTH - GAP * (len(row) - 1)) / len(row)
    lines = []
    for number, name in enumerate(row):
        left = LEFT + number * (width + GAP)
        lines += [
            f'  <rect x="{left:.0f}" y="{top}" width="{width:.0f}" height="{HEIGHT}" rx="5" fill="{colour}" {STROKE}/>',
            f'  <text x="{left + width / 2:.0f}" y="{top + 24}" class="name">{escape(name)}</text>',
        ]
    note = escape(NOTES[" | ".join(row)])
    return [*lines, f'  <text x="{LEFT + WIDTH + 20}" y="{top + 24}" class="note">{note}</text>']


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    print(PICTURE.relative_to(ROOT))
