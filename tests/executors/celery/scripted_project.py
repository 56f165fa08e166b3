"""A Celery project for the contract of executors: a task that does what it is told, in workers that say what they do.

What a delivery came to is a line in a file of its attempt: `begun` with the process of the body, or `refused`. What the
body is to do is the text of another file. SCRIPTED_* say where things are.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery import Celery
from celery.exceptions import Ignore

from segue import Segue, current
from segue.executors.celery import install, node, request, tracer
from segue.executors.celery.halts import Halts
from segue.model import Attempt
from tests.executors.celery.watchful import watch_children

HELD = "held"
"""The queue into which all messages go. No worker consumes it: a driver takes them out."""


def make_app(broker: str, database_url: str, folder: Path) -> Celery:
    """The app, connected to a database."""
    app = Celery("scripted", broker=f"{broker}/0", backend=f"{broker}/1")
    app.conf.update(
        broker_connection_retry_on_startup=True, task_default_queue=HELD, task_acks_late=True,
        worker_prefetch_multiplier=1,
    )  # fmt: skip
    segue = Segue(database_url)
    install(app, segue, fence="always")
    app.segue = segue

    @app.task(name="scripted", shared=False, bind=True, max_retries=None)
    def scripted(self: Any) -> Any:
        here = current()
        attempt = (here.run_id, here.step, here.attempt)
        say(folder, attempt, f"begun {os.getpid()}")
        match _order(order_of(folder, attempt)):
            case "fails":
                raise ValueError("as the script says")
            case "skips":
                raise Ignore
            case "retries":
                raise self.retry(countdown=0)
            case "returns a plan":
                return self.replace(scripted.si())
            case _:
                return None

    return app


def say(folder: Path, attempt: Attempt, what: str) -> None:
    """Add a line to the file of an attempt."""
    with said_of(folder, attempt).open("a") as file:
        file.write(f"{what}\n")


def said_of(folder: Path, attempt: Attempt) -> Path:
    """The file of what was said of an attempt."""
    return folder / "{}-{}-{}.said".format(*attempt)


def order_of(folder: Path, attempt: Attempt) -> Path:
    """The file of what the body of an attempt is to do."""
    return said_of(folder, attempt).with_suffix(".order")


def _order(path: Path) -> str:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            order = path.read_text()
        except FileNotFoundError:
            order = ""
        if order:
            path.unlink()
            return order
        time.sleep(0.005)
    return "fails"


def tell_refusals(folder: Path) -> None:
    """Let this worker say which deliveries do not run. It terminates no task by itself: a script does that."""

    def refusing(owner: Any, name: str, attempt_of: Callable[..., Attempt | None], refused: bool) -> None:
        plain = getattr(owner, name)

        def asked(*args: Any, **kwargs: Any) -> Any:
            answer = plain(*args, **kwargs)
            attempt = attempt_of(*args)
            if bool(answer) is refused and attempt is not None:
                say(folder, attempt, "refused")
            return answer

        setattr(owner, name, asked)

    refusing(Halts, "stops", lambda halts, attempt: attempt, True)
    refusing(tracer, "_may_begin", lambda door, header, request: header.attempt, False)
    refusing(request.HaltedRequests, "revoked", lambda self: node.attempt_of(self), True)
    node.Node._terminate = lambda *_: None  # type: ignore[assignment, method-assign]


if "SCRIPTED_BROKER" in os.environ:
    app = make_app(
        os.environ["SCRIPTED_BROKER"], os.environ["SCRIPTED_DATABASE"], Path(os.environ["SCRIPTED_FOLDER"])
    )  # fmt: skip
    tell_refusals(Path(os.environ["SCRIPTED_FOLDER"]))
    watch_children()
