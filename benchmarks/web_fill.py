"""Fills a database with what is there after a month of much use, by SQL alone: for pages and lists to be measured on.

    python -m benchmarks.web_fill sqlite:////tmp/large.db                       # 1,000,000 runs with 20,000,000 steps
    python -m benchmarks.web_fill postgresql://me@localhost/x --runs 10000      # quick

Of 1,000 runs, 20 failed, 5 were cancelled, and 5 (the latest) have not ended. The newest run has 10,000 steps and is
running; the one before it has 100,000. There are also errors, events, labels, workers, schedules and limits. The rows
are sound: `segue db check` finds nothing.
"""

from __future__ import annotations

import argparse
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from segue.store import open_store

CHUNK = 500_000  # steps in a transaction
STATEMENTS = Path(__file__).with_suffix(".sql")
_MILLISECONDS = "CAST(created * 1000 AS bigint)"
SQLITE = {
    "numbers": "WITH RECURSIVE g(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM g WHERE n < :most) SELECT n FROM g",
    "run_id": f"printf('%08x-%04x-7%03x-8%03x-%012x', {_MILLISECONDS} >> 16, {_MILLISECONDS} & 65535, n % 4096, "
    "(n / 4096) % 4096, (n * 2654435761) % 281474976710656)",
    "time": "strftime('%Y-%m-%d %H:%M:%f000', {}, 'unixepoch')",
    "now": "strftime('%Y-%m-%d %H:%M:%f000', 'now')",
    "tomorrow": "strftime('%Y-%m-%d %H:%M:%f000', 'now', '+1 day')",
    "worker": "printf('50000000-0000-7000-8000-%012d', n % 6)",
    "worker_of_n": "printf('50000000-0000-7000-8000-%012d', n)",
    "no_child": "'[-1]'",
    "many_children": "(SELECT json_group_array(c.n) FROM fill_numbers c WHERE c.n BETWEEN 1 AND steps - 2)",
    "last_child": "'[' || (steps - 1) || ']'",
}
POSTGRES = {
    "numbers": "SELECT generate_series(0, :most)",
    "run_id": f"CAST(lpad(to_hex({_MILLISECONDS} >> 16), 8, '0') || lpad(to_hex({_MILLISECONDS} & 65535), 4, '0') || "
    "'7' || lpad(to_hex(n % 4096), 3, '0') || '8' || lpad(to_hex((n / 4096) % 4096), 3, '0') || "
    "lpad(to_hex((n * 2654435761) % 281474976710656), 12, '0') AS uuid)",
    "time": "to_timestamp({})",
    "now": "now()",
    "tomorrow": "now() + interval '1 day'",
    "worker": "CAST('50000000-0000-7000-8000-' || lpad(CAST(n % 6 AS text), 12, '0') AS uuid)",
    "worker_of_n": "CAST('50000000-0000-7000-8000-' || lpad(CAST(n AS text), 12, '0') AS uuid)",
    "no_child": "ARRAY[-1]",
    "many_children": "ARRAY(SELECT c.n FROM fill_numbers c WHERE c.n BETWEEN 1 AND steps - 2 ORDER BY c.n)",
    "last_child": "ARRAY[steps - 1]",
}
TIMES = {
    "created": "created",
    "ended": "created + took",
    "begun": "created + coalesce(took, 5) * (k + 0.2) / (steps + 1)",
    "step_ended": "created + coalesce(took, 5) * (k + 1) / (steps + 1)",
}


class Large(NamedTuple):
    """The steps of the newest two runs."""

    running: int = 10_000
    succeeded: int = 100_000


