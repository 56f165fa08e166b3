"""`events.follow` of `Segue` and `AsyncSegue`: what is recorded while it is followed."""

from __future__ import annotations

import asyncio
from itertools import islice

import pytest

from segue import AsyncSegue, Segue, task
from segue.errors import ConfigError


@task
def wait_here() -> None: ...


def test_events_are_followed_from_now_on(segue: Segue) -> None:
    run, other = segue.start(wait_here), segue.start(wait_here)
    run.pause(reason="before")
    stream = segue.events.follow(every=0.01)
    of_run = segue.events.follow(run.id, kinds=["run.resumed", "run.cancel_requested"], every=0.01)
    run.resume(reason="first")
    other.pause(reason="second")
    run.cancel(reason="third")
    seen = list(islice(stream, 3))
    assert [event.detail["reason"] for event in seen] == ["first", "second", "third"]
    assert [event.kind for event in islice(of_run, 2)] == ["run.resumed", "run.cancel_requested"]
    again = segue.events.follow(after=seen[0].id, every=0.01)
    assert [event.id for event in islice(again, 2)] == [event.id for event in seen[1:]]


def test_what_makes_no_sense_is_refused_at_once(segue: Segue) -> None:
    with pytest.raises(ConfigError, match="is not an interval"):
        segue.events.follow(every=0)
    with pytest.raises(ConfigError):
        segue.events.follow(kinds=["run.nonsense"])


def test_events_are_followed_on_an_event_loop(database_url: str) -> None:
    async def follow() -> list[str]:
        async with AsyncSegue(database_url) as segue:
            run = await segue.start(wait_here)
            await run.pause(reason="before")

            async def steer() -> None:
                await asyncio.sleep(0.1)
                await run.resume(reason="first")
                await run.cancel(reason="second")

            steering = asyncio.create_task(steer())
            found: list[str] = []
            async for event in segue.events.follow(run.id, every=0.01):
                found.append(event.detail["reason"])
                if len(found) == 2:
                    break
            await steering
            return found

    assert asyncio.run(follow()) == ["first", "second"]
