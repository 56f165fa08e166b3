"""Reads the pages of the documentation: their fenced blocks, links, headings and table rows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its info string in words, its text, and the line on which the text begins."""

    page: Path
    words: tuple[str, ...]
    text: str
    line: int

    @property
    def language(self) -> str:
        return self.words[0] if self.words else ""

    @property
    def label(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """The README and everything under docs/."""
    return [README, *sorted(DOCS.rglob("*.md"))]


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def doc(name: str) -> str:
    """The text of docs/NAME.md."""
    return text_of(DOCS / f"{name}.md")


def blocks(page: Path, *languages: str) -> list[Block]:
    """The fenced blocks of a page in these languages (all, when none is named)."""
    text = text_of(page)
    found = [
        Block(page, tuple(match[1].split()), match[2], text.count("\n", 0, match.start()) + 2)
        for match in _FENCE.finditer(text)
    ]
    return [block for block in found if not languages or block.language in languages]


def file_of(block: Block) -> str | None:
    """The name of the file that a block is: one with `file=NAME`."""
    return next((word.removeprefix("file=") for word in block.words if word.startswith("file=")), None)


def save_files(page: Path, folder: Path) -> None:
    """Save the blocks of a page that are files."""
    for block in blocks(page):
        name = file_of(block)
        if name is not None:
            (folder / name).write_text(block.text)


def dialogue(block: Block) -> list[tuple[str, str]]:
    """Each command of a console block, with what is shown under it."""
    parts = re.split(r"^\$ (.*)\n", block.text, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", text_of(page))


def code_words(page: Path) -> set[str]:
    """What stands in backquotes in the prose."""
    return set(_CODE.findall(prose(page)))


def links(page: Path) -> list[str]:
    return _LINK.findall(prose(page))


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as code forges make them."""
    return frozenset(_anchor(heading) for heading in _HEADING.findall(prose(page)))


def rows(text: str) -> list[list[str]]:
    """The cells of every table row, without the rules between head and body."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row in cells if not all(set(cell) <= set("-: ") for cell in row)]


def _anchor(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return kept.strip().replace(" ", "-")
