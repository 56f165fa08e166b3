"""Random debounced starts, of any size, repeated late, beside windows that pass: what returned is in its run, once.

The model is a list of what each run should have been started with. A start that is refused is in no run, and one that
is repeated is in the run that it was in.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.authoring import encode
from segue.engine import debounce
from segue.engine.debounce import DebounceTerms, Keep, NewStart
from segue.errors import RunStateError
from segue.scheduler.debouncing import start_due_debounces
from tests.contract.stage import Stage, node, plan

ROOM = 200  # bytes

events = st.lists(
    st.one_of(
        st.tuples(
            st.just("start"), st.sampled_from(["a", "b"]), st.sampled_from(list(Keep)), st.integers(0, ROOM - 10),
            st.integers(1, 4),
        ),
        st.tuples(st.just("again"), st.integers(0, 30)),
        st.tuples(st.just("pass"), st.sampled_from([1.0, 6.0])),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
    ),
    max_size=25,
)  # fmt: skip


@settings(max_examples=settings.default.max_examples)
@given(events=events)
def test_what_returned_is_in_its_run_once(stage: Stage, events: list[tuple[Any, ...]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(debounce, "MOST_BYTES", ROOM)
        _Play(stage).play(events)


class _Play:
    def __init__(self, stage: Stage) -> None:
        stage.empty()
        self.stage = stage
        self.said: list[tuple[NewStart, DebounceTerms, str]] = []
        self.expected: dict[str, list[str]] = {}
        self.keeps: dict[str, Keep] = {}
        self.got: dict[str, Any] = {}
        self.cancelled: set[str] = set()

    def play(self, events: list[tuple[Any, ...]]) -> None:
        for name, *details in events:
            getattr(self, f"do_{name}")(*details)
        self.do_pass(100.0)
        for run_id, arguments in self.expected.items():
            if run_id in self.cancelled:
                assert run_id not in self.got
            elif self.keeps[run_id] is Keep.ALL:
                assert self.got[run_id] == arguments
            else:
                assert self.got[run_id] == (arguments[0] if self.keeps[run_id] is Keep.FIRST else arguments[-1])

    def do_start(self, key: str, keep: Keep, size: int, most: int) -> None:
        argument = f"{len(self.said)}:".ljust(size, "x")
        step = node("a", args=encode([[[argument] if keep is Keep.ALL else argument], {}]))
        start = NewStart(self.stage.engine.new_id(), plan(step), encode([[argument], {}]), needs_code=False)
        terms = DebounceTerms(key, 5.0, keep, most=most)
        try:
            run_id = self.add(start, terms)
        except RunStateError:
            return
        self.said.append((start, terms, run_id))
        self.keeps.setdefault(run_id, keep)
        self.expected.setdefault(run_id, []).append(argument)

    def do_again(self, which: int) -> None:
        if self.said:
            start, terms, run_id = self.said[which % len(self.said)]
            assert self.add(start, terms) == run_id

    def do_cancel(self, which: int) -> None:
        waiting = [run_id for run_id in self.expected if run_id not in self.got]
        if waiting:
            run_id = waiting[which % len(waiting)]
            self.stage.cancel(run_id)
            self.cancelled.add(run_id)

    def do_pass(self, seconds: float) -> None:
        self.stage.advance(seconds)
        while start_due_debounces(self.stage.engine):
            pass
        for job in self.stage.claim(want=50):
            assert job.run_id not in self.got
            self.got[job.run_id] = msgspec.json.decode(job.args)[0][0]

    def add(self, start: NewStart, terms: DebounceTerms) -> str:
        return self.stage.engine.act(debounce.add_start, start, terms)
