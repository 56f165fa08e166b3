"""`segue scheduler`: does only the chores of a database, until it is stopped.

Exit codes: 0 stopped as requested; 1 the database is unreachable or has the wrong tables; 2 invalid usage.
"""

from __future__ import annotations

import os
import signal
import time
from functools import partial

import click
from rich.text import Text

from segue.authoring import declared
from segue.cli.durations import Duration, duration_option, typed_duration
from segue.cli.health_options import with_health_option
from segue.cli.logging_options import LogOptions, with_log_options
from segue.cli.metrics_options import gauges_of, with_metrics_option
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, say_now
from segue.client import Segue
from segue.client.metrics import render_metrics
from segue.client.wording import counted
from segue.config import without_password
from segue.errors import StoreUnavailableError
from segue.loop.companions import companions
from segue.loop.measuring import measured
from segue.loop.vitals import reported
from segue.observing.harmless_log import get_logger
from segue.scheduler.chores import Chores
from segue.scheduler.leader import LEASE_SECONDS
from segue.version import __version__

logger = get_logger("segue.chores")

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


@click.command(short_help="Do the chores: schedules, rescue, retention.")
@with_setup
@duration_option(
    "--lease-seconds",
    kind=Duration(least=1),
    default=typed_duration(LEASE_SECONDS),
    help="How long it may be silent before another process takes over.",
)
@duration_option(
    "--patience-seconds",
    default="30s",
    help="How long to wait at the start for an unreachable database.",
)
@with_log_options
@with_health_option
@with_metrics_option
@json_option
@pass_setup
def command(
    setup: Setup,
    lease_seconds: float,
    patience_seconds: float,
    log_options: LogOptions,
    health: str | None,
    metrics: str | None,
    as_json: bool,
) -> None:
    """Do the chores of a database until stopped: start scheduled runs, rescue lost steps, delete old runs.

    Workers do the chores as well, unless they have --no-chores. One process leads at a time, and another takes over
    within seconds. -A names the modules of the workflows that schedules start. Celery workers whose reports are polled
    (docs/celery.md) are followed. With --json it prints one line when it is ready.

    \b
    Example:
      segue scheduler -A shop.tasks
    """
    log_options.set_up()
    setup.import_apps()
    with setup.segue() as segue:
        _wait_for_database(segue, patience_seconds)
        chores = Chores(segue.engine, lease_seconds=lease_seconds)
        for number in _STOP_SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                signal.signal(number, lambda *_: _stop(chores))
        also, gauges = partial(render_metrics, segue, process=False), gauges_of(leads=lambda: chores.is_leading)
        with (
            companions(),
            measured(segue.engine, metrics, also=also, pulse=chores.vitals, gauges=gauges),
            reported(chores.vitals, health),
        ):
            _say_ready(segue, as_json=as_json)
            chores.run()


def _stop(chores: Chores) -> None:
    say_now("Stopping: another process may do the chores now.")
    chores.stop()


def _wait_for_database(segue: Segue, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with segue.engine.reading():
                return
        except StoreUnavailableError as error:
            if time.monotonic() >= deadline:
                raise
            logger.warning("%s Trying again for up to %.0f s.", error, deadline - time.monotonic())
        time.sleep(1)


def _say_ready(segue: Segue, *, as_json: bool) -> None:
    database, workflows = without_password(segue.url), sorted(declared.workflows)
    if as_json:
        print_json({"pid": os.getpid(), "workflows": workflows, "database": database, "version": __version__})
        return
    text = Text.assemble(("segue", "bold"), f" {__version__}  ", ("ready", "bold green"))
    for label, value in (("chores", counted(len(workflows), "workflow") + " known"), ("database", database)):
        text.append(f"\n  {label:<9}", style="bright_black").append(f" {value}")
    console(to_stderr=True).print(text, soft_wrap=True)
