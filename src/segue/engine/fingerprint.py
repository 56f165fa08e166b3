"""The fingerprint of an error: the same for errors of the same kind, so that thousands of them are one line of a list.

It is made of the task, the type, the message without what differs from one time to the next (numbers, ids, quoted
texts, paths), and the deepest function of the user's code. Pure, and it never fails: any text has a fingerprint.
"""

from __future__ import annotations

import re
from hashlib import sha256

from segue.model import ErrorInfo

DIGITS = 16
ANY = "{}"
_MOST_OF_A_MESSAGE = 500
_MOST_OF_A_TRACEBACK = 20_000  # its end has the deepest frames
_QUOTED = re.compile(r"""(?<!\w)(?:'[^'\n]*'|"[^"\n]*"|`[^`\n]*`)(?!\w)""")
_WORD = re.compile(r"[\w.:/\\+~@#=&?%-]+")
_HEX = re.compile(r"[0-9a-fA-F]{8,}")
_FRAME = re.compile(r'^ +File "([^"\n]+)", line \d+, in (.+)$', re.MULTILINE)
_FOREIGN = re.compile(r"[/\\](?:site-packages|dist-packages|lib[/\\]python3[^/\\]*|segue)[/\\]|^<")
_ENDS = ".:,"


def fingerprint_of(task: str | None, error: ErrorInfo) -> str:
    """16 hexadecimal digits. Example::

    fingerprint_of("shop.load", ErrorInfo("ValueError", "2026-11-20.csv has no header"))
    """
    parts = (task or "", error.type, template_of(error.message), place_of(error.traceback))
    return sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:DIGITS]


def template_of(message: str) -> str:
    """A message with `{}` in the place of what differs: "{} has no header"."""
    text = _QUOTED.sub(ANY, message[:_MOST_OF_A_MESSAGE])
    return " ".join(_WORD.sub(lambda found: _without_values(found[0]), text).split())


def place_of(traceback: str) -> str:
    """The deepest function of the user's code, "tasks:load"; else of all code; "" if none is known."""
    frames = _FRAME.findall(traceback[-_MOST_OF_A_TRACEBACK:].rpartition("Traceback (most recent call last)")[2])
    own = [frame for frame in frames if not _FOREIGN.search(frame[0])] or frames
    if not own:
        return ""
    path, function = own[-1]
    file = re.split(r"[/\\]", path)[-1]
    return f"{file.removesuffix('.py')}:{function}"


def _without_values(word: str) -> str:
    bare = word.rstrip(_ENDS)
    differs = any(char.isdigit() for char in bare) or "/" in bare.strip("/") or "\\" in bare or _HEX.fullmatch(bare)
    return ANY + word[len(bare) :] if differs else word
