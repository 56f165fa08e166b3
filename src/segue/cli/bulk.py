"""Verbs that are said to runs: `segue pause`, `resume`, `cancel` and the like share their options and their report.

A command is written so::

    @click.command(short_help="Pause runs.")
    @with_setup
    @bulk_options                                   # RUN..., the filters, --dry-run, --yes, --reason, --json
    @click.option("--stop-running", is_flag=True)   # what is the verb's own
    @pass_setup
    def command(setup: Setup, asked: Asked, stop_running: bool) -> None:
        verb = partial(pause_run, stop_running=stop_running, actor=asked.actor, reason=asked.reason)
        say(setup, asked, Saying("pause", "paused", verb, among=LIVE))

The verb is of the engine: `(store, tx, run_id, now) -> Done`. With ids it is said to each of those runs; with filters
to those that match and have a status in `among`, which are told before and must be confirmed on a terminal. Each run is
a transaction of its own.
"""

from __future__ import annotations

import getpass
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import click
from rich.text import Text

from segue.cli.choosing import filter_options
from segue.cli.options import AnyCallable, Setup, json_option
from segue.cli.printing import console, print_json, put
from segue.cli.records import run_record
from segue.cli.runs import runs_table
from segue.cli.wording import counted, status_text
from segue.client import Segue
from segue.client.selection import Applied, Selection
from segue.engine.verbs import Done, Verb
from segue.engine.views.look import run_info
from segue.errors import RunNotFoundError, SegueError
from segue.model import RunStatus

SHOWN = 10  # runs that are listed before a verb is said to them
TOLD = 50  # and afterwards; further ones are only counted


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed: which runs, and how to go about it."""

    run_ids: tuple[str, ...]
    filters: dict[str, Any]  # as `Segue.select` takes them; only those that were given
    is_dry_run: bool
    is_sure: bool
    reason: str | None
    as_json: bool

    @property
    def actor(self) -> str:
        """Who says it, for the verb."""
        return this_person()


def _no_remark(done: Done) -> str:
    return "" if done.changed else "it was so already"


@dataclass(frozen=True, slots=True)
class Saying:
    """A verb, and how it is told: "pause", "paused"."""

    name: str
    participle: str
    verb: Verb
    among: Sequence[RunStatus]  # filters choose among runs with one of these statuses
    remark: Callable[[Done], str] = field(default=_no_remark)  # behind a run's status


def this_person() -> str:
    """user@host: who is written down as having said it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without a name for this user
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def bulk_options(function: AnyCallable) -> AnyCallable:
    """The arguments and options of a verb; the function takes them as `asked`."""

    @wraps(function)
    def gathered(
        *args: Any, run_ids: tuple[str, ...], filters: dict[str, Any], is_dry_run: bool, is_sure: bool,
        reason: str | None, as_json: bool, **options: Any,
    ) -> Any:  # fmt: skip
        if bool(run_ids) == bool(filters):
            raise click.UsageError(
                "Name the runs by their ids, or choose them by filters such as --workflow and --status"
                + ("; not both." if run_ids else ".")
            )
        asked = Asked(run_ids, filters, is_dry_run, is_sure, reason, as_json)
        return function(*args, asked=asked, **options)

    for option in (
        json_option,
        click.option("--reason", metavar="TEXT", help="Why; it is written down with who did it."),
        click.option("--yes", "-y", "is_sure", is_flag=True, help="Do not ask before runs that filters chose."),
        click.option("--dry-run", "is_dry_run", is_flag=True, help="Only tell which runs it would be."),
        filter_options,
        click.argument("run_ids", metavar="[RUN]...", nargs=-1),
    ):
        gathered = option(gathered)
    return gathered  # type: ignore[return-value]


def say(setup: Setup, asked: Asked, saying: Saying) -> None:
    """Say the verb to the runs that were asked for, and tell what came of it; exit code 1 when it failed for some."""
    with setup.segue() as segue:
        ids, missing = _named(segue, asked.run_ids)
        selection = segue.select(ids=ids) if asked.run_ids else segue.select(**asked.filters).among(saying.among)
        if asked.is_dry_run:
            _rehearse(setup, segue, selection, asked, saying, missing)
            sys.exit(1 if missing else 0)
        if asked.filters and not _is_confirmed(segue, selection, asked, saying):
            return
        report = _Report(setup, asked, saying)
        applied = selection.apply(saying.verb, among=saying.among, on_each=report.note)
    report.finish(applied, missing)
    if missing or applied.errors:
        sys.exit(1)


