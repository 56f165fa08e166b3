"""The command `segue`: one small module for each sub-command, imported when it is asked for.

==============  ====================================================================
`root`          the command itself: which sub-commands there are, how errors are told
`options`       what every sub-command takes: `--database`, `-A`, `--json`, `--debug`
`application`   imports the user's modules and finds a workflow by its name
`durations`     lengths of time as they are typed, the same in every option
`wording`       times, durations, counts, glyphs and colours, the same everywhere
`printing`      tables and text for people, JSON for programs
`records`       runs, steps, attempts and workers as JSON objects
`branches`      the steps of a run as a tree: scopes as branches, large groups folded
`pictures`      that tree, progress bars and headings as they are drawn
`board`         the newest runs, as `segue dev` shows them while it works
==============  ====================================================================

Importing this package imports none of them.
"""

from __future__ import annotations


def main() -> None:
    """The entry point of the command line."""
    from segue.cli.root import segue  # noqa: PLC0415 - the package stays free to import without click

    segue(prog_name="segue")
