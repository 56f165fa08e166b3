"""`segue worker`: runs steps until it is stopped.

Exit codes: 0 stopped as requested, running steps were finished or handed back; 1 it could not work; 2 invalid usage;
128 + the number of the signal if a second one, or SIGQUIT, made it abandon running steps.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click
from rich.text import Text

from segue.cli.completing import complete_queues
from segue.cli.durations import Duration, duration_option
from segue.cli.health_options import with_health_option
from segue.cli.logging_options import LogOptions, with_log_options
from segue.cli.metrics_options import gauges_of, with_metrics_option
from segue.cli.options import AnyCallable, Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, print_line, say_now
from segue.client import Segue
from segue.client.queues import queues_with_work
from segue.client.wording import counted
from segue.config import without_password
from segue.logs.setting import log
from segue.loop.companions import companions
from segue.loop.measuring import measured
from segue.loop.vitals import reported
from segue.model import DEFAULT_QUEUE
from segue.scheduler.chores import Chores
from segue.version import __version__
from segue.worker import launch
from segue.worker.options import WorkerOptions
from segue.worker.worker import Worker


@dataclass(frozen=True, slots=True)
class WorkerArguments:
    """The options of a worker, as typed."""

    concurrency: int | None
    pool: str
    queues: tuple[str, ...]
    lease_seconds: float
    grace_seconds: float
    patience_seconds: float
    max_jobs: int | None
    max_rss_mb: int | None
    no_chores: bool = False
    without: tuple[str, ...] = ()
    max_idle_seconds: float | None = None
    log_prints: bool = False

    def options(self, *, burst: bool = False) -> WorkerOptions:
        """The worker's options."""
        return WorkerOptions(
            queues=words(self.queues) or (DEFAULT_QUEUE,),
            concurrency=self.concurrency or launch.default_concurrency(self.pool),
            pool=self.pool,
            lease_seconds=self.lease_seconds,
            grace_seconds=self.grace_seconds,
            patience_seconds=self.patience_seconds,
            burst=burst,
            max_idle_seconds=self.max_idle_seconds,
        )

    def make(self, segue: Segue, modules: tuple[str, ...], *, burst: bool = False) -> Worker:
        """The worker."""
        log.prints = self.log_prints
        return launch.make_worker(
            segue.engine,
            self.options(burst=burst),
            modules=modules,
            max_jobs=self.max_jobs,
            max_rss_mb=self.max_rss_mb,
            without=words(self.without),
        )


def words(given: tuple[str, ...]) -> tuple[str, ...]:
    """The values given as `a,b` or by repeating the option, without duplicates."""
    return tuple(dict.fromkeys(word.strip() for each in given for word in each.split(",") if word.strip()))


_POSITIVE = click.IntRange(min=1)
_HIRING = (
    click.option(
        "--concurrency",
        "-c",
        type=_POSITIVE,
        metavar="NUMBER",
        help="Attempts at the same time. [default: the number of CPUs; 100 for async]",
    ),
    click.option(
        "--pool",
        type=click.Choice(["process", "thread", "async"]),
        default="process",
        show_default=True,
        help="Where tasks run: child processes, threads, or one event loop.",
    ),
    click.option(
        "--queue",
        "-q",
        "queues",
        shell_complete=complete_queues,
        multiple=True,
        metavar="NAME",
        help=f"Work on this queue (repeatable, or a,b,c). [default: {DEFAULT_QUEUE}]",
    ),
    duration_option(
        "--lease-seconds",
        kind=Duration(least=0.1),
        default="30s",
        help="How long the worker may be silent before its steps go to other workers.",
    ),
    duration_option(
        "--grace-seconds", default="30s", help="How long running steps may take to finish when the worker is stopped."
    ),
    duration_option(
        "--patience-seconds",
        default="30s",
        help="How long to wait at the start for an unreachable database.",
    ),
    click.option(
        "--max-jobs",
        type=_POSITIVE,
        metavar="NUMBER",
        help="Replace a child process after this many attempts. [process]",
    ),
    click.option(
        "--max-rss-mb",
        type=_POSITIVE,
        metavar="MIB",
        help="Replace a child process that uses more memory than this. [process]",
    ),
    click.option(
        "--without",
        multiple=True,
        metavar="TASKS",
        envvar="SEGUE_WITHOUT",
        help="Leave these tasks to other workers: some of shell,webhook,notify. [env: SEGUE_WITHOUT]",
    ),
    click.option("--log-prints", is_flag=True, help="Log what tasks print, too."),
    click.option("--no-chores", is_flag=True, help="Leave schedules, retention and the like to other processes."),
)


def with_worker_arguments(function: AnyCallable) -> AnyCallable:
    """Give a command the options of `WorkerArguments`."""
    for option in reversed(_HIRING):
        function = option(function)
    return function


