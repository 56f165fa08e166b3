"""Output to the terminal: rich for people, plain if it is not a terminal, JSON for programs.

All text passes through `segue.terminal` and `segue.output`, so that it cannot control the terminal.
"""

from __future__ import annotations

import sys

from rich.console import Console, RenderableType

from segue.output import print_json, print_line, say_json, say_now
from segue.terminal import PrintableConsole

__all__ = ["console", "print_json", "print_line", "put", "say_json", "say_now"]

PLAIN_WIDTH = 160  # of tables in a file or a pipe


def console(*, to_stderr: bool = False) -> Console:
    """The console for people; colours only on a terminal, and not if NO_COLOR is set."""
    stream = sys.stderr if to_stderr else sys.stdout
    found = PrintableConsole(file=stream, highlight=False, emoji=False, markup=False, soft_wrap=False)
    if not found.is_terminal:
        found = PrintableConsole(file=stream, highlight=False, emoji=False, markup=False, width=PLAIN_WIDTH)
    return found


def put(out: Console, *renderables: RenderableType) -> None:
    """Print tables and the like; in a file or pipe, without the blanks that fill their last column."""
    if out.is_terminal:
        for renderable in renderables:
            out.print(renderable)
        return
    with out.capture() as captured:
        for renderable in renderables:
            out.print(renderable)
    print_line("\n".join(line.rstrip() for line in captured.get().splitlines()))
