"""Streams: how many there are, how they end, and what happens if a look fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from segue import Run, Segue
from segue.errors import RunNotFoundError
from segue.web import Identity, streams
from segue.web.access.host import HostAccess
from segue.web.app import Application
from segue.web.live import PROBES
from segue.web.site import FOLLOWED, Settings, Site
from tests.contract.web.asking import takings

pytestmark = pytest.mark.contract

SOON = 10


@pytest.fixture
def segue(tmp_path: Path) -> Iterator[Segue]:
    with Segue(f"sqlite:///{tmp_path}/segue.db") as found:
        yield found


@pytest.fixture
def app(segue: Segue) -> Application:
    """An application to which a header says who asks."""
    return Application(Site(segue, HostAccess(lambda request: Identity(request.headers["who"], "viewer")), Settings()))


class Asked:
    """A request to a stream, made without a server."""

    def __init__(self, app: Application, path: str, *, who: str = "ann", method: str = "GET") -> None:
        path, _, query = path.partition("?")
        self._scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": method,
            "path": path, "raw_path": path.encode(), "root_path": "", "scheme": "http", "query_string": query.encode(),
            "headers": [(b"host", b"localhost"), (b"who", who.encode())], "client": ("127.0.0.1", 1),
        }  # fmt: skip
        self._app = app
        self._leaves = asyncio.Event()
        self.began = asyncio.Event()
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""

    async def run(self) -> None:
        """Ask until the answer ends."""
        await self._app(self._scope, self._receive, self._send)

    def leave(self) -> None:
        """The client is gone."""
        self._leaves.set()

    async def _receive(self) -> dict[str, Any]:
        if self._scope.pop("asked", True):
            self._scope["asked"] = False
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._leaves.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            self.began.set()
        self.body += message.get("body", b"")


@asynccontextmanager
async def asked(app: Application, *paths: str, **options: Any) -> AsyncIterator[list[Asked]]:
    """Requests at the same time, which have been answered with a status. At the end their clients leave."""
    made = [Asked(app, path, **options) for path in paths]
    tasks = [asyncio.create_task(each.run()) for each in made]
    try:
        for each in made:
            await asyncio.wait_for(each.began.wait(), SOON)
        yield made
    finally:
        for each in made:
            each.leave()
        await asyncio.wait_for(asyncio.gather(*tasks), SOON)


def awaited(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 60))  # type: ignore[arg-type]


def test_requests_at_once_get_no_more_streams_than_one_after_the_other(segue: Segue, app: Application) -> None:
    run = segue.start(takings, [1])

    async def story() -> None:
        async with asked(app, *[f"/api/v1/runs/{run.id}/follow"] * (FOLLOWED + 5)) as made:
            assert sorted(each.status for each in made) == [200] * FOLLOWED + [429] * 5
            async with asked(app, f"/api/v1/runs/{run.id}/follow", who="bob") as [other]:
                assert other.status == 200
        assert app.site.followers.taken == 0
        async with asked(app, *["/live?topic=runs"] * 5) as made:
            assert sorted(each.status for each in made) == [200, 200, 200, 204, 204]
        assert app.bells.open == 0

    awaited(story)


def test_too_many_streams_in_all_are_refused_for_now(
    segue: Segue, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MOST", 1)
    run = segue.start(takings, [1])

    async def story() -> None:
        for path in ("/live?topic=runs", f"/api/v1/runs/{run.id}/follow"):
            async with asked(app, path), asked(app, path, who="bob") as [other]:
                assert (other.status, other.headers[b"retry-after"]) == (503, b"2")
            async with asked(app, path, who="bob") as [other]:
                assert other.status == 200

    awaited(story)


def test_what_head_asks_for_ends(segue: Segue, app: Application) -> None:
    run = segue.start(takings, [1])

    async def story() -> None:
        for path in ("/live?topic=runs", f"/api/v1/runs/{run.id}/follow"):
            head = Asked(app, path, method="HEAD")
            await asyncio.wait_for(head.run(), SOON)
            assert (head.status, head.body) == (200, b"")
        assert (app.bells.open, app.site.followers.taken) == (0, 0)

    awaited(story)


def test_streams_end_with_the_server_and_with_the_run(segue: Segue, app: Application) -> None:
    run, gone = segue.start(takings, [1]), segue.start(takings, [2])

    async def story() -> None:
        deleted = Asked(app, f"/api/v1/runs/{gone.id}/follow")
        following = asyncio.create_task(deleted.run())
        while not deleted.body:
            await asyncio.sleep(0.02)
        await asyncio.to_thread(_delete, segue, gone)
        await asyncio.wait_for(following, SOON)
        open_ = [Asked(app, path) for path in ("/live?topic=runs", f"/api/v1/runs/{run.id}/follow")]
        tasks = [asyncio.create_task(each.run()) for each in open_]
        for each in open_:
            await asyncio.wait_for(each.began.wait(), SOON)
        app.bells.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 2.5)

    awaited(story)


def _delete(segue: Segue, run: Run[Any]) -> None:
    segue.retention.set(takings.name, max_age=timedelta(seconds=0.001))
    run.cancel()
    with suppress(RunNotFoundError):
        while run.info():
            segue.retention.sweep()


def test_a_look_that_fails_by_a_fault_of_ours_rings_and_is_logged_once(
    segue: Segue, app: Application, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("segue.web.live.PERIOD", 0.01)
    monkeypatch.setattr("segue.web.live.UNSEEN", 0.01)
    faults: list[int] = []

    def faulty(of: Segue, rest: str) -> int:
        """Twenty faults, and then it sees something new each time."""
        faults.append(len(faults))
        if len(faults) <= 20:
            raise KeyError(rest)
        return len(faults)

    monkeypatch.setitem(PROBES, "faulty", faulty)

    async def story() -> None:
        rings = app.bells.rings("faulty:x")
        seen = [await asyncio.wait_for(anext(rings), 5) for _ in range(5)]
        assert None not in seen
        while len(faults) < 23:
            await asyncio.wait_for(anext(rings), 5)
        await rings.aclose()  # type: ignore[attr-defined]

    with caplog.at_level(logging.DEBUG, "segue.web"):
        awaited(story)
    assert len([record for record in caplog.records if "faulty:x" in record.getMessage()]) == 1
