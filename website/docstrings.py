"""Docstrings use single backquotes for code, as Markdown does; reStructuredText wants a role or two of them."""

from __future__ import annotations

import re
from typing import Any

_CODE = re.compile(r"(?<![`\w:])`([^`\n]+)`(?!`)")
_NAME = re.compile(r"[A-Za-z_][\w.]*(\(\))?")
_STAR = re.compile(r"(?<=\S)\*|\*(?=\S)")  # emphasis to reStructuredText; `* ` begins a list


def as_restructured_text(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Turn `name` into a link where there is such a name, and other code into a literal; examples stay as they are."""
    literal_indent: int | None = None
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if literal_indent is not None and line.strip() and indent <= literal_indent:
            literal_indent = None
        if literal_indent is None:
            lines[number] = _CODE.sub(_marked, _with_plain_stars(line))
            if line.rstrip().endswith("::"):
                literal_indent = indent


def _with_plain_stars(line: str) -> str:
    """Outside of code a star is a star."""
    parts = line.split("`")
    parts[::2] = [_STAR.sub(r"\\*", part) for part in parts[::2]]
    return "`".join(parts)


def _marked(found: re.Match[str]) -> str:
    code = found[1]
    return f":py:obj:`{code}`" if _NAME.fullmatch(code) else f"``{code}``"