@click.command(short_help="Run steps until stopped.")
@with_setup
@with_worker_arguments
@with_log_options
@with_health_option
@with_metrics_option
@click.option("--burst", is_flag=True, help="Stop when nothing is left to do, including timers. Does no chores.")
@duration_option(
    "--max-idle",
    "max_idle_seconds",
    kind=Duration(above=True),
    otherwise="never",
    help="Stop when there has been nothing to run for so long, whatever the timers say.",
)
@json_option
@pass_setup
def command(
    setup: Setup, /, log_options: LogOptions, health: str | None, metrics: str | None, burst: bool, as_json: bool,
    **worker_arguments: Any,
) -> None:  # fmt: skip
    """Run steps until stopped.

    SIGTERM, Ctrl-C or a closed terminal (SIGHUP) is a warm stop: running steps may finish within the grace period, and
    steps that have not begun are handed back. A second SIGTERM or Ctrl-C, or SIGQUIT, is a cold stop: running steps are
    ended and handed back, too. Neither counts as a try of the step.

    \b
    Example:
      segue worker -A shop.tasks -c 4 --queue default,mail
      segue worker -A shop.tasks --pool async -c 200
      segue worker -A shop.tasks --burst           work until nothing is left
      segue worker -A shop.tasks --max-idle 10m    end after ten minutes without work
    """
    hired = WorkerArguments(**worker_arguments)
    log_options.set_up()
    modules = setup.import_apps(required=True)
    with setup.segue() as segue:
        worker = hired.make(segue, modules, burst=burst)
        banner = Banner(
            worker, hired.options(burst=burst), without_password(setup.url), words(hired.without), payloads_of(segue)
        )  # fmt: skip
        with contextlib.ExitStack() as beside_it:

            def begin() -> None:
                chores = None if burst or hired.no_chores else Chores(segue.engine)
                gauges = gauges_of(worker, banner.options, leads=lambda: chores is not None and chores.is_leading)
                beside_it.enter_context(measured(segue.engine, metrics, pulse=worker.vitals, gauges=gauges))
                beside_it.enter_context(reported(worker.vitals, health))
                (banner.print_json if as_json else banner.print)()
                if chores is not None:
                    beside_it.enter_context(chores)
                    beside_it.enter_context(companions())

            forced = work(worker, on_ready=begin)
        if burst and not forced:
            _tell_left_over(setup, segue, hired.options().queues)
    if forced:
        sys.exit(128 + forced)


def _tell_left_over(setup: Setup, segue: Segue, queues: Sequence[str]) -> None:
    """A line about work on other queues: a burst that ends at once may have been for the wrong one."""
    others = [queue for queue in queues_with_work(segue) if queue not in queues]
    if others:
        words = ["segue worker", *(f"-A {app}" for app in setup.apps), f"--queue {shlex.quote(','.join(others))}"]
        command = setup.follow_up(" ".join(words))
        print_line(f"Steps are ready on other queues ({', '.join(others)}); work on them: {command}", to_stderr=True)


@dataclass(frozen=True, slots=True)
class Banner:
    """The description of a worker that is printed when it is ready."""

    worker: Worker
    options: WorkerOptions
    database: str
    without: tuple[str, ...] = ()
    payloads: str | None = None

    def print(self) -> None:
        """For people, on stderr, where the log goes."""
        with contextlib.suppress(OSError):  # work continues even if nothing can be printed
            console(to_stderr=True).print(self.text(), soft_wrap=True)

    def text(self) -> Text:
        """A title and one line for each fact."""
        options = self.options
        rows = (
            ("worker", self.worker.id),
            ("pool", f"{options.pool}, {counted(options.concurrency, 'attempt')} at once"),
            (counted(len(options.queues), "queue").partition(" ")[2], ", ".join(options.queues)),
            ("tasks", _named(launch.user_tasks())),
            *((("without", ", ".join(self.without)),) if self.without else ()),
            ("database", self.database),
            *((("payloads", self.payloads),) if self.payloads else ()),
        )
        text = Text.assemble(("segue", "bold"), f" {__version__}  ", ("ready", "bold green"))
        for label, value in rows:
            text.append(f"\n  {label:<9}", style="bright_black").append(f" {value}")
        return text

    def print_json(self) -> None:
        """For programs, one line on stdout."""
        options = self.options
        print_json(
            {
                "worker": self.worker.id,
                "pid": os.getpid(),
                "pool": options.pool,
                "concurrency": options.concurrency,
                "queues": list(options.queues),
                "tasks": launch.user_tasks(),
                "without": list(self.without),
                "database": self.database,
                "payloads": self.payloads,
                "version": __version__,
            }
        )


def payloads_of(segue: Segue) -> str | None:
    """The payload store of a worker, as it is shown."""
    payloads = segue.engine.payloads
    return None if payloads is None else payloads.place


def work(worker: Worker, *, on_ready: Callable[[], None], say: Callable[[str], object] | None = None) -> int:
    """Run the worker until it ends. Returns the number of the signal that made it abandon running steps, or 0.

    `say` is called in the signal handler; without it the text goes straight to stderr.
    """
    forced = 0
    tell = say or say_now

    def heard(number: int, count: int) -> None:
        nonlocal forced
        if count == 1:
            tell("Stopping: running steps are finished first. Ctrl-C or SIGTERM again ends them immediately.")
        elif count == 2:
            forced = number
            tell("Stopping now: running steps are ended and handed back.")

    def leave() -> None:
        tell("The database does not answer. Running steps go to other workers when the lease has expired.")
        os._exit(128 + forced)

    with launch.stopping_on_signals(worker, say=heard):
        worker.run(on_ready=on_ready, on_stuck=leave)
    return forced


def _named(tasks: list[str]) -> str:
    """The number of tasks, and the first few names."""
    first = ", ".join(tasks[:4])
    more = f", … {len(tasks) - 4} more" if len(tasks) > 4 else ""
    return f"{len(tasks):,}" + (f" ({first}{more})" if tasks else " (the modules define none)")
