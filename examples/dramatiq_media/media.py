"""Videos on Dramatiq whose processing is durable: two queues, retries, a group in a chain, a person, and what follows.

README.md beside this file says how to run it.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from segue import Limit, Run, Segue, chain, wait_for
from segue.executors.dramatiq import Group, SegueMiddleware, flow, step

LEDGER = Path(os.environ.get("MEDIA_LEDGER", "ledger.txt"))
WIDTHS = (1920, 1280, 640)

broker = RedisBroker(url=os.environ.get("MEDIA_REDIS", "redis://localhost:6379/0"))
segue = Segue(os.environ.get("MEDIA_DATABASE", "sqlite:///media.db"))
broker.add_middleware(SegueMiddleware(segue))
dramatiq.set_broker(broker)


class BrokenVideoError(Exception):
    """A file that is no video: to try again is of no use."""


def note(line: str) -> None:
    """Write into the ledger, which stands for all that the actors of a real project do."""
    with LEDGER.open("a") as file:
        file.write(f"{line}\n")


@dramatiq.actor(max_retries=5, min_backoff=100, throws=(BrokenVideoError,))
def probe(video: str) -> dict[str, Any]:
    """Look what a file is."""
    if video.endswith(".txt"):
        raise BrokenVideoError(video)
    note(f"{video}: probed")
    return {"video": video, "seconds": 60}


@dramatiq.actor(queue_name="encoding", time_limit=600_000)
def encode(width: int, found: dict[str, Any]) -> str:
    """Make one size of it. `found` is what `probe` returned."""
    note(f"{found['video']}: {width} wide")
    return f"{found['video']}.{width}"


@dramatiq.actor
def ask(files: list[str]) -> list[str]:
    """Show the sizes to a person."""
    note(f"to be looked at: {len(files)} files")
    return files


@dramatiq.actor
def publish(video: str, answer: dict[str, Any]) -> str:
    """Put it online, if a person has agreed."""
    outcome = "published" if answer["ok"] else "refused"
    note(f"{video}: {outcome} by {answer['by']}")
    return outcome


@dramatiq.actor
def complain(video: str, outcome: dict[str, Any]) -> None:
    """Called once when the run has failed. `outcome` says why."""
    note(f"{video}: {outcome['error']['type']}")


def processing(video: str) -> Any:
    """What happens to a video, as a plan."""
    cores = Limit("encoders", concurrency=2)
    sizes = Group(*(step(encode.message(width), limits=[cores]) for width in WIDTHS))
    looked_at = wait_for.s("approved", timeout=timedelta(days=3), default={"ok": False, "by": "the clock"})
    return flow(
        chain(probe.message(video), sizes, ask.message(), looked_at, publish.message(video)),
        name="video",
        pass_results=True,
        on_failure=complain.message(video),
    )


def upload(video: str) -> Run:
    """Start the processing of a video, once for each."""
    return segue.start(processing(video), key=video, tags=["upload"])


def deploy() -> None:
    """To be called once for each release: makes the tables."""
    segue.upgrade()
