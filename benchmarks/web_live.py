"""Measures what a person at a browser notices: how soon a page is there, and how soon a change is on it.

    python -m benchmarks.web_live sqlite:////tmp/large.db                 # first paint of the pages of PAINTED
    python -m benchmarks.web_live postgresql://me@localhost/x --changes   # until what a real worker wrote is shown

The first is measured in Chromium (playwright): milliseconds from the request to the first contentful paint, of pages
loaded anew. For the second, an empty database will do: a task of a real worker reports progress every so often, and the
page of its step stays open.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.web_pages import ids_for
from segue import Segue, progress, task
from segue.web.serve import served_locally
from tests.servers import chromium

PAINTED = (
    ("now", ""),
    ("runs", "runs"),
    ("run", "runs/{failed}"),
    ("run of 10,000", "runs/{newest}"),
    ("run of 10,000, a group open", "runs/{newest}?open=1"),
    ("run of 100,000", "runs/{second}"),
    ("graph of 10,000", "runs/{newest}/graph"),
    ("timeline of 10,000", "runs/{newest}/timeline"),
    ("schedules", "schedules"),
)
LOADS = 7
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"


@task(name="live.report")
def report(changes: int, pause: float) -> None:
    """Reports the time of each change, which the page shows."""
    for _ in range(changes):
        time.sleep(pause)
        progress(1, message=f"at {time.time():.3f}")


def first_paints(browser: Any, address: str, paths: list[tuple[str, str]]) -> None:
    """Print the median first contentful paint of each page, and the greatest."""
    page = browser.new_context(base_url=address, viewport={"width": 1280, "height": 800}).new_page()
    print("| page | first paint, ms | slowest of", LOADS, "|\n|---|---|---|")
    for name, path in paths:
        found = []
        for _ in range(LOADS + 1):
            page.goto(path, wait_until="load")
            page.wait_for_timeout(60)
            found.append(page.evaluate(PAINT))
        took = sorted(each for each in found[1:] if each is not None)
        print(f"| {name} | {statistics.median(took):.0f} | {took[-1]:.0f} |", flush=True)


def changes(browser: Any, segue: Segue, address: str, *, count: int, pause: float) -> None:
    """Print how long it takes until a change that a worker wrote is on the page."""
    run = segue.start(report, count, pause)
    page = browser.new_context(base_url=address).new_page()
    page.goto(f"runs/{run.id}/steps/0")
    late: list[float] = []
    seen = ""
    until = time.monotonic() + count * pause + 20
    while time.monotonic() < until and not page.get_by_text("succeeded", exact=True).count():
        text = page.evaluate("() => /at (\\d+\\.\\d+)/.exec(document.body.textContent)?.[1] ?? ''")
        if text and text != seen:
            seen = text
            late.append(time.time() - float(text))
        time.sleep(0.02)
    if len(late) < 2:
        raise SystemExit(f"The page showed {len(late)} changes: does a worker run?")
    late.sort()
    print(
        f"{len(late)} changes: median {statistics.median(late):.2f} s, "
        f"p95 {late[min(int(len(late) * 0.95), len(late) - 1)]:.2f} s, slowest {late[-1]:.2f} s"
    )


@contextmanager
def _worker(url: str) -> Iterator[None]:
    command = [sys.executable, "-m", "segue", "worker", "-A", "benchmarks.web_live", "--concurrency", "2"]
    process = subprocess.Popen(command, env={**os.environ, "SEGUE_DATABASE_URL": url}, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of the database")
    parser.add_argument("--changes", action="store_true")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--pause", type=float, default=1.7, help="seconds between two changes")
    given = parser.parse_args()
    with Segue(given.url) as segue, served_locally(segue) as address, chromium.running_browser() as browser:
        if given.changes:
            with _worker(given.url):
                changes(browser, segue, address, count=given.count, pause=given.pause)
        else:
            ids = ids_for(segue)
            first_paints(browser, address, [(name, path.format_map(ids)) for name, path in PAINTED])


if __name__ == "__main__":
    main()
