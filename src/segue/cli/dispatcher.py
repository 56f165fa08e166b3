"""`segue dispatcher`: takes steps to executors such as Slurm, and follows them there, until it is stopped.

Exit codes: 0 stopped as requested; 1 the database is unreachable or has the wrong tables; 2 invalid usage.
"""

from __future__ import annotations

import os
import signal
import threading

import click
from rich.text import Text

from segue.cli.health_options import with_health_option
from segue.cli.logging_options import LogOptions, with_log_options
from segue.cli.metrics_options import with_metrics_option
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, say_now
from segue.cli.worker import words
from segue.config import DATABASE_VARIABLE, without_password
from segue.dispatcher.protocol import PolledExecutor
from segue.dispatcher.registry import executors
from segue.dispatcher.service import Dispatchers
from segue.errors import ConfigError
from segue.loop.measuring import measured
from segue.loop.vitals import reported
from segue.version import __version__

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


@click.command(short_help="Take steps to executors such as Slurm, and follow them there.")
@with_setup
@click.option(
    "--executor", "names", multiple=True, metavar="NAME", help="Only this executor (repeatable, or a,b). [default: all]"
)
@with_log_options
@with_health_option
@with_metrics_option
@json_option
@pass_setup
def command(
    setup: Setup, names: tuple[str, ...], log_options: LogOptions, health: str | None, metrics: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Take steps to executors that are polled, and follow them there, until stopped.

    -A names the modules that define the executors. It may die at any time, and several may run at once: what is outside
    goes on, and the database says what to do next. With --json it prints one line when it is ready.

    \b
    Example:
      segue dispatcher -A shop.tasks
    """
    log_options.set_up()
    setup.import_apps(required=True)
    chosen = _chosen(words(names))
    with setup.segue() as segue:
        with segue.engine.reading():
            pass  # raises if there is no such database
        os.environ.setdefault(DATABASE_VARIABLE, segue.url)  # for executors that start processes of this machine
        is_over = threading.Event()
        for number in _STOP_SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                signal.signal(number, lambda *_: is_over.set())
        with (
            Dispatchers(segue.engine, chosen) as dispatchers,
            measured(segue.engine, metrics, pulse=dispatchers.vitals),
            reported(dispatchers.vitals, health),
        ):
            _say_ready(segue.url, chosen, as_json=as_json)
            is_over.wait()
            say_now("Stopping: what is outside goes on, and the next dispatcher follows it.")


def _chosen(names: tuple[str, ...]) -> list[PolledExecutor]:
    unknown = sorted(set(names) - executors.keys())
    if unknown or not executors:
        there_are = f"there are {', '.join(sorted(executors))}" if executors else "they define none"
        what = f"no executor {', '.join(map(repr, unknown))}" if unknown else "no executor that is polled"
        raise ConfigError(
            f"The modules define {what}; {there_are}. Make one in a module that -A names, such as "
            "Slurm('hpc', folder='/shared/segue')."
        )
    return [executors[name] for name in names or sorted(executors)]


def _say_ready(url: str, chosen: list[PolledExecutor], *, as_json: bool) -> None:
    names, database = [executor.name for executor in chosen], without_password(url)
    if as_json:
        print_json({"pid": os.getpid(), "executors": names, "database": database, "version": __version__})
        return
    text = Text.assemble(("segue", "bold"), f" {__version__}  ", ("ready", "bold green"))
    for label, value in (("executors", ", ".join(names)), ("database", database)):
        text.append(f"\n  {label:<9}", style="bright_black").append(f" {value}")
    console(to_stderr=True).print(text, soft_wrap=True)
