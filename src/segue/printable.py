"""Makes text from outside safe to show: terminal control characters are escaped instead of obeyed.

Output of tasks, error messages, names, keys and tags may contain escape sequences that clear a screen, write to a
clipboard or hide the text before them. `printable` keeps letters, newlines and tabs, and writes every other control
character as Python does: `\\x1b`.
"""

from __future__ import annotations

import re

_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f\ud800-\udfff]"
)  # C0, C1, changes of the writing direction, invisible line ends, invisible tags, halves of surrogate pairs

_OVERLAP = 200  # characters by which two ends of an output are laid over each other
_NOT_ASCII = re.compile("[^\x0a\x20-\x7e]")


def printable(text: str) -> str:
    """The text without terminal control characters; a carriage return before a newline is dropped.

    Example::

        printable("\\x1b[2Jgone\\n")  # the same as "\\\\x1b[2Jgone\\n"
    """
    if text.isprintable():  # most texts, at no cost
        return text
    return _STEERING.sub(_written, text.replace("\r\n", "\n"))


def in_json(text: str) -> str:
    """A JSON document with the same meaning and without terminal control characters."""
    return text if text.isprintable() else _STEERING.sub(_written_in_json, text)


def ascii_json(text: str) -> str:
    """A JSON document with the same meaning in ASCII."""
    return _NOT_ASCII.sub(_written_in_json, text)


def shortened(text: str, most: int) -> str:
    """The beginning of a text, made `printable`, with at most this many characters."""
    shown = printable(text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def added(before: str, now: str) -> str:
    """What is new in the end of an output, of which an earlier end was printed."""
    if now.startswith(before):
        return now[len(before) :]
    if now in before:  # what is kept of it lacks what the process around the task has added at its end
        return ""
    end = before[-_OVERLAP:]
    at = now.rfind(end)
    return now[at + len(end) :] if at >= 0 else now


def _written(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _written_in_json(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def first_line(text: str) -> str:
    """The first line, marked if there is more."""
    lines = text.strip().splitlines()
    return "" if not lines else lines[0] + (" …" if len(lines) > 1 else "")
