"""Requests pages of the web application in this process, and prints what each costs.

    python -m benchmarks.web_pages sqlite:////tmp/large.db                       # the pages of PAGES
    python -m benchmarks.web_pages sqlite:////tmp/large.db /runs '/runs?status=failed'

`benchmarks.web_fill` makes a large database. Of each page, the table has the number of statements, the milliseconds in
the database, those until an answer (which may say that steps are still being counted), those until an answer that has
everything, those of a second request at once (people who look at the same share a look), the bytes of the answer and
its elements. Times are the least of several requests: what else the machine does only adds to them.
`{newest}`, `{second}`, `{failed}` in a path are ids of runs: the newest, the one before it, the newest that failed.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Any, NamedTuple

from segue import Segue
from segue.web import kept
from segue.web.app import create_app
from segue.web.kept import forget
from segue.web.roles import Identity, Role

PAGES = (
    ("now", "/"),
    ("runs", "/runs"),
    ("runs, failed", "/runs?status=failed"),
    ("runs, failed in 24 h", "/runs?failed_since=24h"),
    ("runs, cancelled", "/runs?status=cancelled"),
    ("runs, running", "/runs?status=running"),
    ("runs, succeeded", "/runs?status=succeeded"),
    ("runs, by workflow", "/runs?workflow=shop.nightly"),
    ("runs, by tag", "/runs?tag=nightly"),
    ("runs, by metadata", "/runs?meta.customer=1001"),
    ("runs, nothing found", "/runs?workflow=shop.none"),
    ("run", "/runs/{failed}"),
    ("run of 10,000", "/runs/{newest}"),
    ("run of 10,000, a group open", "/runs/{newest}?open=1"),
    ("run of 10,000, running steps", "/runs/{newest}?status=running"),
    ("run of 10,000, group", "/runs/{newest}/groups/1"),
    ("run of 100,000", "/runs/{second}"),
    ("graph of 10,000", "/runs/{newest}/graph"),
    ("graph of 100,000", "/runs/{second}/graph"),
    ("timeline of 10,000", "/runs/{newest}/timeline"),
    ("timeline of 100,000", "/runs/{second}/timeline"),
    ("data", "/runs/{failed}/data"),
    ("activity", "/runs/{failed}/activity"),
    ("activity of 10,000", "/runs/{newest}/activity"),
    ("compare", "/compare?a={failed}&b={newest}"),
    ("step that failed", "/runs/{failed}/steps/0"),
    ("step of 10,000", "/runs/{newest}/steps/9999"),
    ("fork", "/runs/{failed}/fork"),
    ("start", "/start"),
    ("bulk", "/bulk?verb=retry&all=1&failed_since=24h"),
    ("search", "/search"),
    ("workflows", "/workflows"),
    ("workflow", "/workflows/shop.nightly"),
    ("errors", "/errors"),
    ("error", "/errors/9f3a000000000000"),
    ("approvals", "/approvals"),
    ("schedules", "/schedules"),
    ("schedule", "/schedules/schedule-1"),
    ("queues", "/queues"),
    ("queue", "/queues/default"),
    ("workers", "/workers"),
    ("worker", "/workers/50000000-0000-7000-8000-000000000001"),
    ("limits", "/limits"),
    ("limit", "/limits/limit-1"),
    ("events", "/events"),
    ("events, alerts", "/events?kind=alert"),
    ("audit", "/audit"),
    ("executors", "/executors"),
    ("subscriptions", "/subscriptions"),
    ("administration", "/admin"),
    ("retention", "/admin/retention"),
    ("access", "/admin/access"),
    ("settings", "/settings"),
    ("API: runs", "/api/v1/runs"),
    ("API: run", "/api/v1/runs/{failed}"),
    ("API: explain", "/api/v1/runs/{newest}/explain"),
    ("API: progress of 10,000", "/api/v1/runs/{newest}/progress"),
    ("API: steps of 10,000", "/api/v1/runs/{newest}/steps"),
    ("API: graph of 10,000", "/api/v1/runs/{newest}/graph"),
    ("API: folded graph of 10,000", "/api/v1/runs/{newest}/graph/folded"),
    ("API: attempts", "/api/v1/runs/{failed}/attempts"),
    ("API: step", "/api/v1/runs/{failed}/steps/0"),
    ("API: events of a run", "/api/v1/runs/{failed}/events"),
    ("API: events", "/api/v1/events"),
    ("API: approvals", "/api/v1/approvals"),
    ("API: preview", "/api/v1/selections/preview?verb=retry&status=failed"),
    ("API: schedules", "/api/v1/schedules"),
    ("API: schedule", "/api/v1/schedules/schedule-1"),
    ("API: ticks", "/api/v1/schedules/schedule-1/ticks"),
    ("API: queues", "/api/v1/queues"),
    ("API: workers", "/api/v1/workers"),
    ("API: limits", "/api/v1/limits"),
    ("API: definitions", "/api/v1/definitions"),
    ("API: database", "/api/v1/database"),
    ("API: payloads", "/api/v1/payloads"),
    ("API: retention", "/api/v1/retention"),
    ("API: audit", "/api/v1/audit"),
)
REPEATS = 5


class Cost(NamedTuple):
    """What a page cost."""

    name: str
    path: str
    status: int
    statements: int
    database_ms: float
    first_ms: float  # until the answer, which may come before everything is read
    all_ms: float  # until an answer with everything
    again_ms: float  # if somebody has just asked for the same
    bytes: int
    elements: int


class Counter:
    """Counts the statements of a store, and the seconds that they took. Answers of `later` count when they are read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Begin again."""
        self.statements, self.seconds = 0, 0.0

    @contextmanager
    def counting(self, statements: int = 1) -> Iterator[None]:
        """Count what is done meanwhile."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.statements += statements
                self.seconds += time.perf_counter() - begun


