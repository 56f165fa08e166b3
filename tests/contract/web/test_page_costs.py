"""What pages cost on a database with a month of use: statements, bytes and elements, which no load of the machine
changes. `benchmarks.web_pages` measures the times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from benchmarks.web_fill import Large, fill
from benchmarks.web_pages import PAGES, measure, watch
from segue import Segue
from segue.web import troubles
from segue.web.access.local import LocalAccess
from segue.web.live import PING, PROBES, Bells
from segue.web.probes import run as look_at_run
from segue.web.site import Settings, Site
from tests.contract.web.asking import takings

pytestmark = pytest.mark.contract

MOST_BYTES, MOST_ELEMENTS, MOST_STATEMENTS = 150_000, 3_000, 6
MORE_STATEMENTS = {
    "now": 8, "API: explain": 7, "run": 3, "run of 10,000": 5, "run of 100,000": 2, "data": 4,
    "run of 10,000, running steps": 3, "run of 10,000, group": 4, "graph of 10,000": 4, "graph of 100,000": 4,
    "timeline of 10,000": 4, "activity": 3,
}  # fmt: skip
"""Where every look needs more, or fewer. All are constant: they do not grow with runs, steps, queues or schedules."""
PROGRAMS = {"API: graph of 10,000"}
"""Programs get 2,000 steps on a page."""


def test_no_page_costs_more_than_its_budget(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(troubles, "KEPT_SECONDS", 1e9)  # the page that looks at them again would be another each time
    fill(database_url, runs=300, each=5, large=Large(10_000, 3_000), say=lambda line: None)
    with Segue(database_url) as segue:
        costs = measure(segue, PAGES, repeats=1)
    assert [cost for cost in costs if cost.status != 200] == []
    assert [cost for cost in costs if cost.statements > MORE_STATEMENTS.get(cost.name, MOST_STATEMENTS)] == []
    assert [cost for cost in costs if cost.bytes > MOST_BYTES and cost.name not in PROGRAMS] == []
    assert [cost for cost in costs if cost.elements > MOST_ELEMENTS] == []


def test_fifty_who_watch_a_run_cost_one_look(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segue.web.live.PERIOD", 0.2)
    monkeypatch.setattr("segue.web.live.SHARE", 1)
    run = segue.start(takings, [1, 2, 3])
    alone = statements_of(segue, lambda: look_at_run(segue, run.id))
    looks = 0

    def counted(of: Segue, run_id: str) -> Any:
        nonlocal looks
        looks += 1
        return look_at_run(of, run_id)

    monkeypatch.setitem(PROBES, "run", counted)

    async def watched() -> list[int | None]:
        bells = Bells(Site(segue, LocalAccess(), Settings()))
        streams = [bells.rings(f"run:{run.id}") for _ in range(50)]
        await asyncio.gather(*(anext(stream) for stream in streams))  # each once, as soon as changes are noticed
        firsts = [asyncio.ensure_future(anext(stream)) for stream in streams]
        while looks < 3:
            await asyncio.sleep(0.02)
        await asyncio.to_thread(run.pause)
        found = await asyncio.wait_for(asyncio.gather(*firsts), PING)
        for stream in streams:
            await stream.aclose()
        return list(found)

    with counting(segue) as counter:
        found = asyncio.run(watched())
    assert found == [1] * 50
    pausing = 20  # statements at most, of the verb
    assert looks * alone <= counter.statements <= looks * alone + pausing < 50 * alone


def test_a_ring_while_the_last_one_is_sent_is_not_lost(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a page would show the state before for a quarter of a minute."""
    monkeypatch.setattr("segue.web.live.PERIOD", 0.02)
    looks: list[int] = []

    def changing(of: Segue, rest: str) -> int:
        """Six changes, and then none."""
        looks.append(len(looks))
        return min(looks[-1], 6)

    monkeypatch.setitem(PROBES, "changing", changing)

    async def watched() -> list[int | None]:
        bells = Bells(Site(segue, LocalAccess(), Settings()))
        stream = bells.rings("changing:x")
        found = [await anext(stream)]
        while len(looks) < 12:  # sending takes long, and the bell rings meanwhile
            await asyncio.sleep(0.02)
        found.append(await asyncio.wait_for(anext(stream), 5))
        await stream.aclose()
        return found

    assert asyncio.run(watched())[-1] == 6


def statements_of(segue: Segue, look: Any) -> int:
    """How many statements a look makes."""
    with counting(segue) as counter:
        look()
    return counter.statements


@contextmanager
def counting(segue: Segue) -> Iterator[Any]:
    """Count the statements of the database of `segue` meanwhile."""
    store = segue.engine.store
    before = {name: getattr(store, name) for name in ("transaction", "reading")}
    try:
        yield watch(store)
    finally:
        for name, method in before.items():
            setattr(store, name, method)
