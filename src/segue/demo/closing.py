"""What the terminal shows after the run has ended: the findings, the proof, and commands to explore further."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from segue.config import database_option
from segue.demo.findings import Findings, FunctionFacts
from segue.demo.live import duration

ROWS = 6
METER_CELLS = 14

WEB_ADDRESS = "http://127.0.0.1:8042/"
"""Where `segue web` listens unless it is given another port."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The outcome of the demo, apart from the findings."""

    run_id: str
    database: str
    report: Path
    json: Path
    steps: int
    seconds: float
    workers: int
    repeated: Sequence[str]  # names of the steps that needed more than one attempt
    killed: bool


def print_ending(console: Console, findings: Findings, ending: Ending) -> None:
    """Print the findings as tables, the cost of the crash if there was one, and the commands to explore further."""
    console.print()
    console.print(_figures(findings))
    console.print(_tables(findings))
    console.print()
    console.print(Panel(_proof(findings, ending), border_style="green" if findings.coverage.is_exact else "red"))
    console.print(Text.assemble(("Report   ", "dim"), (str(ending.report), "bold")), soft_wrap=True)
    console.print(Text.assemble(("Figures  ", "dim"), str(ending.json)), soft_wrap=True)
    console.print(Text.assemble(("Run      ", "dim"), ending.run_id), soft_wrap=True)
    console.print()
    print_commands(console, ending.run_id, ending.database)


def print_commands(console: Console, run_id: str, database: str) -> None:
    """Print the commands that show a run."""
    option = database_option(database)
    segue = program()
    console.print(Text("Look further", style="dim"))
    for command in (f"show {run_id}", f"explain {run_id}", "runs"):
        console.print(Text(f"  {segue} {command} {option}".rstrip()), soft_wrap=True)
    console.print(Text("In the browser", style="dim"))
    console.print(Text(f"  {segue} web {option}".rstrip()), soft_wrap=True)
    console.print(Text(f"  then open {WEB_ADDRESS}runs/{run_id}"), soft_wrap=True)


def program() -> str:
    """What is typed for `segue` here: its path, if it lies in an environment that is not active."""
    own = Path(sys.executable).with_name("segue")
    if shutil.which("segue") is not None or not own.exists():
        return "segue"
    return shlex.quote(min(str(own), os.path.relpath(own), key=len))


def _figures(findings: Findings) -> Text:
    totals = findings.totals
    text = Text()
    for value, label in (
        (f"{totals.files:,}", "files"),
        (f"{totals.lines.total:,}", "lines"),
        (f"{totals.functions:,}", "functions"),
        (f"{totals.classes:,}", "classes"),
        (f"{totals.documented_share:.0%}", "documented"),
    ):
        text.append(f"  {value}", style="bold cyan").append(f" {label} ", style="dim")
    return text.append("\n")


def _tables(findings: Findings) -> RenderableType:
    imported = _ranking("Most imported", ((item.name, item.count) for item in findings.imported[:ROWS]))
    packages = _ranking("Biggest packages", ((size.name, size.lines) for size in findings.packages[:ROWS]))
    longest = _ranking(
        "Longest functions", ((_place(function), function.lines) for function in findings.longest[:ROWS])
    )
    pair = Table.grid(padding=(0, 5))
    pair.add_row(imported, packages)
    return Padding(Group(pair, "", longest), (0, 2))


def _ranking(title: str, rows: Iterable[tuple[str, int]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=False, pad_edge=False)
    table.add_column()  # the column that shrinks in a narrow terminal
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    ranked = list(rows)
    most = max((value for _, value in ranked), default=0) or 1
    for name, value in ranked:
        table.add_row(
            Text(name, no_wrap=True, overflow="ellipsis"),
            Text("━" * max(1, METER_CELLS * value // most), style="cyan"),
            f"{value:,}",
        )
    return table


def _place(function: FunctionFacts) -> str:
    return f"{function.name} ({function.file})"


def _proof(findings: Findings, ending: Ending) -> RenderableType:
    coverage = findings.coverage
    mark = ("✓ ", "green") if coverage.is_exact else ("✗ ", "red")
    verdict = "each exactly once" if coverage.is_exact else "NOT each exactly once"
    lines = [
        Text.assemble(
            mark,
            (f"{verdict}: ", "bold"),
            f"{coverage.listed:,} files listed, {coverage.counted:,} counted, {len(coverage.duplicates):,} twice, "
            f"{len(coverage.missing):,} missing",
        ),
        Text(f"  {ending.steps:,} steps in {duration(ending.seconds)} by {_counted(ending.workers, 'worker')}"),
    ]
    if ending.killed:
        lines.append(_cost(ending.repeated))
    if findings.problems:
        lines.append(Text(f"  {_counted(len(findings.problems), 'file')} could not be parsed; the report names them"))
    return Group(*lines)


def _cost(repeated: Sequence[str]) -> Text:
    if not repeated:
        return Text("  the killed worker held no step at that moment: no step had to run again")
    names = ", ".join(repeated[:4]) + (", …" if len(repeated) > 4 else "")
    return Text(f"  the crash cost {_counted(len(repeated), 'step')} a second attempt: {names}; all others kept theirs")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