class _Report:
    """Tells each run as it is dealt with, and the sum at the end."""

    def __init__(self, setup: Setup, asked: Asked, saying: Saying) -> None:
        self._setup = setup
        self._asked = asked
        self._saying = saying
        self._out = console()
        self._records: list[dict[str, Any]] = []
        self._told = 0

    def note(self, run_id: str, came: Done | SegueError) -> None:
        if self._asked.as_json:
            said = {"error": str(came)} if isinstance(came, SegueError) else came._asdict()
            self._records.append({"id": run_id} | said)
        elif isinstance(came, SegueError):
            _tell_problem(self._setup, came)
        elif came.changed or self._asked.run_ids:
            self._told += 1
            if self._told <= TOLD:
                remark = self._saying.remark(came)
                words = Text.assemble(run_id, "  ", status_text(came.status), f"  {remark}" if remark else "")
                self._out.print(words, soft_wrap=True)

    def finish(self, applied: Applied, missing: Sequence[RunNotFoundError]) -> None:
        if self._asked.as_json:
            print_json(self._records)
        elif self._told > TOLD:
            self._out.print(Text(f"… {self._told - TOLD:,} more"))
        for problem in missing:
            _tell_problem(self._setup, problem)
        if not self._asked.as_json and (self._asked.filters or len(applied) > 1):
            self._out.print(Text(self._sum(applied)))

    def _sum(self, applied: Applied) -> str:
        parts = [f"{counted(applied.changed, 'run')} {self._saying.participle}"]
        if applied.unchanged:
            parts.append(f"{applied.unchanged:,} left as they were")
        if applied.errors:
            parts.append(f"{len(applied.errors):,} failed")
        return ", ".join(parts)


def _named(segue: Segue, starts: Sequence[str]) -> tuple[list[str], list[RunNotFoundError]]:
    """The full ids of runs that were named by the beginnings of theirs, and what is wrong with the others."""
    ids: list[str] = []
    missing: list[RunNotFoundError] = []
    for start in starts:
        try:
            ids.append(segue.get(start).id)
        except RunNotFoundError as error:
            missing.append(error)
    return ids, missing


def _rehearse(
    setup: Setup, segue: Segue, selection: Selection, asked: Asked, saying: Saying, missing: Sequence[RunNotFoundError]
) -> None:
    count = selection.count()
    first = _first(segue, selection)
    if asked.as_json:
        print_json({"count": count, "runs": [run_record(run) for run in first]})
    else:
        _list(segue, first, count)
        console().print(Text(f"{counted(count, 'run')} would be {saying.participle}; nothing was done."))
    for problem in missing:
        _tell_problem(setup, problem)


def _tell_problem(setup: Setup, error: SegueError) -> None:
    click.echo(f"segue: {setup.follow_up(str(error))}", err=True)


def _is_confirmed(segue: Segue, selection: Selection, asked: Asked, saying: Saying) -> bool:
    """Ask, where there is somebody to answer."""
    if asked.is_sure or asked.as_json or not _is_terminal():
        return True
    count = selection.count()
    if not count:
        return True  # which says that there are none
    _list(segue, _first(segue, selection), count)
    return click.confirm(f"{saying.name.capitalize()} {counted(count, 'run')}?", default=False)


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _first(segue: Segue, selection: Selection) -> list[Any]:
    ids = [id_ for id_, _ in zip(selection.ids(), range(SHOWN), strict=False)]
    with segue.engine.reading() as tx:
        return [run_info(segue.engine.store, tx, id_) for id_ in ids]


def _list(segue: Segue, runs: Sequence[Any], count: int) -> None:
    out = console()
    if runs:
        put(out, runs_table(runs, {}, segue.engine.store.now(), width=out.width))
    if count > len(runs):
        out.print(Text(f"… and {count - len(runs):,} more", "bright_black"))
