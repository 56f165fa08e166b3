"""The command `segue`: one small module for each sub-command, imported when the sub-command is used.

==============  ====================================================================
`root`          the command itself: the list of sub-commands, and how errors are shown
`completing`    what the Tab key completes
`usage`         wrong usage: messages, and what may have been meant
`options`       the options of every sub-command: `--database`, `-A`, `--json`, `--debug`
`application`   imports the user's modules and finds a workflow by its name
`durations`     durations on the command line, written the same in every option
`wording`       statuses with their glyphs and colours, the same everywhere
`printing`      tables and text for people, JSON for programs
`reasons`       why a run does not move, in one line or one word
`suggestions`   commands to type after a run that failed
`rendering`     draws the tree of a run's steps, progress bars and headings
`reloading`     lets `segue dev` load changed code
`board`         the newest runs, as `segue dev` shows them while it works
==============  ====================================================================

What web pages need as well is in `segue.client`: `records` (JSON), `step_tree` and `wording`.

Importing this package imports none of them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segue.cli.options import Setup


def main(words: Sequence[str] | None = None, setup: Setup | None = None) -> None:
    """The entry point of the command line. `words` are those of the shell, and `setup` is empty, when left out."""
    try:
        _run(words, setup)
    except KeyboardInterrupt:  # before the command began: it was still being imported
        raise SystemExit(130) from None


def _run(words: Sequence[str] | None, setup: Setup | None) -> None:
    from segue.worker import own_process  # noqa: PLC0415 - see below

    own_process.open_standard_descriptors()  # before anything opens a file
    if "_SEGUE_COMPLETE" in os.environ:
        from segue.cli import completing  # noqa: F401, PLC0415 - knows how to answer a shell
    from segue.cli.root import segue  # noqa: PLC0415 - the package can be imported without click

    try:
        segue(words, prog_name="segue" if setup is None else setup.program, obj=setup)
    except SystemExit as leaving:
        from segue.output import end_streams  # noqa: PLC0415 - see above

        end_streams()
        code = leaving.code
        own_process.leave_within(own_process.LEAVE_SECONDS, code if isinstance(code, int) else int(code is not None))
        raise
