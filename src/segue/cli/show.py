"""`segue show`: a run and its steps, once or until the run ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

from segue.cli.checkpoints import checkpoints_table
from segue.cli.completing import complete_runs, complete_steps
from segue.cli.events import detail_text
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, put
from segue.cli.reasons import drawn, main_reasons, reason_text, resting
from segue.cli.rendering import DIM, details, heading, tree
from segue.cli.suggestions import suggest
from segue.cli.wording import counts_text, status_text
from segue.client import Run, Segue
from segue.client.argument_masking import ArgumentMasker
from segue.client.masked_views import without_secrets
from segue.client.records import attempt_record, checkpoint_record, event_record, step_record
from segue.client.step_tree import grow
from segue.client.views import AttemptInfo, Reason, RunInfo, StepInfo, count_checkpoints
from segue.client.without_secrets import json_value, shown_run
from segue.errors import StepNotFoundError
from segue.model import RunStatus, StepStatus
from segue.times import clock_time, duration

PAGE = 5000
MOST_STEPS = 100_000  # steps read for one picture
UNCUT = 1000
MOST_EVENTS = 20  # the latest ones
MOST_LINES = 300  # unless --all
FOLLOW_SECONDS = 0.5
PLAIN_SECONDS = 2.0
RESTS = 4  # the pause before the next reading, in multiples of the time that the last one took
STEPS_OF_ONE_NAME = 20


@click.command(short_help="Show a run and its steps.")
@with_setup
@click.argument("run_id", metavar="RUN", shell_complete=complete_runs)
@click.option(
    "--step",
    "step_name",
    metavar="NAME",
    shell_complete=complete_steps,
    help="Show this step (by name, or by its number) with its arguments, result, attempts, output and checkpoints.",
)
@click.option(
    "--attempts", "with_attempts", is_flag=True, help="Add the attempts that failed, were lost or printed something."
)
@click.option("--all", "show_all", is_flag=True, help="Show every step of large groups.")
@click.option("--follow", "-f", is_flag=True, help="Follow the run until it ends; exit code 1 unless it succeeded.")
@json_option
@pass_setup
def command(
    setup: Setup, run_id: str, step_name: str | None, with_attempts: bool, show_all: bool, follow: bool, as_json: bool
) -> None:  # fmt: skip
    """Show a run, its steps, and the actions of people and timers on it. RUN is its short id, or its id.

    With --json: one object {run, steps, events, attempts}; with --follow one line {run} for each change.

    \b
    Example:
      segue show 4104e24d
      segue show 4104e24d --follow
      segue show 4104e24d --step 'parse[17]'
    """
    with setup.segue() as segue:
        run = segue.get(run_id)
        if follow:
            status = _follow(setup, segue, run, show_all=show_all, as_json=as_json)
            if status is not RunStatus.SUCCEEDED:
                sys.exit(1)
        elif step_name is not None:
            steps = [run.step(step.step).info() for step in named_steps(run, step_name)]
            attempts = [attempt for step in steps for attempt in run.attempts(step=step.step)]
            _show_steps(segue, run, steps, attempts, as_json=as_json)
        else:
            _show_run(setup, segue, run, show_all=show_all, with_attempts=with_attempts, as_json=as_json)


def named_steps(run: Run, name: str) -> list[StepInfo]:
    """The steps of this name or number. Raises StepNotFoundError."""
    found = run.steps(name=name, limit=STEPS_OF_ONE_NAME)
    if not found and name.lstrip("#").isdigit():
        number = int(name.lstrip("#"))
        found = [step for step in run.steps(after=number - 1, limit=1) if step.step == number]
    if not found:
        raise StepNotFoundError(f"Run {run.id} has no step {name!r}. `segue show {run.id} --all` lists them.")
    return found


def all_steps(run: Run) -> list[StepInfo]:
    """The steps of a run, at most MOST_STEPS."""
    steps: list[StepInfo] = []
    while len(steps) < MOST_STEPS:
        page = run.steps(after=steps[-1].step if steps else -1, limit=PAGE)
        steps += page
        if len(page) < PAGE:
            break
    return steps


@dataclass(frozen=True, slots=True)
class Look:
    """A run as it was at one moment."""

    now: datetime
    run: RunInfo
    counts: dict[StepStatus, int]
    steps: Sequence[StepInfo]
    checkpoints: Mapping[int, int]  # the number of records of the steps that have some
    masker: ArgumentMasker
    reason: Reason | None = None  # why nothing runs

    @classmethod
    def at(cls, setup: Setup, segue: Segue, run: Run, masker: ArgumentMasker, *, with_steps: bool = True) -> Look:
        """Read a run now."""
        info = masker.run(run.info())
        steps = [without_secrets(step) for step in all_steps(run)] if with_steps else []
        counts = run.counts()
        checkpoints: dict[int, int] = {}
        if with_steps:
            with segue.engine.reading() as tx:
                checkpoints = count_checkpoints(tx, run.id)
        reason = main_reasons(setup, segue, resting([info], {run.id: counts})).get(run.id) if with_steps else None
        return cls(segue.engine.store.now(), info, counts, steps, checkpoints, masker, reason)

    def picture(self, out: Console, *, show_all: bool) -> RenderableType:
        """The run's heading and the tree of its steps, in the width of this console."""
        parts: list[RenderableType] = [heading(self.run, self.counts, self.now)]
        if self.reason is not None:
            look = drawn(self.reason.code)
            line = Text.assemble((f"{look.glyph} ", look.style), reason_text(self.reason))
            parts.append(Padding(line, (0, 0, 0, 2)))
        parts.append(Text())
        branches = grow(self.steps, fold=not show_all)
        parts.append(
            tree(
                branches,
                self.now,
                self.checkpoints,
                most_lines=None if show_all else MOST_LINES,
                name_width=out.width * 2 // 5 if out.is_terminal else UNCUT,
            )
        )
        if len(self.steps) >= MOST_STEPS:
            parts.append(Text(f"… only the first {MOST_STEPS:,} steps were read", DIM))
        return Group(*parts)