class _Counted:
    """A transaction whose statements are counted."""

    def __init__(self, tx: Any, counter: Counter) -> None:
        self._tx, self._counter = tx, counter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    def all(self, statement: str, **parameters: Any) -> Any:
        with self._counter.counting():
            return self._tx.all(statement, **parameters)

    def later(self, statement: str, **parameters: Any) -> Any:
        with self._counter.counting():
            return self._tx.later(statement, **parameters)


def watch(store: Any) -> Counter:
    """Count the statements of every transaction of a store from now on."""
    counter = Counter()
    for name in ("transaction", "reading"):
        setattr(store, name, _watched(getattr(store, name), counter))
    return counter


def _watched(open_: Any, counter: Counter) -> Any:
    @contextmanager
    def opened(*args: Any, **options: Any) -> Iterator[Any]:
        with open_(*args, **options) as tx:
            yield tx if isinstance(tx, _Counted) else _Counted(tx, counter)  # a store may read in a transaction

    return opened


class _Elements(HTMLParser):
    count = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.count += 1


def elements(html: str) -> int:
    """How many elements a page has."""
    parser = _Elements()
    parser.feed(html)
    return parser.count


async def get(app: Any, path: str) -> tuple[int, bytes]:
    """Request a path of an ASGI application; returns the status and the body."""
    before, _, query = path.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": before, "raw_path": before.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(b"host", b"localhost"), (b"accept", b"text/html")], "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }  # fmt: skip
    status, body = 0, b""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, body
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            body += message.get("body", b"")

    await app(scope, receive, send)
    return status, body


def measure(segue: Segue, pages: Iterable[tuple[str, str]], *, repeats: int = REPEATS) -> list[Cost]:
    """Request each page several times. The first request of each is not measured."""
    ids = ids_for(segue)
    counter = watch(segue.engine.store)
    app = create_app(segue, identify=lambda request: Identity("ann", Role.ADMIN))
    return asyncio.run(_measure(segue, app, counter, [(name, path.format_map(ids)) for name, path in pages], repeats))


async def _measure(
    segue: Segue, app: Any, counter: Counter, pages: list[tuple[str, str]], repeats: int
) -> list[Cost]:  # fmt: skip
    found = []
    for name, path in pages:
        with _patient():
            await get(app, path)
        status, body, statements, first, took, inside, again = 0, b"", 0, [], [], [], []
        for _ in range(repeats):
            forget(segue)
            begun = time.perf_counter()
            await get(app, path)
            first.append(time.perf_counter() - begun)
            with _patient():
                await get(app, path)  # what the first answer did not wait for has been read
                forget(segue)
                counter.reset()
                begun = time.perf_counter()
                status, body = await get(app, path)
            took.append(time.perf_counter() - begun)
            inside.append(counter.seconds)
            statements = max(statements, counter.statements)
            begun = time.perf_counter()
            await get(app, path)
            again.append(time.perf_counter() - begun)
        inner, at_first, whole, second = (min(seconds) * 1000 for seconds in (inside, first, took, again))
        shown = elements(body.decode(errors="replace")) if body.startswith(b"<!") else 0
        found.append(Cost(name, path, status, statements, inner, at_first, whole, second, len(body), shown))
    return found


@contextmanager
def _patient() -> Iterator[None]:
    """Inside the block, pages come when everything on them is read."""
    usual, kept.MOMENT = kept.MOMENT, 60.0
    try:
        yield
    finally:
        kept.MOMENT = usual


def ids_for(segue: Segue) -> dict[str, str]:
    """The runs that the paths of pages name."""
    newest = [run.id for run in segue.runs(limit=2)]
    failed = [run.id for run in segue.runs(status="failed", limit=1)]
    none = "00000000-0000-7000-8000-000000000000"
    return dict(zip(("newest", "second", "failed"), (*newest, none, none)[:2] + (*failed, none)[:1], strict=True))


def table(costs: Iterable[Cost]) -> str:
    """The costs as a table of Markdown."""
    lines = [
        "| page | status | statements | ms in the database | ms to answer | ms in all | ms again | bytes | elements |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {cost.name} | {cost.status} | {cost.statements} | {cost.database_ms:.1f} | {cost.first_ms:.1f} "
        f"| {cost.all_ms:.1f} | {cost.again_ms:.1f} | {cost.bytes:,} | {cost.elements:,} |"
        for cost in costs
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of the database")
    parser.add_argument("paths", nargs="*", help="instead of all pages")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    given = parser.parse_args()
    with Segue(given.url) as segue:
        pages = [(path, path) for path in given.paths] or PAGES
        print(table(measure(segue, pages, repeats=given.repeats)))


if __name__ == "__main__":
    main()
