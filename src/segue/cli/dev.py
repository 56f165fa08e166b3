"""`segue dev`: a worker and the chores in one process, for developing and for small installations.

Promise: what the tables need is done, too: runs that ended long ago are pruned, in small batches, now and then.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from datetime import timedelta
from typing import Any, Self

import click

from segue.cli.board import ConsoleHandler, LiveBoard, LogBoard, Watch
from segue.cli.db import age
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console
from segue.cli.wording import counted
from segue.cli.worker import LOG_FORMAT, Banner, Hiring, log_to_stderr, with_hiring, work
from segue.config import without_password
from segue.engine.engine import Engine
from segue.errors import SegueError

PRUNE_EVERY_SECONDS = 3600.0
PRUNE_PAUSE_SECONDS = 1.0  # between two batches, so that pruning is never in anybody's way

logger = logging.getLogger("segue.dev")


@click.command(short_help="A worker and the chores in one process, with a live view.")
@with_setup
@with_hiring
@click.option(
    "--retention", type=age, default="30d", metavar="AGE", help="Prune runs that ended longer ago. [default: 30d]"
)
@json_option
@pass_setup
def command(setup: Setup, /, retention: timedelta, as_json: bool, **hiring: Any) -> None:
    """Run a worker and the chores in one process. On a terminal it shows what the runs do; elsewhere it logs.

    It stops as `segue worker` does.

    \b
    Example:
      segue dev -A shop.tasks --database sqlite:///segue.db
    """
    hired = Hiring(**hiring)
    err = console(to_stderr=True)
    is_live = err.is_terminal and not as_json
    if is_live:
        logging.basicConfig(level=hired.log_level.upper(), format=LOG_FORMAT, handlers=[ConsoleHandler(err)])
    else:
        log_to_stderr(hired.log_level)
    modules = setup.import_apps(required=True)
    with setup.segue() as segue:
        worker = hired.make(segue, modules)
        banner = Banner(worker, hired.options(), without_password(segue.url))
        board = LiveBoard(err) if is_live else LogBoard()
        with contextlib.ExitStack() as beside_it:

            def begin() -> None:
                (banner.print_json if as_json else banner.print)()
                beside_it.enter_context(board)
                beside_it.enter_context(Watch(segue, board))
                beside_it.enter_context(Pruning(segue.engine, retention))

            forced = work(worker, on_ready=begin, say=board.note)
    if forced:
        sys.exit(128 + forced)


class Pruning:
    """Deletes old runs while its block lasts, in a thread of its own."""

    def __init__(self, engine: Engine, retention: timedelta) -> None:
        self._engine = engine
        self._retention = retention
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._prune, name="segue-pruning", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._thread.join()

    def _prune(self) -> None:
        pause = PRUNE_PAUSE_SECONDS
        total = 0
        while not self._ended.wait(pause):
            pause = PRUNE_EVERY_SECONDS
            try:
                pruned = self._engine.prune(older_than=self._retention)
            except SegueError as error:
                logger.warning("pruning failed, will try again: %s", error)
                continue
            total += pruned
            if pruned:
                pause = PRUNE_PAUSE_SECONDS
            elif total:
                logger.info("pruned %s that ended more than %s ago", counted(total, "run"), self._retention)
                total = 0
