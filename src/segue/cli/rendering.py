"""Draws runs and steps with rich: the tree of a run, progress bars, the heading of a run. Prints nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

import msgspec
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from segue.cli.values import arguments_text, masked_fields, value_text
from segue.cli.wording import STYLES, counts_text, status_text
from segue.client.step_tree import Branch, is_virtual
from segue.client.views import ProgressInfo, RunInfo, StepInfo, policy_or_none
from segue.client.wording import GLYPHS, counted
from segue.model import FINAL_STEP_STATUSES, SLEEP, Gate, Policy, StepStatus
from segue.printable import first_line
from segue.times import ago, clock_time, duration

BAR_CELLS = 16
TOLD_WIDTH = 200  # of the arguments and metadata of a run
LAST_YEAR = 9999  # until then a task waits that has no timeout
SHOWN_OF_A_FOLD = 3  # failed and running members each, because people look for these
DIM = "bright_black"


def heading(run: RunInfo, counts: Mapping[StepStatus, int], now: datetime) -> RenderableType:
    """The run itself, one line for each fact."""
    status, style = run.status.value, STYLES.get(run.status.value, "")
    title = Text.assemble((f"{GLYPHS[status]} ", style), (run.workflow, "bold"), f"  {run.id}")
    words = [Text(status + (f", ending as {run.ending}" if run.ending else ""), style), Text(_times(run, now))]
    if run.key is not None:
        words.append(Text(f"key {run.key}"))
    total = sum(counts.values())
    done = sum(count for found, count in counts.items() if found in FINAL_STEP_STATUSES)
    steps = Text(f"{counted(total, 'step')}: " if total else "no steps yet").append_text(
        counts_text({k.value: n for k, n in counts.items()})
    )
    if not run.status.is_final and total:
        steps.append("  ").append_text(bar(done, total)).append(f" {done / total:.0%}")
    lines = [Text(" · ").join(words), steps]
    lines += _bounds(run, now)
    lines += _given(run)
    if run.error is not None:
        lines.append(Text(f"{run.error.step} failed with {run.error.type}: {first_line(run.error.message)}", "red"))
    return Group(title, Padding(Group(*lines), (0, 0, 0, 2)))


def _bounds(run: RunInfo, now: datetime) -> Iterator[Text]:
    """Its deadline, and the limit in which it has a place; nothing for a run that has ended."""
    if run.deadline is not None:
        when = (
            f"in {duration((run.deadline - now).total_seconds())}"
            if run.deadline > now
            else "passed; the process that does the chores ends it"
        )
        yield Text.assemble(("deadline ", DIM), f"{clock_time(run.deadline, now)} ({when})")
    if run.limit_name is not None and not run.status.is_final:
        name = run.limit_name + (f" for {run.limit_key}" if run.limit_key else "")
        if run.admitted_at is None:
            place = ("waits for a place", "cyan")
        else:
            place = (f"has had a place since {clock_time(run.admitted_at, now)}", "")
        yield Text.assemble(("limit ", DIM), f"{name}, ", place)


def _given(run: RunInfo) -> Iterator[Text]:
    """The arguments, tags and metadata of a run, one short line each."""
    if run.arguments is not None and run.arguments != [[], {}]:
        yield Text.assemble(("arguments ", DIM), arguments_text(run.arguments, most=TOLD_WIDTH))
    if run.started_by is not None:
        yield Text.assemble(("started by ", DIM), run.started_by)
    if run.tags:
        yield Text.assemble(("tags ", DIM), ", ".join(run.tags))
    if run.metadata:
        yield Text.assemble(("metadata ", DIM), metadata_line(run.metadata))
    if run.forked_from is not None:
        yield Text.assemble(("forked from ", DIM), run.forked_from)


def metadata_line(metadata: Mapping[str, object]) -> str:
    """Metadata as one line: "customer=42, region=eu"."""
    shown = masked_fields(metadata)
    words = [f"{key}={value if isinstance(value, str) else _json(value)}" for key, value in shown.items()]
    return shortened(", ".join(words), TOLD_WIDTH)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def bar(done: float, total: float, *, cells: int = BAR_CELLS, style: str = "green") -> Text:
    """A bar, filled in the proportion of `done` to `total`."""
    share = min(max(done / total, 0.0), 1.0) if total > 0 else 1.0
    full = int(share * cells)
    return Text.assemble(("━" * full, style), ("╌" * (cells - full), DIM))


def tree(
    branches: Sequence[Branch], now: datetime, checkpoints: Mapping[int, int] = MappingProxyType({}), *,
    most_lines: int | None = None, name_width: int = 1000,
) -> RenderableType:  # fmt: skip
    """The steps of a run, one line each: status, tries, time and details, with the number of their checkpoints.

    Names that are longer than `name_width` lose their middle.
    """
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold", min_width=12)
    left_out = 0
    for line, (guide, branch) in enumerate(_lines(branches)):
        if most_lines is not None and line >= most_lines:
            left_out += 1
            continue
        name = Text.assemble((guide, DIM), (f"{GLYPHS[branch.status]} ", STYLES[branch.status]))
        number = "" if branch.step is None else f" #{branch.step.step}"
        name.append(shortened(branch.label, name_width - len(guide) - len(number)))
        table.add_row(name.append(number, DIM), *_cells(branch, now, checkpoints))
    return Group(table, Text(f"… {counted(left_out, 'more line')}", DIM)) if left_out else table


def step_line(step: StepInfo, now: datetime) -> Text:
    """The most useful facts about a step besides its status."""
    match step.status:
        case StepStatus.RUNNING if step.progress is not None:
            return progress_text(step.progress)
        case StepStatus.RUNNING:
            return Text(
                f"on {step.worker or 'an unknown worker'}" + (", asked to end" if step.cancel_requested else ""),
                DIM,
            )
        case StepStatus.READY if step.gate == Gate.PAUSED:
            return Text("held: the run is paused", STYLES["paused"])
        case StepStatus.READY if step.gate == Gate.EVENT:
            return Text(f"waits for {step.event!r}{_since(step.ready_at, now)}", "cyan")
        case StepStatus.READY if step.is_suspended and step.event is not None:
            return Text(f"waits for {step.event!r} inside its task", "cyan")
        case StepStatus.READY if step.gate == Gate.TIMER and step.ready_at is not None:
            return Text(_waits(step, step.ready_at, now), "cyan")
        case StepStatus.READY if step.gate == Gate.LIMIT:
            return Text("waits for a place of a limit", "cyan")
        case StepStatus.READY if step.gate == Gate.ADMISSION:
            return Text("waits until its run is admitted", "cyan")
        case StepStatus.READY:
            return Text("" if step.queue == "default" else f"on queue {step.queue}", DIM)
        case StepStatus.BLOCKED:
            return Text(_blocked(step), DIM)
        case StepStatus.FAILED if step.error is not None:
            return Text(f"{step.error.type}: {first_line(step.error.message)}", "red")
        case StepStatus.SKIPPED | StepStatus.CANCELLED if step.error is not None:
            return Text(first_line(step.error.message), DIM)
        case _:
            return Text()


def progress_text(progress: ProgressInfo) -> Text:
    """How far a running step is, how fast it goes and how long the rest will take."""
    text = Text()
    if progress.total is not None:
        text.append_text(bar(progress.done, progress.total, style="yellow"))
        text.append(f" {progress.done:,g}/{progress.total:,g}")
    else:
        text.append(f"{progress.done:,g} done")
    if progress.rate is not None:
        text.append(f"  {progress.rate:,.3g}/s", DIM)
    if progress.eta_seconds is not None:
        text.append(f"  {duration(progress.eta_seconds)} left", DIM)
    return text.append(f"  {first_line(progress.message)}" if progress.message else "")


def spent(step: StepInfo, now: datetime) -> float | None:
    """How long a step has run or ran, in seconds; for a step that was replaced by a plan, the time of that plan."""
    if step.status is StepStatus.RUNNING or (step.is_join and step.started_at is not None):
        begun = step.started_at
        return None if begun is None else ((step.finished_at or now) - begun).total_seconds()
    return step.seconds


def policy_of(step: StepInfo) -> Policy:
    """The step's policy."""
    return policy_or_none(step.policy)


