"""What an executor remembers of attempts that have not begun, or that will not end by themselves.

Nothing here matters after a crash: the next dispatcher starts to wait again. So no time of the cluster's clocks is
compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from segue.dispatcher.protocol import Cause
from segue.executors.kubernetes.meaning import Hurdle, Wait, is_cut_off
from segue.executors.kubernetes.objects import BEGIN_ANNOTATION, Job, Pod

EVENTS_AFTER_SECONDS = 5.0  # an attempt that waits without a reason is asked about
EVENTS_AGAIN_SECONDS = 30.0


class Verdict(NamedTuple):
    """An attempt that is given up: why, in the cluster's words."""

    cause: Cause
    reason: str


class Patience:
    """How long attempts are waited for. All times are in seconds.

    `setup_seconds`: an image or a setting that is wrong. `lost_seconds`: a machine that says nothing any more.
    """

    def __init__(
        self, *, setup_seconds: float, lost_seconds: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._setup_seconds = setup_seconds
        self._lost_seconds = lost_seconds
        self._monotonic = monotonic
        self._stuck: dict[str, tuple[float, str]] = {}  # since when, and what was said first, which says most
        self._cut_off: dict[str, float] = {}
        self._asked: dict[str, tuple[float, str | None]] = {}  # when to ask for events again, and what they said
        self._begun: set[str] = set()
        self._waits_since: dict[str, float] = {}
        self._passing: dict[str, Wait] = {}  # a registry that asks for patience: a later "Back-off" does not say so
        self._unread_since: dict[str, float] = {}  # since when a log cannot be read
        self.given_up: dict[str, Verdict] = {}

    def judge(self, name: str, job: Job, pod: Pod | None, *, is_running: bool, wait: Wait) -> Verdict | None:
        """Whether an attempt that has not ended is to be given up."""
        if is_cut_off(pod):
            since = self._cut_off.setdefault(name, self._monotonic())
            if self._monotonic() >= since + self._lost_seconds:
                return Verdict(
                    Cause.LOST, f"its pod is to be removed, and its machine says nothing for {self._lost_seconds:.0f} s"
                )
        else:
            self._cut_off.pop(name, None)
        if is_running:
            self._begun.add(name)
            return None
        if job.spec.suspend and name in self._begun:
            return Verdict(Cause.LOST, "it ran, and its queue took its place away")
        wait = self._meant(name, wait)
        late = self._is_late(name, job)
        if late is not None:
            return Verdict(Cause.CONFIG, f"it did not begin within {late:g} s: {wait.said or 'no reason was given'}")
        if wait.hurdle is not Hurdle.SETUP:
            self._stuck.pop(name, None)
            return None
        since, said = self._stuck.setdefault(name, (self._monotonic(), wait.said or ""))
        if said.startswith("ImagePullBackOff") and (wait.said or "").startswith("ErrImagePull"):
            said = wait.said or ""  # it has the registry's words
            self._stuck[name] = since, said
        return Verdict(Cause.CONFIG, said) if self._monotonic() >= since + self._setup_seconds else None

    def _is_late(self, name: str, job: Job) -> float | None:
        """The limit of the time to begin, if it is over."""
        given = job.metadata.annotation(BEGIN_ANNOTATION)
        limit = int(given) if given.isdigit() else 0
        since = self._waits_since.setdefault(name, self._monotonic())
        return limit if limit and self._monotonic() >= since + limit else None

    def said_of(self, name: str, wait: Wait) -> str | None:
        """The sentence for an attempt that waits: of a hurdle that repeats itself, the first one."""
        return self._stuck[name][1] if name in self._stuck else self._meant(name, wait).said

    def _meant(self, name: str, wait: Wait) -> Wait:
        """What keeps it waiting, when the cluster says only that it waits before it pulls again."""
        said = wait.said or ""
        if said.startswith("ImagePullBackOff"):
            return self._passing.get(name, wait)
        if said.startswith("ErrImagePull") and wait.hurdle is Hurdle.PLACE:
            self._passing[name] = wait
        else:
            self._passing.pop(name, None)
        return wait

    def is_tired_of_reading(self, name: str) -> bool:
        """Whether a log that could not be read again is to be done without: its machine may never answer."""
        since = self._unread_since.setdefault(name, self._monotonic())
        return self._monotonic() >= since + self._lost_seconds

    def should_ask(self, name: str) -> bool:
        """Whether the events of an attempt that waits without a reason are to be read now."""
        now = self._monotonic()
        at, _ = self._asked.setdefault(name, (now + EVENTS_AFTER_SECONDS, None))
        return now >= at

    def note_events(self, name: str, said: str | None) -> None:
        """What the events say; they are read again later."""
        self._asked[name] = (self._monotonic() + EVENTS_AGAIN_SECONDS, said)

    def events_of(self, name: str) -> str | None:
        """What the events said last."""
        return self._asked.get(name, (0.0, None))[1]

    def give_up(self, name: str, verdict: Verdict) -> None:
        """It is being removed; when it is gone, this is how it ended."""
        self.given_up[name] = verdict

    def forget_waits(self, name: str) -> None:
        """It has ended; since when its log cannot be read still counts."""
        for memory in (self._stuck, self._cut_off, self._asked, self._passing, self._waits_since):
            memory.pop(name, None)
        self._begun.discard(name)

    def forget(self, name: str) -> None:
        """Its end is recorded."""
        self.forget_waits(name)
        self._unread_since.pop(name, None)
        self.given_up.pop(name, None)
