"""`segue dev`: a worker and the chores in one process, for development and for small installations.

Promise: it also does the chores, unless another process does them or `--no-chores` is given.
"""

from __future__ import annotations

import contextlib
import sys
import time
from functools import partial
from typing import Any

import click

from segue.cli.board import TO_START, ConsoleHandler, LiveBoard, LogBoard, Watch
from segue.cli.health_options import with_health_option
from segue.cli.logging_options import LogOptions, with_log_options
from segue.cli.metrics_options import gauges_of, with_metrics_option
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console
from segue.cli.reloading import Reloading
from segue.cli.web import pages_beside, with_web_option
from segue.cli.worker import (
    Banner,
    WorkerArguments,
    payloads_of,
    with_worker_arguments,
    words,
    work,
)
from segue.client.metrics import render_metrics
from segue.config import without_password
from segue.dispatcher.registry import executors
from segue.dispatcher.service import Dispatchers
from segue.loop.companions import companions
from segue.loop.measuring import measured
from segue.loop.vitals import reported
from segue.scheduler.chores import Chores


@click.command(short_help="A worker and the chores in one process, with a live view.")
@with_setup
@with_worker_arguments
@with_log_options
@with_health_option
@with_web_option
@with_metrics_option
@click.option("--no-reload", is_flag=True, help="Do not load changed code.")
@json_option
@pass_setup
def command(
    setup: Setup, /, log_options: LogOptions, health: str | None, metrics: str | None, web: int | None,
    no_reload: bool, as_json: bool, **worker_arguments: Any,
) -> None:  # fmt: skip
    """Run a worker and the chores in one process. On a terminal it shows the runs live; otherwise it logs.

    If the code has executors such as Slurm, it also takes steps to them.

    When a file of your code changes, running steps finish and the new code is loaded. It stops as `segue worker` does.

    \b
    Example:
      segue dev -A shop.tasks --database sqlite:///segue.db
    """
    hired = WorkerArguments(**worker_arguments)
    err = console(to_stderr=True)
    is_live = err.is_terminal and not as_json and log_options.is_plain
    log_options.set_up(ConsoleHandler(err) if is_live else None)
    began = time.time_ns()
    modules = setup.import_apps(required=True)
    with setup.segue() as segue:
        worker = hired.make(segue, modules)
        banner = Banner(worker, hired.options(), without_password(setup.url), words(hired.without), payloads_of(segue))
        board = LiveBoard(err, to_start=setup.follow_up(TO_START)) if is_live else LogBoard()
        reloading = Reloading(modules, worker.stop, began=began)
        requests: list[str] = []  # what people asked for by signals

        def say(text: str) -> None:
            requests.append(text)
            board.note(text)

        with contextlib.ExitStack() as beside_it:

            def begin() -> None:
                chores = None if hired.no_chores else Chores(segue.engine)
                beside_it.enter_context(
                    measured(
                        segue.engine, metrics, also=partial(render_metrics, segue, process=False), pulse=worker.vitals,
                        gauges=gauges_of(worker, banner.options, leads=lambda: bool(chores and chores.is_leading)),
                    )
                )  # fmt: skip
                beside_it.enter_context(reported(worker.vitals, health))
                (banner.print_json if as_json else banner.print)()
                beside_it.enter_context(board)
                beside_it.enter_context(Watch(setup, segue, board))
                beside_it.enter_context(pages_beside(segue, web, board.note))
                if not no_reload:
                    beside_it.enter_context(reloading)
                if chores is not None:
                    beside_it.enter_context(chores)
                    beside_it.enter_context(companions())
                if executors:
                    beside_it.enter_context(Dispatchers(segue.engine, list(executors.values())))

            forced = work(worker, on_ready=begin, say=say)
    if forced:
        sys.exit(128 + forced)
    if reloading.is_due and not requests:
        reloading.again()
