"""Tracebacks, with the frames of the user's own code first: those of libraries rarely say what is wrong."""

from __future__ import annotations

import re

import msgspec

_FRAME = re.compile(r'  File "(?P<path>[^"\n]*)", line \d+')
_FOREIGN = re.compile(
    r"[/\\](site-packages|dist-packages|lib[/\\]python\d[^/\\]*|segue[/\\](attempt|worker|authoring))[/\\]|^<frozen"
)
MOST_OWN = 12


class Shown(msgspec.Struct, frozen=True):
    """A traceback in parts."""

    own: tuple[str, ...]  # the frames of the user's code, the deepest last
    error: str  # the lines that say what was raised
    whole: str
    others: int  # frames that are only in the whole


def shown_traceback(text: str) -> Shown:
    """A traceback in parts. A text that is none has only its whole."""
    own: list[str] = []
    others = 0
    frame: list[str] = []
    error: list[str] = []

    def close() -> None:
        nonlocal others, frame
        if frame:
            found = _FRAME.match(frame[0])
            if found is not None and not _FOREIGN.search(found["path"]):
                own.append("\n".join(line.removeprefix("  ") for line in frame))
            else:
                others += 1
        frame = []

    for line in text.splitlines():
        if _FRAME.match(line):
            close()
            frame = [line]
        elif frame and line.startswith("    "):
            frame.append(line)
        else:
            close()
            if line.startswith("Traceback (most recent call last)"):
                error = []
            elif line.strip():
                error.append(line)
    close()
    return Shown(tuple(own[-MOST_OWN:]), "\n".join(error) if own or others else "", text, others)


def shortened(text: str, most: int) -> str:
    """A text without its middle, if it is longer than `most` characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters …\n{text[-half:]}"
