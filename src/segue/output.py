"""Plain output, without colours and tables: lines of text and of JSON, and their streams.

Promises: printing never ends in a traceback, whatever the output is: a file on a full disk, a closed pipe, an encoding
without the symbols that Segue draws, a descriptor that is not open. JSON keeps its meaning in every encoding. Imports
nothing that loads slowly.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import sys
from typing import Any, TextIO

import msgspec

from segue.printable import ascii_json, in_json, printable

_ERRORS = "segue.plainer"
_PLAINER = str.maketrans(
    {
        "✓": "+", "✗": "x", "○": "o", "·": ".", "◌": "o", "▶": ">", "‖": "|", "↷": "~", "⊘": "-", "↩": "<", "…": "...",
        "→": "->", "▸": ">", "◷": "o", "×": "x", "–": "-", "—": "-", "│": "|", "┃": "|", "├": "|", "└": "`", "┌": ",",
        "─": "-", "━": "=", "╸": "=", "╺": "-", "█": "#", "▉": "#", "▊": "#", "▋": "#", "▌": "#", "▍": "#", "▎": "#",
        "▏": "#", "░": ".", "▒": ":", "▓": "#", "▁": "_", "▂": "_", "▃": "-", "▄": "-", "▅": "=", "▆": "=", "▇": "#",
        "’": "'", "‘": "'", "“": '"', "”": '"', "\xa0": " ", "•": "*", "°": " deg",
    }
)  # fmt: skip
_encode = msgspec.json.Encoder(enc_hook=str).encode


def print_line(text: str, *, to_stderr: bool = False) -> None:
    """A line of text for people."""
    _write(sys.stderr if to_stderr else sys.stdout, f"{printable(text)}\n")


def print_json(document: Any) -> None:
    """Print one JSON document on one line of stdout."""
    say_json(_encode(document).decode())


def say_json(text: str) -> None:
    """Print a line of JSON on stdout, escaped if the encoding lacks some of its characters."""
    is_unicode = _encoding_of(sys.stdout).startswith("utf")
    _write(sys.stdout, f"{in_json(text) if is_unicode else ascii_json(text)}\n")


def say_now(text: str) -> None:
    """Write a line on stderr from a signal handler, where buffered streams must not be touched."""
    line = f"\n{text}\n" if os.isatty(2) else f"{text}\n"
    with contextlib.suppress(OSError):
        os.write(2, line.encode("ascii", "replace"))


def fit_streams() -> None:
    """Let stdout and stderr accept every text: characters that their encoding lacks are replaced."""
    codecs.register_error(_ERRORS, _plainer)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it was closed when this process began
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for as long as the process lives
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ERRORS)


def leave_output() -> None:
    """Discard the remaining output, so that the process can end without an error."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)


def end_streams() -> None:
    """Flush the buffers; a broken stream must not decide the exit code when Python ends."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            with contextlib.suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, number)
                os.close(nowhere)


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        if stream is sys.stderr:
            return  # stderr does not work either
        leave_output()
        if error.errno == errno.EPIPE:
            raise SystemExit(1) from None
        raise


def _encoding_of(stream: TextIO) -> str:
    return (getattr(stream, "encoding", None) or "ascii").lower()


def _plainer(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAINER)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end
