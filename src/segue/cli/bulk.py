"""Verbs for many runs: `segue pause`, `resume`, `cancel`, `retry` share their options and their report.

A command is written so::

    @click.command(short_help="Pause runs.")
    @with_setup
    @bulk_options                                   # RUN..., the filters, --dry-run, --yes, --reason, --json
    @click.option("--stop-running", is_flag=True)   # options of this verb only
    @pass_setup
    def command(setup: Setup, arguments: RunArguments, stop_running: bool) -> None:
        verb = partial(pause_run, stop_running=stop_running, actor=arguments.actor, reason=arguments.reason)
        apply_verb(setup, arguments, BulkVerb("pause", "paused", verb, among=LIVE))

The verb belongs to the engine: `(act, run_id) -> Done`. With ids it is applied to each of these runs. With filters it
is applied to the matching runs with a status in `among`; on a terminal they are listed first and the user must confirm.
Each run is changed in a separate transaction. With --background a worker does all of it, as a run of `segue.bulk`.
"""

from __future__ import annotations

import getpass
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import click
from rich.text import Text

from segue.cli.completing import complete_runs
from segue.cli.filters import filter_options
from segue.cli.options import AnyCallable, Setup, json_option
from segue.cli.printing import console, print_json, print_line, put
from segue.cli.runs import runs_table
from segue.cli.wording import status_text
from segue.client import Segue
from segue.client.argument_masking import ArgumentMasker
from segue.client.selection import Applied, Selection
from segue.client.verbs import Done, Verb
from segue.client.views import run_info
from segue.client.without_secrets import shown_run
from segue.client.wording import counted
from segue.errors import RunNotFoundError, SegueError, WaitTimeoutError
from segue.masking import masked_text
from segue.model import RunStatus, short_id

SHOWN = 10  # runs that are listed before the confirmation
TOLD = 50  # runs that are listed afterwards; further ones are only counted


@dataclass(frozen=True, slots=True)
class RunArguments:
    """The arguments as typed: which runs, and how to proceed."""

    run_ids: tuple[str, ...]
    filters: dict[str, Any]  # as `Segue.select` takes them; only those that were given
    is_dry_run: bool
    is_sure: bool
    reason: str | None
    in_background: bool
    as_json: bool

    @property
    def actor(self) -> str:
        """The person who runs the command, for the verb."""
        return this_person()


def _no_remark(done: Done) -> str:
    return "" if done.changed else "no change"


@dataclass(frozen=True, slots=True)
class BulkVerb:
    """A verb, with its words for messages: "pause", "paused"."""

    name: str
    participle: str
    verb: Verb
    among: Sequence[RunStatus]  # filters select only runs with one of these statuses
    remark: Callable[[Done], str] = field(default=_no_remark)  # shown after a run's status
    options: Mapping[str, Any] = field(default_factory=dict)  # of the verb, for a worker that applies it


