"""Shows the figures: a row for each, a column for each database, the goals beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from segue.bench.readings import Reading, rows_of

_STYLES = {"pass": "green", "miss": "bold red"}


def show(
    console: Console,
    machine: Mapping[str, str],
    readings: Sequence[Reading],
    databases: Sequence[str],
    problems: Sequence[str],
) -> None:
    """Print all results."""
    for name, fact in machine.items():
        console.print(Text.assemble((f"{name:>12}  ", "dim"), fact), soft_wrap=True)
    if readings:
        console.print(_table(readings, databases))
        console.print(Text("median (min..max); every figure checked: each node ran once, and in order", "dim"))
    for problem in problems:
        console.print(Text(f"could not be measured: {problem}", "red"), soft_wrap=True)


def _table(readings: Sequence[Reading], databases: Sequence[str]) -> Table:
    table = Table(header_style="bold", pad_edge=False)
    table.add_column("work", min_width=30)
    table.add_column("unit", no_wrap=True)
    for database in databases:
        table.add_column(database, justify="right", min_width=14)
        table.add_column("goal", justify="right", no_wrap=True)
    work = ""
    for row in rows_of(readings):
        if work and row[0].work != work:
            table.add_section()
        work = row[0].work
        by_database = {reading.database: reading for reading in row}
        cells: list[Text] = []
        for database in databases:
            cells += _cells(by_database.get(database) or (by_database.get("") if database == databases[0] else None))
        table.add_row(row[0].what, row[0].unit, *cells)
    return table


def _cells(reading: Reading | None) -> list[Text]:
    if reading is None:
        return [Text("-", "dim"), Text("")]
    goal = Text(f"{reading.goal} {reading.verdict}" if reading.goal else "", _STYLES.get(reading.verdict, ""))
    return [Text(reading.spread()), goal]