def _show_run(
    setup: Setup, segue: Segue, run: Run, *, show_all: bool, with_attempts: bool, as_json: bool
) -> None:  # fmt: skip
    look = Look.at(setup, segue, run, ArgumentMasker(segue))
    attempts = [without_secrets(each) for each in run.attempts()] if with_attempts else []
    events = [without_secrets(each) for each in segue.events.list(run.id, limit=MOST_EVENTS)]
    if as_json:
        record = {
            "run": shown_run(look.masker, look.run, look.counts),
            "steps": [step_record(step) | {"checkpoints": look.checkpoints.get(step.step, 0)} for step in look.steps],
            "events": [event_record(event) for event in events],
        }
        print_json(record | ({"attempts": [attempt_record(each) for each in attempts]} if with_attempts else {}))
        return
    out = console()
    put(out, look.picture(out, show_all=show_all))
    if events:
        out.print()
    for event in reversed(events):
        about = f" of {event.step_name}" if event.step_name else ""
        line = Text.assemble(
            (f"{clock_time(event.at, look.now)}  ", DIM), event.kind, about, (f"  {detail_text(event)}", DIM)
        )
        out.print(line, soft_wrap=True)
    names = {step.step: step.name for step in look.steps}
    for attempt in attempts:
        out.print()
        _print_attempt(out, attempt, names.get(attempt.step, f"step {attempt.step}, which a retry has removed"))
    suggest(out, setup, look.run, has_seen_attempts=with_attempts)