def this_person() -> str:
    """user@host: recorded as the person who did it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without a name for this user
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def bulk_options(function: AnyCallable) -> AnyCallable:
    """The arguments and options of a verb; the function takes them as `arguments`."""

    @wraps(function)
    def gathered(
        *args: Any, run_ids: tuple[str, ...], filters: dict[str, Any], is_dry_run: bool, is_sure: bool,
        reason: str | None, in_background: bool, as_json: bool, **options: Any,
    ) -> Any:  # fmt: skip
        if bool(run_ids) == bool(filters):
            raise click.UsageError(
                "Name the runs by their ids, or select them by filters such as --workflow and --status"
                + ("; not both." if run_ids else ".")
            )
        arguments = RunArguments(run_ids, filters, is_dry_run, is_sure, reason, in_background, as_json)
        return function(*args, arguments=arguments, **options)

    for option in (
        json_option,
        click.option(
            "--background",
            "in_background",
            is_flag=True,
            help="Let a worker do it: prints the id of a run, which survives crashes and shows its progress.",
        ),
        click.option("--reason", metavar="TEXT", help="Why; recorded together with who did it."),
        click.option("--yes", "-y", "is_sure", is_flag=True, help="Do not ask for confirmation of filtered runs."),
        click.option("--dry-run", "is_dry_run", is_flag=True, help="Only show which runs would be changed."),
        filter_options,
        click.argument("run_ids", metavar="[RUN]...", nargs=-1, shell_complete=complete_runs),
    ):
        gathered = option(gathered)
    return gathered  # type: ignore[return-value]


def apply_verb(setup: Setup, arguments: RunArguments, bulk_verb: BulkVerb) -> None:
    """Apply the verb to the requested runs and print the outcome; exit code 1 if it failed for any."""
    with setup.segue() as segue:
        ids, missing = _named(segue, arguments.run_ids)
        selection = (
            segue.select(ids=ids) if arguments.run_ids else segue.select(**arguments.filters).among(bulk_verb.among)
        )
        if arguments.is_dry_run:
            _rehearse(setup, segue, selection, arguments, bulk_verb, missing)
            sys.exit(1 if missing else 0)
        if arguments.filters:
            selection = _of_now(selection)
        if arguments.filters and not _is_confirmed(segue, selection, arguments, bulk_verb):
            return
        if arguments.in_background:
            _order(segue, selection, arguments, bulk_verb, missing)
            return
        report = _Report(setup, arguments, bulk_verb)
        applied = selection.apply(bulk_verb.verb, among=bulk_verb.among, on_each=report.note)
    report.finish(applied, missing)
    if missing or applied.errors or applied.unconfirmed:
        sys.exit(1)


def _of_now(selection: Selection) -> Selection:
    """The runs that exist now: what is confirmed is what is done, however long the question stays open."""
    newest = next(selection.ids(), None)
    return selection if newest is None else selection.up_to(newest)


def _order(
    segue: Segue, selection: Selection, arguments: RunArguments, bulk_verb: BulkVerb, missing: Sequence[SegueError]
) -> None:
    """Let a worker apply the verb, and print the run that does it."""
    if missing:
        raise missing[0]
    verb = getattr(selection.in_background(), bulk_verb.name)
    run = verb(**bulk_verb.options, actor=arguments.actor, reason=arguments.reason)
    if arguments.as_json:
        print_json({"id": run.id})
    else:
        console().print(Text(f"A worker does it. Follow it with: segue show {short_id(run.id)} --follow"))


class _Report:
    """Prints a line for each run as it is changed, and the totals at the end."""

    def __init__(self, setup: Setup, arguments: RunArguments, bulk_verb: BulkVerb) -> None:
        self._setup = setup
        self._asked = arguments
        self._saying = bulk_verb
        self._out = console()
        self._records: list[dict[str, Any]] = []
        self._told = 0

    def note(self, run_id: str, came: Done | SegueError) -> None:
        if self._asked.as_json:
            said = {"error": masked_text(str(came))} if isinstance(came, SegueError) else came._asdict()
            self._records.append({"id": run_id} | said)
        elif isinstance(came, SegueError):
            _print_error(self._setup, came)
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
            _print_error(self._setup, problem)
        if applied.unconfirmed:
            names = ", ".join(applied.unconfirmed)
            _print_error(self._setup, WaitTimeoutError(f"{names} did not confirm the pause, and may still begin steps"))
        if not self._asked.as_json and (self._asked.filters or len(applied) > 1):
            self._out.print(Text(self._sum(applied)))

    def _sum(self, applied: Applied) -> str:
        parts = [f"{counted(applied.changed, 'run')} {self._saying.participle}"]
        if applied.unchanged:
            parts.append(f"{applied.unchanged:,} unchanged")
        if applied.errors:
            parts.append(f"{len(applied.errors):,} failed")
        return ", ".join(parts)


def _named(segue: Segue, starts: Sequence[str]) -> tuple[list[str], list[RunNotFoundError]]:
    """The full ids of runs that were given by the beginnings of their ids, and the errors for the others."""
    ids: list[str] = []
    missing: list[RunNotFoundError] = []
    for start in starts:
        try:
            ids.append(segue.get(start).id)
        except RunNotFoundError as error:
            missing.append(error)
    return ids, missing


def _rehearse(
    setup: Setup,
    segue: Segue,
    selection: Selection,
    arguments: RunArguments,
    bulk_verb: BulkVerb,
    missing: Sequence[RunNotFoundError],
) -> None:
    count = selection.count()
    first = _first(segue, selection)
    if arguments.as_json:
        masker = ArgumentMasker(segue)
        print_json({"count": count, "runs": [shown_run(masker, run) for run in first]})
    else:
        _list(segue, first, count)
        console().print(Text(f"{counted(count, 'run')} would be {bulk_verb.participle}; nothing was changed."))
    for problem in missing:
        _print_error(setup, problem)


def _print_error(setup: Setup, error: SegueError) -> None:
    print_line(f"segue: {setup.follow_up(masked_text(str(error)))}", to_stderr=True)


def _is_confirmed(segue: Segue, selection: Selection, arguments: RunArguments, bulk_verb: BulkVerb) -> bool:
    """Ask for confirmation if there is a terminal."""
    if arguments.is_sure or arguments.as_json or not _is_terminal():
        return True
    count = selection.count()
    if not count:
        return True  # the report then says that there are none
    _list(segue, _first(segue, selection), count)
    return click.confirm(f"{bulk_verb.name.capitalize()} {counted(count, 'run')}?", default=False)


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _first(segue: Segue, selection: Selection) -> list[Any]:
    ids = [id_ for id_, _ in zip(selection.ids(), range(SHOWN), strict=False)]
    with segue.engine.reading() as tx:
        return [run_info(tx, id_) for id_ in ids]


def _list(segue: Segue, runs: Sequence[Any], count: int) -> None:
    out = console()
    if runs:
        put(out, runs_table(runs, {}, segue.engine.store.now(), width=out.width))
    if count > len(runs):
        out.print(Text(f"… and {count - len(runs):,} more", "bright_black"))
