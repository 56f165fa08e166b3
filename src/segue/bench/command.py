"""The command line of `segue bench`, and its sequence of steps."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from segue.bench import idle, machine, timers, workloads
from segue.bench.flatness import flat
from segue.bench.goals import goal_of
from segue.bench.limiting import limits
from segue.bench.readings import Reading
from segue.bench.report import show
from segue.bench.scratch import Site
from segue.bench.setting import Setting, WorkerChoice, ground_at
from segue.bench.timestamps import MeasureError
from segue.bench.workloads import QUICK, Figure, Sizes
from segue.demo.crew import sigterm_as_interrupt
from segue.errors import ConfigError, SegueError
from segue.output import fit_streams
from segue.terminal import PrintableConsole

FILE_WIDTH = 150
INTERRUPTED = 130
Workload = Callable[[Setting, Sizes, int | None], Iterator[Figure]]
Comparison = Callable[[Site, WorkerChoice, Sizes, int | None], Iterator[Figure]]

ON_A_GROUND: dict[str, Workload] = {
    "chain": workloads.chain,
    "fanout": workloads.fanout,
    "diamonds": workloads.diamonds,
    "drain": workloads.drain,
    "timers": timers.timers,
    "idle": idle.idle,
}
ON_TWO_GROUNDS: dict[str, Comparison] = {"limits": limits, "flat": flat}
WORKS = (*ON_A_GROUND, "import", *ON_TWO_GROUNDS)

_DESCRIPTION = (
    "Measures Segue with no-op tasks and a real worker process, everything durable, in databases that it creates "
    "and removes. Run it on an otherwise idle machine. It takes about ten minutes for each database, without "
    "'flat' three."
)
_DATABASE_HELP = (
    "a PostgreSQL server to measure as well, where the user may create databases; or sqlite:////folder/any.db to put "
    "the SQLite file in that folder instead of the folder for temporary files (may be given several times)"
)


@dataclass(slots=True)
class Session:
    """What to measure, and the results so far."""

    sites: dict[str, Site]  # by the name in the table
    works: tuple[str, ...]
    sizes: Sizes
    worker: WorkerChoice
    repeat: int | None
    say: Callable[[str], None]
    readings: list[Reading] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def measure(self) -> None:
        """Measure everything. A workload that fails becomes a problem, and the rest continues."""
        if "import" in self.works:
            self._take("import", "", idle.import_times(self.sizes.import_times))
        for work in self.works:
            for name, site in self.sites.items():
                if work in ON_A_GROUND:
                    self._on_a_ground(work, name, site)
                elif work in ON_TWO_GROUNDS:
                    self._take(work, name, ON_TWO_GROUNDS[work](site, self.worker, self.sizes, self.repeat))

    def _on_a_ground(self, work: str, name: str, site: Site) -> None:
        with ground_at(site, self.worker) as setting:
            self._take(work, name, ON_A_GROUND[work](setting, self.sizes, self.repeat))

    def _take(self, work: str, database: str, figures: Iterator[Figure]) -> None:
        self.say(f"{work} {database}")
        try:
            for what, unit, value in figures:
                self._reading(work, what, unit, database).values.append(value)
        except (MeasureError, SegueError) as error:
            self.problems.append(f"{work} on {database or 'this machine'}: {error}")

    def _reading(self, work: str, what: str, unit: str, database: str) -> Reading:
        for reading in self.readings:
            if (reading.work, reading.what, reading.database) == (work, what, database):
                return reading
        kind = self.sites[database].name if database else ""
        reading = Reading(work, what, unit, database, goal=goal_of(what, unit, kind))
        self.readings.append(reading)
        return reading


def run(argv: Sequence[str] | None = None) -> int:
    """Parse, measure, show; see `segue.bench.main`."""
    fit_streams()
    console, errors = PrintableConsole(), PrintableConsole(stderr=True)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    try:
        asked = parse(argv)
    except SystemExit as ending:
        return int(ending.code or 0)
    try:
        facts, session = _prepare(asked, errors)
    except ConfigError as error:
        errors.print(str(error), style="red", soft_wrap=True)
        return 2
    interrupted = False
    with errors.status("measuring") as status, sigterm_as_interrupt():
        session.say = lambda what: status.update(f"measuring: {what}")
        try:
            session.measure()
        except KeyboardInterrupt:  # all scratch databases are removed by now
            interrupted = True
            session.problems.append("interrupted: the table is incomplete")
    show(console, facts, session.readings, list(session.sites), session.problems)
    if asked.json is not None:
        asked.json.write_text(_json(asked, facts, session), encoding="utf-8")
    return INTERRUPTED if interrupted else 1 if session.problems else 0


def _prepare(asked: argparse.Namespace, errors: Console) -> tuple[dict[str, str], Session]:
    sites = sites_of(asked.database, with_sqlite=not asked.no_sqlite)
    facts = machine.describe([site.describe() for site in sites.values()])
    worker = WorkerChoice(asked.pool, asked.concurrency)
    facts["worker"] = f"one, --pool {worker.pool} -c {worker.concurrency}"
    sizes = QUICK if asked.quick else Sizes()
    return facts, Session(sites, asked.only, sizes, worker, asked.repeat, errors.print)


def sites_of(urls: Sequence[str], *, with_sqlite: bool) -> dict[str, Site]:
    """Where to measure, by the names used in the table."""
    found = [Site(url) for url in urls]
    if with_sqlite and all(site.name != "SQLite" for site in found):
        found.insert(0, Site(None))
    if not found:
        raise ConfigError("--no-sqlite leaves no database to measure. Name one: --database postgresql://user@host/name")
    named: dict[str, Site] = {}
    for site in found:
        twins = sum(name.startswith(site.name) for name in named)
        named[f"{site.name} {twins + 1}" if twins else site.name] = site
    return named


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments; raises SystemExit if they are wrong, or after showing help."""
    parser = argparse.ArgumentParser(prog="segue bench", description=_DESCRIPTION)
    add = parser.add_argument
    add("--database", action="append", default=[], metavar="URL", help=_DATABASE_HELP)
    add("--no-sqlite", action="store_true", help="measure only the databases given with --database")
    add("--only", type=_works, default=WORKS, metavar="WORK,...", help=f"some of: {', '.join(WORKS)}")
    add("--repeat", type=_count, metavar="N", help="repetitions of each workload (default: 3 to 10)")
    add("--pool", choices=("process", "thread"), default="process", help="the worker's pool (default: process)")
    add("--concurrency", "-c", type=_count, default=os.cpu_count() or 1, metavar="N",
        help="the worker's places (default: one for each core)")  # fmt: skip
    add("--quick", action="store_true", help="smaller numbers, to see that everything works")
    add("--json", type=Path, metavar="FILE", help="write everything to FILE, too")
    return parser.parse_args(sys.argv[1:] if argv is None else list(argv))


def _works(text: str) -> tuple[str, ...]:
    asked = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in asked if word not in WORKS]
    if unknown or not asked:
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown) or 'nothing'} cannot be measured; choose from {', '.join(WORKS)}"
        )
    return tuple(work for work in WORKS if work in asked)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _json(asked: argparse.Namespace, facts: dict[str, str], session: Session) -> str:
    everything = {
        "machine": facts,
        "quick": asked.quick,
        "repeat": asked.repeat,
        "readings": [reading.as_json() for reading in session.readings if reading.values],
        "problems": session.problems,
    }
    return json.dumps(everything, indent=2) + "\n"
