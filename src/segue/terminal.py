"""Colours, tables and pictures for the command line, the demo and the benchmark: all their drawing uses this module.

Promise: no text of a task, an error or a name controls the terminal; see `printable`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from segue.output import leave_output
from segue.printable import printable


class PrintableConsole(Console):
    """A console that escapes control characters in its input, and obeys only its own."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Everything that rich prints goes through here, down to the cells of tables."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable() or segment.text == "\n":
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """The reader closed the pipe: end the command, unless only stderr is lost."""
        self.quiet = True
        if self.file is not sys.stderr:
            leave_output()
            raise SystemExit(1)
