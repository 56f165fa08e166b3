"""The way to the terminal: rich for people, plain when it is no terminal, JSON for programs."""

from __future__ import annotations

import os
import sys
from typing import Any

import click
import msgspec
from rich.console import Console, RenderableType

PLAIN_WIDTH = 160  # of tables that go into a file or a pipe
_encode = msgspec.json.Encoder(enc_hook=str).encode


def console(*, to_stderr: bool = False) -> Console:
    """Where people read; colours only on a terminal, and not when NO_COLOR is set."""
    stream = sys.stderr if to_stderr else sys.stdout
    found = Console(file=stream, highlight=False, emoji=False, markup=False, soft_wrap=False)
    if not found.is_terminal:
        found = Console(file=stream, highlight=False, emoji=False, markup=False, width=PLAIN_WIDTH)
    return found


def put(out: Console, *renderables: RenderableType) -> None:
    """Print tables and the like; into a file or pipe without the blanks that fill their last column."""
    if out.is_terminal:
        for renderable in renderables:
            out.print(renderable)
        return
    with out.capture() as captured:
        for renderable in renderables:
            out.print(renderable)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def print_json(document: Any) -> None:
    """One JSON document on one line of stdout."""
    click.echo(_encode(document).decode())


def say_now(text: str) -> None:
    """Write a line on stderr from a signal handler, where buffered streams must not be touched."""
    os.write(2, f"\n{text}\n".encode() if os.isatty(2) else f"{text}\n".encode())
