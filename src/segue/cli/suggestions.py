"""Commands that are likely to be typed next, after a run that failed."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from segue.cli.options import Setup
from segue.client.views import RunInfo
from segue.model import RunStatus, short_id


def suggest(out: Console, setup: Setup, run: RunInfo, *, has_seen_attempts: bool = False) -> None:
    """Print the commands that help with a run that failed; nothing for any other run."""
    if run.status is not RunStatus.FAILED:
        return
    short = short_id(run.id)
    commands = {"run its failed steps again": f"segue retry {short}"}
    if not has_seen_attempts:
        commands = {"its errors and output": f"segue show {short} --attempts"} | commands
    out.print()
    for purpose, command in commands.items():
        out.print(Text(f"{purpose}: {setup.follow_up(command)}", "bright_black"), soft_wrap=True)
