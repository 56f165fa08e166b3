"""Kills the pool child that runs a task, once, at a point of the end of its attempt. Workers install it; tests arm it.

    body ── returned ── recorded ── published ── stored ── acknowledged

Each point is right behind what its name says.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segue.executors.celery.attempt import RunningAttempt
from segue.executors.celery.backend import RecordingBackend
from segue.executors.celery.door import Door

POINTS = ("returned", "recorded", "published", "stored")


def arm(path: Path, point: str) -> None:
    """Let the next child that passes this point die."""
    path.write_text(point)


def install_crashes(path: Path) -> None:
    """Look at each point whether it is armed."""

    def die_at(point: str) -> None:
        try:
            if path.read_text() != point:
                return
            path.unlink()  # of two children, one succeeds
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    def around(kind: type, name: str, before: str | None, after: str | None) -> None:
        plain: Callable[..., Any] = getattr(kind, name)

        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            if before and _door(self).is_child:
                die_at(before)
            done = plain(self, *args, **kwargs)
            if after and _door(self).is_child:
                die_at(after)
            return done

        setattr(kind, name, method)

    around(RunningAttempt, "succeeded", "returned", "published")
    around(Door, "send", "recorded", None)
    around(RecordingBackend, "mark_as_done", None, "stored")


def die_before_sending(path: Path) -> None:
    """Let this process die, once, when the database has what it is about to send, and the broker has not."""
    plain = Door.send

    def send(self: Door, steps: Any, **more: Any) -> Any:
        if steps and path.exists():
            path.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(self, steps, **more)

    Door.send = send  # type: ignore[method-assign]


def _door(owner: Any) -> Door:
    found = owner if isinstance(owner, Door) else getattr(owner, "door", None) or owner.segue_door
    assert isinstance(found, Door)
    return found
