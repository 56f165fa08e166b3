"""Observers are told after the fact, by a thread of their own, and can neither hold up the work nor break it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import pytest

from segue.errors import ConfigError, DefinitionError
from segue.observing import observers as module
from segue.observing.journal import Journal, RawEvent
from segue.observing.observers import Event, Observers, on

NOW = datetime(2026, 11, 20, tzinfo=UTC)
WAIT = 20.0


def plainly(raw_events: Sequence[RawEvent], at: datetime) -> list[Event]:
    return [Event(str(number), each.kind, at, each.run_id) for number, each in enumerate(raw_events)]


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> Observers:
    """The observers of a process in which nothing was registered yet."""
    found = Observers()
    monkeypatch.setattr(module, "observers", found)
    return found


@pytest.fixture
def blocked() -> Iterator[threading.Event]:
    """What an observer of the test waits for; let go at the end in any case."""
    found = threading.Event()
    yield found
    found.set()


def publish(mine: Observers, *kinds: str, describe: Callable[..., Sequence[Event]] = plainly) -> None:
    mine.publish([RawEvent(kind, "r") for kind in kinds], NOW, describe)


def test_an_observer_gets_the_events_that_it_asked_for(mine: Observers) -> None:
    heard: list[Event] = []

    @on("run.failed", "step.*")
    def tell(event: Event) -> None:
        heard.append(event)

    publish(mine, "run.failed", "run.succeeded", "step.skipped")
    assert mine.flush(WAIT)
    assert [(event.kind, event.run_id, event.at) for event in heard] == [
        ("run.failed", "r", NOW), ("step.skipped", "r", NOW),
    ]  # fmt: skip


def test_the_decorator_leaves_the_function_as_it_is(mine: Observers) -> None:
    def tell(event: Event) -> None: ...

    assert on("run.*")(tell) is tell


def test_one_wrong_observer_harms_nobody(mine: Observers, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    @on("run.failed")
    def breaks(event: Event) -> None:
        raise ValueError("not my day")

    @on("run.failed")
    def leaves(event: Event) -> None:
        raise SystemExit

    @on("run.failed")
    def tell(event: Event) -> None:
        heard.append(event.kind)

    publish(mine, "run.failed")
    publish(mine, "run.failed")
    assert mine.flush(WAIT)
    assert heard == ["run.failed"] * 2
    assert "not my day" in caplog.text
    assert "breaks" in caplog.text


def test_what_cannot_be_looked_up_is_logged_and_the_rest_goes_on(
    mine: Observers, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []
    on("run.*")(lambda event: heard.append(event.kind))

    def away(raw_events: Sequence[RawEvent], at: datetime) -> list[Event]:
        raise ConnectionError("the database is away")

    publish(mine, "run.failed", describe=away)
    publish(mine, "run.succeeded")
    assert mine.flush(WAIT)
    assert heard == ["run.succeeded"]
    assert "the database is away" in caplog.text


def test_who_publishes_does_not_wait_and_a_full_queue_drops(
    mine: Observers, blocked: threading.Event, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 5)
    heard: list[str | None] = []

    @on("step.failed")
    def slow(event: Event) -> None:
        blocked.wait(WAIT)
        heard.append(event.run_id)

    with caplog.at_level(logging.WARNING, "segue.observing"):
        for number in range(4):
            mine.publish([RawEvent("step.failed", f"{number}{letter}") for letter in "ab"], NOW, plainly)
        assert not mine.flush(0.0)
        assert heard == []
        assert caplog.text.count("dropped") == 1
        blocked.set()
        assert mine.flush(WAIT)
    assert heard == ["0a", "0b", "1a", "1b", "2a"]
    assert "3 events were dropped" in caplog.text


def test_nobody_who_listens_costs_nothing(mine: Observers) -> None:
    publish(mine, "run.failed")
    assert mine.wanted == frozenset()
    assert mine._thread is None
    assert mine.flush(0.0)
    on("run.succeeded")(print)
    publish(mine, "run.failed")
    assert mine._thread is None


def test_a_function_that_is_defined_again_replaces_itself(mine: Observers) -> None:
    heard: list[int] = []

    def module_with(number: int) -> Callable[[Event], None]:
        def tell(event: Event) -> None:
            heard.append(number)

        tell.__qualname__ = "tell"  # as at the top of a module that is reloaded
        return tell

    for number in range(3):
        on("run.failed")(module_with(number))
    on("run.failed")(lambda event: heard.append(10))
    on("run.failed")(lambda event: heard.append(11))
    publish(mine, "run.failed")
    assert mine.flush(WAIT)
    assert heard == [2, 10, 11]


def test_an_observer_can_be_removed(mine: Observers) -> None:
    def tell(event: Event) -> None: ...

    on("run.failed")(tell)
    mine.remove(tell)
    assert mine.wanted == frozenset()


def test_an_observer_that_flushes_does_not_wait_for_itself(mine: Observers) -> None:
    answers: list[bool] = []
    on("run.failed")(lambda event: answers.append(mine.flush(WAIT)))
    publish(mine, "run.failed")
    assert mine.flush(WAIT)
    assert answers == [False]


def test_mistakes_are_told_when_it_is_registered(mine: Observers) -> None:
    with pytest.raises(ConfigError, match=r"'run\.nope' is not a kind"):
        on("run.nope")
    with pytest.raises(DefinitionError, match="has no kind of event"):
        on()
    with pytest.raises(DefinitionError, match="has no kind of event"):
        on(print)  # type: ignore[arg-type]

    async def later(event: Event) -> None: ...

    with pytest.raises(DefinitionError, match="plain function"):
        on("run.failed")(later)
    with pytest.raises(DefinitionError, match="plain function"):
        on("run.failed")(42)  # type: ignore[type-var]
    assert mine.wanted == frozenset()


def test_a_journal_notes_what_is_wanted() -> None:
    journal = Journal(frozenset({"run.failed"}), NOW)
    journal.note("run.succeeded", "a")
    journal.note("run.failed", "b", error="{}")
    assert [(each.kind, each.run_id, each.error) for each in journal.raw_events] == [("run.failed", "b", "{}")]


IN_A_PROCESS = """
import os, sys, time
from datetime import UTC, datetime
from segue.observing.journal import RawEvent
from segue.observing.observers import Event, observers, on

@on("run.failed")
def tell(event):
    time.sleep(0.2)
    os.write(1, event.run_id.encode())

def describe(raw_events, at):
    return [Event("1", each.kind, at, each.run_id) for each in raw_events]

def publish(run_id):
    observers.publish([RawEvent("run.failed", run_id)], datetime.now(UTC), describe)

publish("A")
if len(sys.argv) > 1:
    if os.fork() == 0:
        publish("B")
        assert observers.flush(10)
        os._exit(0)
    os.wait()
"""


@pytest.mark.parametrize("words, told", [((), b"A"), (("fork",), b"AB")])
def test_the_end_of_a_process_waits_a_moment_and_a_fork_begins_anew(words: tuple[str, ...], told: bytes) -> None:
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS, *words],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        check=True,
    )
    assert bytes(sorted(done.stdout)) == told
