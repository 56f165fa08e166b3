"""A Celery project: its app and tasks, as a user has them, for the tests and for the workers that they start.

`python -m celery -A tests.executors.celery.project worker` reads where things are from PROJECT_*.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import Celery, chain, chord, group
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded

from segue import Event, Limit, Segue, current, on, progress, task
from segue.executors.celery import install, node
from tests.executors.celery.crashes import die_before_sending, install_crashes
from tests.executors.celery.watchful import watch_children


@task(name="project.keyed", limits=[Limit("customers", 1, key="customer")], fair_by="customer")
def keyed(customer: str, path: str) -> str:
    """At most one at a time for each customer."""
    with Path(f"{path}-{customer}").open("a", buffering=1) as file:
        file.write("+\n")
        time.sleep(0.02)
        file.write("-\n")
    return customer


def make_app(
    broker: str, database_url: str, *, canvas: str | None = None, lease_seconds: float = 300.0, fence: str = "suspect",
    backend: str | None = None, queue: str = "celery", reports: str = "callback",
    look_seconds: float = 0.1,
) -> Celery:  # fmt: skip
    """An app with its tasks, connected to a database. Its results go to the broker's Redis, or to `backend`."""
    of_redis = broker.startswith("redis")
    app = Celery(
        "project", broker=f"{broker}/0" if of_redis else broker, backend=f"{broker}/1" if backend is None else backend
    )
    app.conf.update(
        broker_connection_retry_on_startup=True, worker_prefetch_multiplier=1, result_extended=True,
        task_default_queue=queue, task_queue_max_priority=None if of_redis else 9,
        broker_transport_options={"visibility_timeout": 3600} if of_redis else {},
    )  # fmt: skip
    segue = Segue(database_url)
    install(
        app, segue, canvas=canvas, fence=fence, lease_seconds=lease_seconds,  # type: ignore[arg-type]
        reports=reports, look_seconds=look_seconds,  # type: ignore[arg-type]
    )  # fmt: skip
    app.segue = segue

    @app.task(name="add", shared=False)
    def add(x: Any, y: Any) -> Any:
        return x + y

    @app.task(name="total", shared=False)
    def total(values: list[Any]) -> Any:
        return sum(values)

    @app.task(name="same", shared=False)
    def same(value: Any = None) -> Any:
        return value

    @app.task(name="fail", shared=False)
    def fail(*_: Any) -> None:
        raise ValueError("broken")

    @app.task(name="flaky", shared=False, bind=True, max_retries=5)
    def flaky(self: Any, value: Any, tries: int) -> Any:
        if self.request.retries < tries:
            raise self.retry(countdown=0.2)
        return [value, self.request.retries]

    @app.task(name="retry_with", shared=False, bind=True)
    def retry_with(self: Any, value: Any = None) -> Any:
        raise self.retry(args=(object(),), countdown=0)

    @app.task(name="stubborn", shared=False, autoretry_for=(KeyError,), default_retry_delay=0, max_retries=2)
    def stubborn() -> None:
        raise KeyError("again")

    @app.task(name="note", shared=False)
    def note(path: str, word: str) -> str:
        with Path(path).open("a") as file:
            file.write(f"{word}\n")
        return word

    @app.task(name="note_failure", shared=False)
    def note_failure(task_id: str, *, path: str) -> None:
        with Path(path).open("a") as file:
            file.write(f"{task_id}\n")

    @app.task(name="note_exception", shared=False)
    def note_exception(request: Any, exc: BaseException, traceback: Any, path: str = "") -> None:
        with Path(path).open("a") as file:
            file.write(f"{request.id} {type(exc).__name__} {exc}\n")

    @app.task(name="under_way", shared=False)
    def under_way(path: str, value: Any) -> Any:
        with Path(path).open("a", buffering=1) as file:
            file.write(f"+{value}\n")
            time.sleep(0.02)
            file.write(f"-{value}\n")
        return value

    app.task(name="keyed", shared=False)(keyed)

    @app.task(name="wait_for_file", shared=False)
    def wait_for_file(path: str) -> str:
        end = time.monotonic() + 30
        while not Path(path).exists() and time.monotonic() < end:
            time.sleep(0.02)
        return "seen"

    @app.task(name="note_and_wait", shared=False)
    def note_and_wait(path: str, until: str) -> str:
        note(path, "begun")
        return str(wait_for_file(until))

    @app.task(name="clean_up", shared=False)
    def clean_up(path: str) -> None:
        """It takes a while to end when it is asked to."""
        try:
            note(path, "begun")
            time.sleep(60)
        finally:
            time.sleep(1)
            note(path, "clean")

    @app.task(name="reporting", shared=False)
    def reporting(path: str) -> list[Any]:
        """It says how far it is, and what Segue knows of it."""
        progress(1, 4, "rows")
        wait_for_file(path)
        for done in (2, 3, 4):
            progress(done, 4, "rows")
        here = current()
        return [here.run_id, here.step, here.attempt, here.task, here.idempotency_key]

    @app.task(name="report_for_long", shared=False)
    def report_for_long() -> str:
        """It says how far it is, and ends when that is answered by asking it to end."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            progress(1, 4)
            time.sleep(0.05)
        return "not asked"

    @app.task(name="never_ends", shared=False)
    def never_ends(path: str) -> None:
        """It does not care that it is asked to end."""
        note(path, "begun")
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with suppress(SystemExit):
                time.sleep(60)

    @app.task(name="in_time", shared=False, soft_time_limit=1)
    def in_time() -> str:
        try:
            time.sleep(30)
        except SoftTimeLimitExceeded:
            return "in time"
        return "too late"

    @app.task(name="needs_file", shared=False)
    def needs_file(_: Any, path: str) -> str:
        if not Path(path).exists():
            raise FileNotFoundError(path)
        return Path(path).name

    @app.task(name="die_once", shared=False)
    def die_once(path: str) -> str:
        marker = Path(path)
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "survived"

    @app.task(name="die_always", shared=False)
    def die_always() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @app.task(name="give_back_once", shared=False, acks_late=True, reject_on_worker_lost=True)
    def give_back_once(path: str, until: str, how: str) -> str:
        """When `until` is there, let Celery put its message back into the queue, once."""
        note(path, "begun")
        wait_for_file(until)
        if len(Path(path).read_text().split()) > 1:
            return "again"
        if how == "reject":
            raise Reject("not yet", requeue=True)
        os.kill(os.getpid(), signal.SIGKILL)
        return ""

    @app.task(name="rarely", shared=False, rate_limit="20/m")
    def rarely(value: Any) -> Any:
        return value

    @app.task(name="fan", shared=False, bind=True)
    def fan(self: Any, count: int) -> Any:
        return self.replace(chord([add.s(number, 0) for number in range(count)], total.s()))

    @app.task(name="recurse", shared=False, bind=True)
    def recurse(self: Any, count: int) -> Any:
        return "bottom" if not count else self.replace(recurse.s(count - 1))

    @app.task(name="start_chain", shared=False)
    def start_chain() -> str:
        return str(chain(add.s(1, 1), add.s(2)).apply_async().id)

    @app.task(name="ignored", shared=False, bind=True, ignore_result=True)
    def ignored(self: Any) -> str:
        return "not kept by Celery"

    @app.task(name="nothing_to_do", shared=False)
    def nothing_to_do() -> None:
        raise Ignore

    if "PROJECT_OBSERVED" in os.environ:
        observed = Path(os.environ["PROJECT_OBSERVED"])

        @on("run.*", "step.*")
        def write(event: Event) -> None:
            with observed.open("a") as file:
                file.write(f"{event.run_id} {event.kind} {event.name or ''}\n")

    @app.task(name="cut", shared=False, bind=True)
    def cut(
        self: Any, value: Any = None, *, chain: Any = "kept", callbacks: bool = False, fails: bool = False,
        replace: bool = False, path: str = "",
    ) -> Any:  # fmt: skip
        """Change what follows: `chain` is "cut", "last" (leave out all but the last), or ["append", number]."""
        if chain == "cut":
            self.request.chain = None
        elif chain == "last":
            self.request.chain = self.request.chain[:1]
        elif chain == "other":
            self.request.chain = [note.si(path, "other")]
            self.request.callbacks = [*self.request.callbacks, note.si(path, "one more")]
        elif chain == "behind":
            self.request.chain.insert(0, same.s())
        elif chain == "written":
            self.request.chain[-1]["kwargs"]["y"] = 1
        elif isinstance(chain, list):
            self.request.chain.append(add.s(chain[1]))
        if callbacks:
            self.request.callbacks = self.request.errbacks = None
        if fails:
            raise ValueError("broken")
        if replace:
            return self.replace(same.si("replaced"))
        return value

    @app.task(name="look", shared=False, bind=True)
    def look(self: Any, value: Any = None) -> Any:
        request = self.request
        return {
            "chain": [[each["task"], list(each["args"]), each.options["task_id"]] for each in request.chain or ()],
            "callbacks": [each.task for each in request.callbacks or ()],
            "errbacks": [each.task for each in request.errbacks or ()],
            "chord": request.chord and request.chord["task"],
        }

    @app.task(name="add_members", shared=False, bind=True)
    def add_members(self: Any, numbers: list[int], *, path: str = "", how: str = "task", lazy: bool = False) -> Any:
        """Add a member for each number; with `path`, die once afterwards."""
        for number in numbers:
            member = add.s(number, 100) if how == "task" else chord([add.s(number, 0), add.s(number, 0)], total.s())
            added = self.add_to_chord(member, lazy=lazy)
            if lazy:
                added.delay()
        if path and not Path(path).exists():
            Path(path).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    @app.task(name="replace_with", shared=False, bind=True)
    def replace_with(self: Any, task: str, *args: Any) -> Any:
        return self.replace(app.tasks[task].si(*args))

    @app.task(name="add_and_retry", shared=False, bind=True, max_retries=3)
    def add_and_retry(self: Any) -> Any:
        self.add_to_chord(same.si("added"))
        if self.request.retries < 1:
            raise self.retry(countdown=0)
        return "done"

    app.tasks_of_project = (chain, chord, group)
    return app


if "PROJECT_BROKER" in os.environ:
    app = make_app(
        os.environ["PROJECT_BROKER"], os.environ["PROJECT_DATABASE"], canvas=os.environ.get("PROJECT_CANVAS") or None,
        lease_seconds=float(os.environ.get("PROJECT_LEASE_SECONDS", "300")),
        fence=os.environ.get("PROJECT_FENCE", "suspect"), backend=os.environ.get("PROJECT_BACKEND"),
        queue=os.environ.get("PROJECT_QUEUE", "celery"), reports=os.environ.get("PROJECT_REPORTS", "callback"),
    )  # fmt: skip
    if "TRACE_FOLDER" in os.environ:
        from tests.system import tracing_tasks  # noqa: F401 - it switches tracing on

    if "PROJECT_CRASHES" in os.environ:
        install_crashes(Path(os.environ["PROJECT_CRASHES"]))
    if "PROJECT_DIES_BEFORE_SENDING" in os.environ:
        die_before_sending(Path(os.environ["PROJECT_DIES_BEFORE_SENDING"]))
    if "PROJECT_WATCHFUL" in os.environ:
        watch_children()
    node.GRACE_SECONDS = float(os.environ.get("PROJECT_GRACE_SECONDS", node.GRACE_SECONDS))
    if "PROJECT_ACKS_LATE" in os.environ:
        app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True)
