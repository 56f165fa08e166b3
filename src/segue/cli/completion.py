"""`segue completion`: prints the script that lets a shell complete `segue` commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from segue.cli import completing
from segue.cli.options import with_setup
from segue.cli.printing import print_line

SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print a script for the Tab key of your shell.")
@with_setup
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a script for bash, zsh or fish: it completes commands, options and names.

    Names are those of runs (short ids), steps, workflows, schedules, queues and limits, as they are in the database.

    \b
    Example:
      eval "$(segue completion bash)"                         in ~/.bashrc
      eval "$(segue completion zsh)"                          in ~/.zshrc
      segue completion fish > ~/.config/fish/completions/segue.fish
    """
    found = get_completion_class(shell)
    assert found is not None, f"click knows {shell}"
    print_line(found(ctx.find_root().command, {}, "segue", completing.VARIABLE).source().rstrip())