class Filling:
    """A database that is being filled."""

    def __init__(self, connection: Any, parts: dict[str, str], numbers: dict[str, int]) -> None:
        times = {name: parts["time"].format(of) for name, of in TIMES.items()}
        self._connection, self._parts, self._numbers = connection, parts | times, numbers
        _, *found = re.split(r"^-- name: (\w+)$", STATEMENTS.read_text(), flags=re.MULTILINE)
        self._statements = dict(zip(found[::2], found[1::2], strict=True))

    def do(self, name: str, **numbers: int) -> Any:
        """Run a statement of the file."""
        known = self._numbers | numbers
        text = re.sub(r"\{(\w+)\}", lambda part: self._parts[part[1]], self._statements[name])
        text = re.sub(r"(?<=[ (]):(\w+)", lambda number: str(int(known[number[1]])), text)
        return self._connection.execute(text)


def fill(
    url: str, *, runs: int, each: int = 20, large: Large | None = None, say: Callable[[str], None] = print
) -> dict[str, int]:  # fmt: skip
    """Write `runs` runs of `each` steps on the average, and the `large` ones; returns how many have which status.

    The database is empty before. Example::

        fill("sqlite:////tmp/large.db", runs=10_000, large=Large())
    """
    store = open_store(url)
    store.upgrade()
    store.close()
    until = int(time.time())
    numbers = {
        "runs": runs, "each": max(each, 3), "live": max(runs // 200, 3), "large": 2 if large else 0,
        "first_large": large.running if large else 0, "second_large": large.succeeded if large else 0,
        "since": until - 30 * 86_400, "until": until, "workers": min(5000, runs), "schedules": 50,
        "most": max(runs, *(large or (0,)), 2 * each),
    }  # fmt: skip
    with _connected(url) as (connection, parts, real):
        filling = Filling(connection, parts, numbers)
        connection.execute("CREATE TEMP TABLE fill_numbers (n INTEGER PRIMARY KEY)")
        connection.execute(
            f"CREATE TEMP TABLE fill_runs (n INTEGER PRIMARY KEY, id {real['id']}, workflow TEXT, status TEXT, "
            "steps INTEGER, done INTEGER, created DOUBLE PRECISION, took DOUBLE PRECISION)"
        )
        for name in ("fill_numbers", "write_workers", "write_schedules", "write_limits"):
            filling.do(name)
        connection.execute("ANALYZE fill_numbers")
        connection.commit()
        in_a_chunk = max(CHUNK // numbers["each"], 1)
        for start in range(0, runs, in_a_chunk):
            _write(filling, start, min(start + in_a_chunk, runs))
            connection.commit()
            say(f"{min(start + in_a_chunk, runs):,} of {runs:,} runs")
        found = dict(filling.do("count_statuses").fetchall())
        connection.execute("DROP TABLE fill_runs")
        connection.execute("DROP TABLE fill_numbers")
        connection.execute("ANALYZE")
        connection.commit()
    return found


def _write(filling: Filling, start: int, end: int) -> None:
    filling.do("fill_runs", from_run=start, to_run=end)
    for name in ("runs", "keys", "labels", "steps", "attempts", "events", "ticks"):
        filling.do(f"write_{name}")
    filling.do("forget_runs")


@contextmanager
def _connected(url: str) -> Iterator[tuple[Any, dict[str, str], dict[str, str]]]:
    if url.startswith("sqlite"):
        connection: Any = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.execute("PRAGMA synchronous = OFF")
        parts, kinds = SQLITE, {"id": "TEXT"}
    else:
        import psycopg  # noqa: PLC0415 - optional

        connection = psycopg.connect(url)
        connection.execute("SET synchronous_commit = off")
        parts, kinds = POSTGRES, {"id": "uuid"}
    try:
        yield connection, parts, kinds
    finally:
        connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of an empty database")
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=20, help="of a run, on the average")
    parser.add_argument("--no-large", action="store_true", help="leave out the runs with 10,000 and 100,000 steps")
    given = parser.parse_args()
    begun = time.monotonic()
    found = fill(given.url, runs=given.runs, each=given.steps, large=None if given.no_large else Large())
    print(f"in {time.monotonic() - begun:.0f} s:", ", ".join(f"{count:,} {status}" for status, count in found.items()))


if __name__ == "__main__":
    main()
