"""Calls in threads of their own: answers, errors, and how many may be without an answer."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator

import pytest

from segue.scheduler.error_text import REASON_LIMIT, reason_of, text_of
from segue.scheduler.user_calls import MOST, MOST_OF_ONE, Call, NoAnswerError, call_in_thread

PATIENCE = 10.0
place = contextvars.ContextVar("place", default="nowhere")


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What waits for it is let go at the end."""
    gate = threading.Event()
    yield gate
    gate.set()


def test_a_call_returns_what_was_returned_and_raises_what_was_raised() -> None:
    def fail() -> None:
        raise ValueError("no")

    def exit_() -> None:
        raise KeyboardInterrupt

    good, bad, worst = call_in_thread("good", lambda: 3), call_in_thread("bad", fail), call_in_thread("worst", exit_)
    assert all(call.wait(PATIENCE) for call in (good, bad, worst))
    assert good.result() == 3
    with pytest.raises(ValueError, match="no"):
        bad.result()
    with pytest.raises(RuntimeError, match="workflow worst raised KeyboardInterrupt"):
        worst.result()


def test_a_call_knows_nothing_of_what_its_caller_is_in() -> None:
    place.set("in a workflow")
    call = call_in_thread("w", place.get)
    assert call.wait(PATIENCE)
    assert call.result() == "nowhere"


def test_a_call_that_has_not_returned_says_so(gate: threading.Event) -> None:
    call = call_in_thread("slow", lambda: gate.wait(PATIENCE))
    assert not call.wait(0.0)
    with pytest.raises(NoAnswerError, match="workflow slow has not returned since it was called"):
        call.result()
    gate.set()
    assert call.wait(PATIENCE)
    assert call.result()


def test_calls_that_have_not_returned_are_few(gate: threading.Event) -> None:
    calls: list[Call[bool]] = []
    while len(calls) < MOST:
        name = f"w{len(calls)}"
        calls += [call_in_thread(name, lambda: gate.wait(PATIENCE)) for _ in range(MOST_OF_ONE)]
        if len(calls) == MOST_OF_ONE:
            with pytest.raises(NoAnswerError, match=f"{MOST_OF_ONE} calls of workflow w0 have not returned"):
                call_in_thread("w0", lambda: True)
    with pytest.raises(NoAnswerError, match=f"{MOST} calls of workflows have not returned"):
        call_in_thread("other", lambda: True)
    gate.set()
    assert all(call.wait(PATIENCE) for call in calls)
    assert call_in_thread("w0", lambda: True).wait(PATIENCE)


def test_an_error_is_told_as_every_database_can_hold_it() -> None:
    class RudeError(Exception):
        def __str__(self) -> str:
            raise ValueError("rude")

    assert text_of(ValueError("a\0b \ud800")) == "a\\x00b \\ud800"
    assert reason_of(RudeError()) == "RudeError: (its message could not be read)"
    assert len(reason_of(ValueError("\0" * 1000))) == REASON_LIMIT
