"""Writes SVG. Every text and every attribute is escaped here, and nowhere else.

Promise: whatever the texts contain, the result is well-formed, and contains no element or attribute that the caller
did not write. There is no way to write raw markup, an event handler, a style or a script.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape

_TAGS = frozenset({"svg", "g", "a", "rect", "path", "circle", "line", "text", "tspan", "title", "desc", "polyline"})
_ODD = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")
_SAFE_LINK = re.compile(r"[/?#](?![/\\])[^\s\\]*|https?://[^\s\\]+|[?#]?")

Value = str | float | None


class Svg:
    """A picture that is being written.

    Example::

        svg = Svg()
        with svg.inside("svg", viewBox="0 0 100 20", class_="spark"):
            svg.leaf("rect", x=0, y=0, width=40, height=20, class_="is-failed")
            svg.text("load <b>", x=44, y=14)
        svg.written()
    """

    def __init__(self) -> None:
        self._parts: list[str] = []

    @contextmanager
    def inside(self, tag: str, **attributes: Value) -> Iterator[None]:
        """An element that contains what is written meanwhile."""
        self._parts.append(f"<{_tag(tag)}{_attributes(attributes)}>")
        yield
        self._parts.append(f"</{tag}>")

    def leaf(self, tag: str, **attributes: Value) -> None:
        """An element that contains nothing."""
        self._parts.append(f"<{_tag(tag)}{_attributes(attributes)}/>")

    def text(self, content: str, tag: str = "text", **attributes: Value) -> None:
        """An element that contains a text."""
        self._parts.append(f"<{_tag(tag)}{_attributes(attributes)}>{escape(shown(content))}</{tag}>")

    def title(self, content: str) -> None:
        """What a pointer that rests on the element shows."""
        self.text(content, "title")

    def written(self) -> str:
        """The SVG."""
        return "".join(self._parts)


def shown(text: str) -> str:
    """A text without characters that markup cannot contain, or that turn the direction of the rest."""
    return _ODD.sub("\ufffd", text)


def width_of(text: str) -> int:
    """About how many columns a text takes; wide characters take two."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def cut(text: str, columns: int) -> str:
    """A text in one line and at most so many columns; what is left out is where "…" stands."""
    line = " ".join(text.split())
    if width_of(line) <= columns:
        return line
    kept, used = "", 1
    for char in line:
        used += width_of(char)
        if used > columns or len(kept) > 4 * columns:
            break
        kept += char
    return f"{kept.rstrip()}…"


def number(value: float) -> str:
    """A coordinate, with one digit after the point at most."""
    return f"{value:.1f}".removesuffix(".0")


def _tag(tag: str) -> str:
    if tag not in _TAGS:
        raise ValueError(f"Pictures have no element <{tag}>.")
    return tag


def _attributes(attributes: dict[str, Value]) -> str:
    parts = []
    for key, value in attributes.items():
        if value is None:
            continue
        name = key.rstrip("_").replace("_", "-")
        if name == "style" or name.lower().startswith("on"):
            raise ValueError(f"Pictures have no attribute {name}: the policy of the pages forbids it.")
        if name == "href" and not (isinstance(value, str) and _SAFE_LINK.fullmatch(value)):
            continue  # a link that would run a script, or lead to another site without saying so
        text = shown(value) if isinstance(value, str) else number(value)
        parts.append(f' {name}="{escape(text)}"')
    return "".join(parts)
