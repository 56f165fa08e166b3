"""`segue cancel`: ends runs."""

from __future__ import annotations

import sys

import click
from rich.text import Text

from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json
from segue.cli.wording import status_text
from segue.errors import RunNotFoundError
from segue.model import RunStatus


@click.command(short_help="End runs.")
@with_setup
@click.argument("run_ids", metavar="RUN...", nargs=-1, required=True)
@json_option
@pass_setup
def command(setup: Setup, run_ids: tuple[str, ...], as_json: bool) -> None:
    """End runs: what has not begun never will, what runs is ended, finalizers still run.

    A run that is over stays as it is. With --json: a list of {id, status}. Exit code 1 when a run was not found.

    \b
    Example:
      segue cancel 019ab3 019ab4
    """
    done: list[dict[str, str]] = []
    missing: list[RunNotFoundError] = []
    out = console()
    with setup.segue() as segue:
        for run_id in run_ids:
            try:
                run = segue.get(run_id)
            except RunNotFoundError as error:
                missing.append(error)
                continue
            was = run.status
            status = run.cancel()
            done.append({"id": run.id, "status": status.value})
            if not as_json:
                out.print(Text.assemble(run.id, "  ", status_text(status.value), _remark(was, status)), soft_wrap=True)
    if as_json:
        print_json(done)
    for problem in missing:
        click.echo(f"segue: {problem}", err=True)
    if missing:
        sys.exit(1)


def _remark(was: RunStatus, status: RunStatus) -> str:
    if was.is_final:
        return "  it was over already"
    return "" if status.is_final else "  it is ending: what runs is asked to stop"