def shortened(text: str, width: int) -> str:
    """The text, or its beginning and end if it is too long: both are more useful than the middle."""
    if len(text) <= width or width < 8:
        return text
    half = (width - 1) // 2
    return f"{text[: width - 1 - half]}…{text[-half:]}"


def _times(run: RunInfo, now: datetime) -> str:
    if run.finished_at is not None:
        took = duration((run.finished_at - (run.started_at or run.created_at)).total_seconds())
        return f"took {took}, ended {ago(run.finished_at, now)}"
    if run.started_at is not None:
        return f"for {duration((now - run.started_at).total_seconds())}"
    return f"created {ago(run.created_at, now)}"


def _lines(branches: Sequence[Branch], guide: str | None = None) -> Iterator[tuple[str, Branch]]:
    """Each entry with the lines of the tree that lead to it; the outermost have none."""
    for index, branch in enumerate(branches):
        is_last = index == len(branches) - 1
        yield "" if guide is None else guide + ("└╴" if is_last else "├╴"), branch
        further = "" if guide is None else guide + ("  " if is_last else "│ ")
        yield from _lines(branch.below or _worth_seeing(branch), further)


def _worth_seeing(fold: Branch) -> list[Branch]:
    """Of a folded group, a few members each that failed, run, or are being retried."""
    found: list[Branch] = []
    for wanted in (StepStatus.FAILED, StepStatus.RUNNING):
        found += [member for member in fold.members if member.status is wanted][:SHOWN_OF_A_FOLD]
    again = [m for m in fold.members if m.step is not None and m.status is StepStatus.READY and m.step.failures]
    return found + again[:SHOWN_OF_A_FOLD]


