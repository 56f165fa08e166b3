"""The actors of a Dramatiq project, as a user has them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import dramatiq
from dramatiq import Broker
from dramatiq.middleware import CurrentMessage, Middleware, SkipMessage

from segue import Event, current, on, progress


def wait_for_path(path: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not Path(path).exists():
        assert time.monotonic() < end
        time.sleep(0.01)


class SkipsSome(Middleware):  # type: ignore[misc]
    """A project's own middleware: it skips messages that ask for it."""

    def before_process_message(self, broker: Broker, message: Any) -> None:
        if message.options.get("skip_me"):
            raise SkipMessage("not today")


def declare_actors(broker: Broker) -> None:
    """Declare them on a broker."""

    def actor(name: str, **options: Any) -> Any:
        return dramatiq.actor(actor_name=name, broker=broker, **options)

    @actor("add")
    def add(*values: Any) -> Any:
        return sum(values)

    @actor("total")
    def total(values: list[Any]) -> Any:
        return sum(values)

    @actor("same")
    def same(*values: Any, **named: Any) -> Any:
        return [list(values), named] if named or len(values) != 1 else values[0]

    @actor("other_queue", queue_name="other")
    def other_queue(value: Any) -> Any:
        return value

    @actor("ignoring", pipe_ignore=True)
    def ignoring(value: Any) -> Any:
        return value

    @actor("note")
    def note(path: str, word: str, *_: Any) -> str:
        with Path(path).open("a") as file:
            file.write(f"{word}\n")
        return word

    @actor("fail", max_retries=0)
    def fail(*_: Any) -> None:
        raise ValueError("broken")

    @actor("fail_thrice", max_retries=2, min_backoff=10, max_backoff=20)
    def fail_thrice(path: str) -> None:
        note.fn(path, "tried")
        raise KeyError("again")

    @actor("thrown", throws=(LookupError,))
    def thrown() -> None:
        raise KeyError("expected")

    @actor("flaky", max_retries=5, min_backoff=10, max_backoff=20)
    def flaky(path: str, tries: int) -> int:
        note.fn(path, f"{current().attempt}")
        if len(Path(path).read_text().splitlines()) < tries:
            raise OSError("not yet")
        return tries

    @actor("flaky_with", max_retries=5, min_backoff=10, max_backoff=20)
    def flaky_with(path: str, tries: int, value: int) -> Any:
        """It changes an option of its message, which its next try sees."""
        options = CurrentMessage.get_current_message().options
        note.fn(path, "tried")
        if len(Path(path).read_text().splitlines()) < tries:
            options["mine"] = [*options["mine"], "seen"]
            raise OSError("not yet")
        return [value, options["mine"]]

    @actor("wait_for_file", max_retries=0)
    def wait_for_file(path: str) -> str:
        wait_for_path(path)
        return "seen"

    @actor("note_and_wait", max_retries=0)
    def note_and_wait(path: str, until: str, *_: Any) -> str:
        note.fn(path, "begun")
        wait_for_path(until)
        return "waited"

    @actor("die_once")
    def die_once(path: str) -> str:
        marker = Path(path)
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "survived"

    @actor("too_long", time_limit=200, max_retries=0)
    def too_long(path: str) -> None:
        wait_for_path(path, 20.0)

    @actor("until_shutdown", notify_shutdown=True, max_retries=0)
    def until_shutdown(path: str, until: str) -> str:
        note.fn(path, "begun")
        wait_for_path(until)
        return "done"

    @actor("aged", max_age=1)
    def aged() -> None:
        return None

    @actor("reporting")
    def reporting(path: str) -> list[Any]:
        progress(1, 4, "rows")
        wait_for_path(path)
        progress(4, 4, "rows")
        here = current()
        return [here.run_id, here.step, here.attempt, here.task]

    @actor("unwritable")
    def unwritable() -> object:
        return object()

    @actor("sends_itself")
    def sends_itself(path: str) -> None:
        note.fn(path, "ran")
        if len(Path(path).read_text().splitlines()) < 2:
            broker.enqueue(CurrentMessage.get_current_message())

    @actor("sends_on")
    def sends_on(path: str) -> Any:
        return note.send(path, "sent")

    @actor("returns_a_chain")
    def returns_a_chain(number: int) -> Any:
        from segue.executors.dramatiq import Chain, Group

        return Chain(add.message(1, 1), Group(add.message(number, 1), add.message(number, 2)))

    @actor("slow_add")
    async def slow_add(*values: int) -> list[Any]:
        await asyncio.sleep(0.01)
        return [sum(values), current().step]

    @actor("stored", store_results=True)
    def stored(value: Any) -> Any:
        return value


def observe(path: str) -> None:
    """Write down events of runs."""

    @on("run.*", "step.*")
    def write(event: Event) -> None:
        with Path(path).open("a") as file:
            file.write(f"{event.run_id} {event.kind} {event.name or ''}\n")