def _show_steps(
    segue: Segue, run: Run, steps: Sequence[StepInfo], attempts: Sequence[AttemptInfo], *, as_json: bool
) -> None:  # fmt: skip
    masker = ArgumentMasker(segue)
    steps = [masker.step(step) for step in steps]
    attempts = [without_secrets(each) for each in attempts]
    recorded = {step.step: [without_secrets(each) for each in run.step(step.step).checkpoints()] for step in steps}
    if as_json:
        documents = [
            step_record(step) | {"arguments": json_value(step.arguments), "result": json_value(step.result)}
            for step in steps
        ]
        attempted = [attempt_record(each) for each in attempts]
        checkpoints = [checkpoint_record(each) for those in recorded.values() for each in those]
        run_now = shown_run(masker, run.info())
        print_json({"run": run_now, "steps": documents, "attempts": attempted, "checkpoints": checkpoints})
        return
    out = console()
    now = segue.engine.store.now()
    for number, step in enumerate(steps):
        if number:
            out.print()
        put(out, details(step, now))
        if recorded[step.step]:
            out.print()
            put(out, checkpoints_table(recorded[step.step], now))
        mine = [attempt for attempt in attempts if attempt.step == step.step]
        for attempt in mine:
            out.print()
            _print_attempt(out, attempt, step.name)
        if not mine and step.error is not None:
            out.print(Text(f"\n{step.error.type}: {step.error.message}\n{step.error.traceback}".rstrip(), "red"))


def _print_attempt(out: Console, attempt: AttemptInfo, name: str) -> None:
    title = Text.assemble((f"attempt {attempt.attempt}", "bold"), " of ", name, "  ", status_text(attempt.status))
    if attempt.started_at is not None:
        title.append(f"  {duration((attempt.finished_at - attempt.started_at).total_seconds())}", DIM)
    out.print(title.append(f"  on {attempt.worker}", DIM), soft_wrap=True)
    if attempt.error is not None:
        _print_indented(out, attempt.error.traceback or f"{attempt.error.type}: {attempt.error.message}", "red")
    if attempt.output:
        out.print(Text("  output", DIM))
        _print_indented(out, attempt.output, "")


def _print_indented(out: Console, text: str, style: str) -> None:
    for line in text.rstrip().splitlines():
        out.print(Text(f"  {line}", style), soft_wrap=True)


# Following -----------------------------------------------------------------------------------------------------------


def _follow(setup: Setup, segue: Segue, run: Run, *, show_all: bool, as_json: bool) -> RunStatus:
    out = console()
    if as_json or not out.is_terminal:
        return _follow_lines(setup, segue, run, out, as_json=as_json)
    masker = ArgumentMasker(segue)
    with Live(console=out, auto_refresh=False, vertical_overflow="ellipsis") as live:
        while True:
            began = time.monotonic()
            look = Look.at(setup, segue, run, masker)
            if look.run.status.is_final:
                live.vertical_overflow = "visible"
            live.update(look.picture(out, show_all=show_all), refresh=True)
            if look.run.status.is_final:
                return look.run.status
            time.sleep(max(FOLLOW_SECONDS, RESTS * (time.monotonic() - began)))


def _follow_lines(setup: Setup, segue: Segue, run: Run, out: Console, *, as_json: bool) -> RunStatus:
    last: tuple[RunStatus, dict[StepStatus, int]] | None = None
    told_at = 0.0
    masker = ArgumentMasker(segue)
    while True:
        look = Look.at(setup, segue, run, masker, with_steps=False)
        is_final = look.run.status.is_final
        is_due = as_json or is_final or time.monotonic() - told_at >= PLAIN_SECONDS
        if is_due and (look.run.status, look.counts) != last:
            last, told_at = (look.run.status, look.counts), time.monotonic()
            if as_json:
                print_json({"run": shown_run(look.masker, look.run, look.counts)})
            else:
                time_of_day = clock_time(look.now, look.now)
                counts = counts_text({status.value: count for status, count in look.counts.items()})
                out.print(Text(f"{time_of_day} {look.run.status}: ").append_text(counts), soft_wrap=True)
        if is_final:
            return look.run.status
        time.sleep(FOLLOW_SECONDS)
