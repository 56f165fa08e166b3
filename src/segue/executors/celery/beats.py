"""A worker that cannot reach the database: it says through the result backend which attempts it has.

A thread in the worker's main process writes a beat for each message that it holds, a new one every few seconds, so that
a follower takes none of them for lost. The command `segue_end`, which a follower sends to all workers through the
broker, ends attempts: those that run are terminated, and messages that come later are turned away.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.worker import state
from celery.worker.control import control_command

from segue.errors import StoreUnavailableError
from segue.executors.celery.door import find_door
from segue.executors.celery.held import copy_of
from segue.executors.celery.node import LEASE_SECONDS, attempt_of
from segue.executors.celery.reports import Beat, put_beat, refuse_backend
from segue.model import Attempt
from segue.observing.harmless_log import get_logger

if TYPE_CHECKING:
    from segue.executors.celery.door import Door

logger = get_logger("segue.celery")

COMMAND = "segue_end"
LOOK_SECONDS = 0.25
LONGEST_BEAT_SECONDS = 5.0
MOST_TO_END = 50_000


def beat_seconds(door: Door) -> float:
    """How often a worker says which attempts it has."""
    return min(LONGEST_BEAT_SECONDS, silence_seconds(door) / 4)


def silence_seconds(door: Door) -> float:
    """After how long without a beat a running attempt is taken for lost."""
    return min(LEASE_SECONDS, door.lease_seconds)


class Beats:
    """The thread, and what it does."""

    def __init__(self, door: Door, name: str) -> None:
        self._door = door
        self._name = name
        self._number = 0
        self._stop = threading.Event()
        self._seen: dict[Attempt, float] = {}  # what the pool runs, and when it was seen first
        self._said: dict[Attempt, tuple[bool, float]] = {}  # what was said last, and when
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name="segue-celery-beats", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                self._round()
                self._is_away = False
            except StoreUnavailableError as error:
                if not self._is_away:
                    logger.warning("That this worker lives cannot be said: %s", error)
                self._is_away = True
            except Exception:
                logger.exception("The beats of this worker go on after an error")

    def _round(self) -> None:
        """Say what is new, and again what was said a while ago. Short tasks end before it is said that they run."""
        now, every = time.monotonic(), beat_seconds(self._door)
        active = {attempt for request in copy_of(state.active_requests) if (attempt := attempt_of(request))}
        held = {attempt for request in copy_of(state.reserved_requests) if (attempt := attempt_of(request))}
        self._seen = {attempt: self._seen.get(attempt, now) for attempt in held | active}
        self._said = {attempt: said for attempt, said in self._said.items() if attempt in self._seen}
        self._number += 1
        for attempt, since in self._seen.items():
            is_begun = attempt in active
            was_begun, said_at = self._said.get(attempt, (False, since))
            is_news = is_begun and not was_begun and now - since >= LOOK_SECONDS
            if is_news or now - said_at >= every:
                put_beat(self._door.app.backend, attempt, Beat(self._name, self._number, is_begun))
                self._said[attempt] = is_begun, now


@control_command(name=COMMAND)  # type: ignore[untyped-decorator]
def segue_end(state: Any, attempts: Iterable[Any] = (), signal: str = "TERM", **_: Any) -> dict[str, int]:
    """End attempts of steps of Segue: terminate those that run, and turn away those that have not begun."""
    door = find_door(state.app)
    if door is None:
        return {"ok": 0}
    wanted: set[Attempt] = {(str(run_id), int(step), int(number)) for run_id, step, number in attempts}
    return {"ok": end_attempts(door, wanted, state.consumer.pool, signal)}


def end_attempts(door: Door, wanted: set[Attempt], pool: Any, signal: str) -> int:
    """The same, in this worker; returns how many run here. A task is asked once, before its process is killed."""
    active = {attempt: request for request in copy_of(state.active_requests) if (attempt := attempt_of(request))}
    here = wanted & active.keys()
    door.asked_to_end = (door.asked_to_end & active.keys()) | here  # seen by `segue.progress`, if nothing else helps
    for attempt in here:
        request = active[attempt]
        if not request.is_terminated or signal == "KILL":
            try:
                request.terminate(pool, signal)
            except NotImplementedError:  # threads and solo cannot
                logger.debug("This pool cannot end %s", attempt)
    later = wanted - here
    if not later <= door.to_end.keys():
        logger.info("Messages of %d attempts that are to end will be turned away if they come here", len(later))
    door.to_end.update(dict.fromkeys(later))
    while len(door.to_end) > MOST_TO_END:
        del door.to_end[next(iter(door.to_end))]
    return len(here)


def beats_step(door: Door) -> type[bootsteps.StartStopStep]:
    """The bootstep of a worker whose reports are polled."""

    class SegueBeats(bootsteps.StartStopStep):
        requires = ("celery.worker.components:Pool",)

        def __init__(self, parent: Any, **kwargs: Any) -> None:
            super().__init__(parent, **kwargs)
            refuse_backend(door.app.backend)
            door.is_in_worker = True  # before children are forked
            self._beats: Beats | None = None

        def create(self, parent: Any) -> None:
            door.is_prefork = "prefork" in type(parent.pool).__module__

        def start(self, parent: Any) -> None:
            self._beats = Beats(door, str(getattr(parent, "hostname", "") or f"{socket.gethostname()}:{os.getpid()}"))
            self._beats.start()

        def stop(self, parent: Any) -> None:
            if self._beats is not None:
                self._beats.stop()
                self._beats = None

        terminate = stop

    return SegueBeats
