"""`segue explain`: why a run or a step is not moving."""

from __future__ import annotations

import click
from rich.table import Table
from rich.text import Text

from segue.cli.completing import complete_runs, complete_steps
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, put
from segue.cli.reasons import drawn, reason_text
from segue.cli.show import named_steps
from segue.cli.suggestions import suggest
from segue.cli.wording import status_text
from segue.client.masked_views import without_secrets
from segue.client.records import reason_record
from segue.client.views import Reason

INDENT = 4  # of reasons


@click.command(short_help="Say why a run or a step is not moving.")
@with_setup
@click.argument("run_id", metavar="RUN", shell_complete=complete_runs)
@click.argument("step_name", metavar="[STEP]", required=False, shell_complete=complete_steps)
@json_option
@pass_setup
def command(setup: Setup, run_id: str, step_name: str | None, as_json: bool) -> None:
    """Say why a run, or the STEP of this name or number, is not moving: what it waits for, and what would move it.

    With --json: {id, status, reasons: [{code, step, text}]}.

    \b
    Example:
      segue explain 4104e24d
      segue explain 4104e24d 'parse[17]'
    """
    with setup.segue() as segue:
        run = segue.get(run_id)
        info = run.info()
        if step_name is None:
            reasons = run.explain()
        else:
            reasons = [reason for step in named_steps(run, step_name) for reason in run.explain(step.step)]
    reasons = [without_secrets(each) for each in reasons]
    if as_json:
        print_json({"id": run.id, "status": info.status.value, "reasons": [reason_record(each) for each in reasons]})
        return
    out = console()
    out.print(Text.assemble((info.workflow, "bold"), f"  {run.id}  ", status_text(info.status.value)))
    for reason in reasons:
        said, command = setup.follow_up(reason.text), ""
        if len(reason_text(Reason(reason.code, reason.step, said))) > out.width - INDENT:
            said, command = _without_command(said)
        look = drawn(reason.code)
        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(Text(f"  {look.glyph}", look.style), reason_text(Reason(reason.code, reason.step, said)))
        put(out, grid)
        if command:  # on a separate line, to be copied
            out.print(Text(" " * INDENT + command), soft_wrap=True)
    if step_name is None:
        suggest(out, setup, info)


def _without_command(text: str) -> tuple[str, str]:
    """A reason, and the command at its end if there is one."""
    said, colon, command = text.partition(": segue ")
    return (f"{said}:", f"segue {command}") if colon else (text, "")