def _cells(branch: Branch, now: datetime, checkpoints: Mapping[int, int]) -> tuple[Text, Text, Text]:
    step = branch.step
    if step is None or (step.is_join and branch.below and not step.status.is_final):
        counts = branch.counts()
        total, done = counts.total(), sum(n for status, n in counts.items() if StepStatus(status).is_final)
        words = Text(f"{counted(total, 'step')}: ").append_text(counts_text(counts))
        if done < total:
            words = bar(done, total).append("  ").append_text(words)
        return Text(), _time(step, now), words
    tries = Text(f"try {step.tries}", "yellow") if step.tries > 1 else Text()
    line = step_line(step, now)
    recorded = checkpoints.get(step.step, 0)
    if recorded:
        line.append(f"{'  ' if line else ''}{counted(recorded, 'checkpoint')}", DIM)
    return tries, _time(step, now), line


def _time(step: StepInfo | None, now: datetime) -> Text:
    seconds = None if step is None else spent(step, now)
    return Text() if seconds is None else Text(duration(seconds), DIM)


def _waits(step: StepInfo, until: datetime, now: datetime) -> str:
    when = f"in {duration((until - now).total_seconds())}" if until > now else "now"
    if step.is_suspended or step.task == SLEEP:
        return f"sleeps, wakes {when}"
    if not step.failures:
        return f"delayed, due {when}"
    tries = policy_of(step).retries + 1
    error = f" after {step.error.type}: {first_line(step.error.message)}" if step.error else ""
    return f"failed {step.failures} of {counted(tries, 'try', 'tries')}, next {when}{error}"


def _since(moment: datetime | None, now: datetime) -> str:
    return "" if moment is None else f", for {duration((now - moment).total_seconds())}"


def _blocked(step: StepInfo) -> str:
    if step.hook is not None and not step.waiting_on:
        return f"{step.hook} hook"
    return f"waits for {counted(step.waiting_on, 'step')}" if step.waiting_on else "waits"


def details(step: StepInfo, now: datetime) -> RenderableType:
    """Everything about one step, one line for each fact."""
    rows: list[tuple[str, Text | str]] = [("status", status_text(step.status.value))]
    note = step_line(step, now)
    if note.plain and step.status is not StepStatus.FAILED:
        rows.append(("", note))
    rows.append(("task", step.task or "(a join)"))
    if step.arguments is not None and step.arguments != [[], {}]:
        rows.append(("arguments", arguments_text(step.arguments)))
    if step.status is StepStatus.SUCCEEDED:
        rows.append(("result", value_text(step.result)))
    rows.append(("queue", f"{step.queue}, priority {step.priority}"))
    if step.metadata:
        rows.append(("metadata", metadata_line(step.metadata)))
    policy = policy_of(step)
    failed = f", {counted(step.failures, 'failure')}" if step.failures else ""
    lost = f", {counted(step.losses, 'lost worker')}" if step.losses else ""
    again = f", {counted(step.tries, 'try', 'tries')}" if step.tries < step.attempt else ""
    allowed = f"{counted(policy.retries, 'retry', 'retries')} allowed"
    rows.append(("attempt", f"{step.attempt}{again}{failed}{lost}; {allowed}"))
    for label, moment in (("ready", step.ready_at), ("started", step.started_at), ("finished", step.finished_at)):
        if moment is not None and moment.year < LAST_YEAR:
            rows.append((label, f"{clock_time(moment, now)} ({ago(moment, now)})"))
    seconds = spent(step, now)
    if seconds is not None:
        rows.append(("time", duration(seconds)))
    if step.worker and not is_virtual(step):
        rows.append(("worker", step.worker))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=DIM, no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in rows:
        grid.add_row(f"  {label}", value)
    title = Text.assemble(
        (f"{GLYPHS[step.status]} ", STYLES[step.status]), (step.name, "bold"), (f" #{step.step}", DIM)
    )
    return Group(title, grid)
