"""Measures the engine's turns alone: no worker, no pool, no task; one process that claims and reports.

    python -m benchmarks.turns                                         # SQLite
    python -m benchmarks.turns --database postgresql://me@localhost/   # and a PostgreSQL server
    python -m benchmarks.turns --against ../older/src                  # this version against another one, alternating

If a change costs a few microseconds per step, the figures of whole workers do not show it. `--against` does: both
versions run alternately, a fraction of a second each, so that other load on the machine affects both. The figures are
medians of the time of a turn, divided by its steps.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from segue.bench.scratch import Site

HERE = "this"
ROOT = Path(__file__).resolve().parents[1]


class Version:
    """A process that uses one version of Segue, in one scratch database."""

    def __init__(self, source: Path, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "benchmarks" / "turns_of_a_version.py"), url], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(source)},
        )  # fmt: skip
        self.times: dict[str, list[float]] = {}

    def round(self) -> None:
        """Execute one round of all workloads."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit("The measuring process ended; its output is above.")
        for work, times in json.loads(answer).items():
            self.times.setdefault(work, []).extend(times)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns", description=__doc__.splitlines()[0])
    parser.add_argument("--database", action="append", default=[], metavar="URL", help="a PostgreSQL server as well")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="the `src` folder of another version")
    parser.add_argument("--rounds", type=int, default=20, metavar="N")
    asked = parser.parse_args()
    sources = {HERE: ROOT / "src"} | ({str(asked.against): asked.against.resolve()} if asked.against else {})
    for site in (Site(None), *map(Site, asked.database)):
        with versions(site, sources) as found:
            for number in range(asked.rounds + 1):
                for version in list(found.values())[:: 1 if number % 2 else -1]:
                    version.round()
                    if not number:  # the first round is a warm-up
                        version.times.clear()
            show(site.name, found)


@contextmanager
def versions(site: Site, sources: dict[str, Path]) -> Iterator[dict[str, Version]]:
    """Start a process, with a database, for each version."""
    with ExitStack() as stack:
        found = {}
        for name, source in sources.items():
            found[name] = Version(source, stack.enter_context(site.scratch()).url)
            stack.callback(found[name].close)
        yield found


def show(database: str, found: dict[str, Version]) -> None:
    """Print microseconds for each step, and the ratio of this version to the other."""
    print(f"\n{database}: µs per step, median of turns")
    for work, times in found[HERE].times.items():
        here = median(times)
        others = [median(version.times[work]) for name, version in found.items() if name != HERE]
        beside = "".join(f"   against {other:7.1f}   {here / other:.2f} ×" for other in others)
        print(f"  {work:40} {here:7.1f}{beside}")


if __name__ == "__main__":
    main()
