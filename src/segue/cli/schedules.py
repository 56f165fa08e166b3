"""`segue schedules`: work that starts by itself."""

from __future__ import annotations

import click

from segue.cli import schedule_editing, schedule_looking
from segue.cli.usage import Commands


@click.group(cls=Commands, short_help="See and change schedules.")
def command() -> None:
    """See and change schedules. Workers and `segue scheduler` start the runs.

    \b
    Example:
      segue schedules list
      segue schedules create -A shop.tasks reports nightly --schedule '0 2 * * *' --timezone Europe/Paris
      segue schedules backfill reports --since 2026-11-01 --until 2026-11-19 --dry-run
    """


for verb in (
    schedule_looking.list_command,
    schedule_looking.show_command,
    schedule_editing.create_command,
    schedule_editing.update_command,
    schedule_editing.activate_command,
    schedule_editing.deactivate_command,
    schedule_editing.remove_command,
    schedule_editing.run_command,
    schedule_looking.next_command,
    schedule_editing.backfill_command,
    schedule_looking.ticks_command,
):
    command.add_command(verb)
