"""The full comparison with the oracle: every minute of 1970 to 2037 in seven zones. Takes minutes, so it is no test.

From the root of the repository::

    python -m tests.unit.timetable.full_oracle                  # all zones, two processes
    python -m tests.unit.timetable.full_oracle Europe/Paris     # only this one
"""

# ruff: noqa: T201 - a command
from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from segue.timetable import parse_timetable
from tests.unit.timetable.oracle import BEGIN, END, EXPRESSIONS, ZONES, Oracle

PROCESSES = 2
MOST_SHOWN = 5


class Sweep(NamedTuple):
    """What one zone gave."""

    zone: str
    minutes: int
    ticks: int
    seconds: float
    differences: list[str]


def main() -> int:
    began = time.perf_counter()
    with ProcessPoolExecutor(PROCESSES) as pool:
        sweeps = []
        for sweep in pool.map(swept, sys.argv[1:] or ZONES):
            sweeps.append(sweep)
            verdict = "as they must be" if not sweep.differences else "DIFFERENT"
            print(f"{sweep.zone}: {sweep.minutes:,} minutes, {sweep.ticks:,} ticks, {sweep.seconds:.0f} s: {verdict}")
            for difference in sweep.differences:
                print(f"  {difference}")
            sys.stdout.flush()
    print(
        f"{len(EXPRESSIONS)} expressions, {sum(sweep.minutes for sweep in sweeps):,} minutes, "
        f"{sum(sweep.ticks for sweep in sweeps):,} ticks, {time.perf_counter() - began:.0f} s"
    )
    return 1 if any(sweep.differences for sweep in sweeps) else 0


def swept(zone: str) -> Sweep:
    """Compare every tick of every expression; stops at the first few differences."""
    began = time.perf_counter()
    first, last = int(BEGIN.timestamp()), int(END.timestamp())
    walks = [parse_timetable(text, zone).between(BEGIN - timedelta(seconds=1), END) for text in EXPRESSIONS]
    counts = {"ticks": 0}

    def compare() -> Iterator[str]:
        for second, place in Oracle(EXPRESSIONS).ticks(ZoneInfo(zone), first, last):
            counts["ticks"] += 1
            tick = next(walks[place], None)
            if tick is None or tick.timestamp() != second:
                due = datetime.fromtimestamp(second, UTC)
                yield f"{EXPRESSIONS[place]!r} must tick at {due.isoformat()}, not {tick and tick.isoformat()}"
        for text, walk in zip(EXPRESSIONS, walks, strict=True):
            tick = next(walk, None)
            if tick is not None and tick < END:
                yield f"{text!r} must not tick at {tick.isoformat()}"

    differences = list(islice(compare(), MOST_SHOWN))
    return Sweep(zone, (last - first) // 60, counts["ticks"], time.perf_counter() - began, differences)


if __name__ == "__main__":
    sys.exit(main())
