"""`segue demo`: starts the run, starts a worker, shows the progress, and reports the outcome.

With `crash` the worker is killed half-way with SIGKILL and another is started. The demo does nothing else: the engine
notices that the dead worker's lease has expired and gives its steps to the new one.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.text import Text

from segue.client import Run, Segue
from segue.config import database_option, without_password
from segue.demo.closing import Ending, print_commands, print_ending
from segue.demo.crew import Crew, sigterm_as_interrupt, worker_command
from segue.demo.findings import Findings, Summary
from segue.demo.live import Frame, Pulse, Running, View, view_for
from segue.demo.report import read_findings
from segue.demo.workflow import MODULE, QUEUE, standard_library
from segue.errors import ConfigError, SegueError
from segue.model import FINAL_STEP_STATUSES, RunStatus, StepStatus
from segue.output import fit_streams, print_json
from segue.terminal import PrintableConsole

DEFAULT_FOLDER = Path("segue-demo")
BATCH_SIZE = 4
CRASH_BATCH_SIZE = 1  # more and smaller steps, so that the crash has time to happen in between
CRASH_AT = 0.5  # the share of finished steps at which the worker is killed
LEASE_SECONDS = 2.0  # short, so that the rescue can be watched; a real worker keeps the default
POLL_SECONDS = 0.1
STANDSTILL_SECONDS = 10.0  # without a finished or running step, after which the demo says why
FEW_STEPS = 10  # once the fan-out is known there are more, so half of fewer is not yet half-way

FAILED, INTERRUPTED = 1, 130


class WatchedRun(Protocol):
    """What the demo needs to know about a run while it watches."""

    @property
    def id(self) -> str: ...

    @property
    def status(self) -> RunStatus: ...

    def counts(self) -> Mapping[StepStatus, int]: ...

    def steps(self, *, status: StepStatus | None = None, limit: int = ...) -> list[Any]: ...

    def explain(self) -> Sequence[object]: ...


class WorkerEndedError(SegueError, RuntimeError):
    """The demo's worker ended unexpectedly."""


@dataclass(slots=True)
class Watch:
    """Follows a run until it ends. With `crash` it kills the worker half-way."""

    run: WatchedRun
    crew: Crew
    view: View
    crash: bool
    concurrency: int
    killed: bool = False
    moved_at: float = 0.0  # when the number of finished steps last changed
    done: int = 0

    def follow(
        self, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> float:
        """Show the run until it is final; returns the duration in seconds."""
        pulse = Pulse()
        began = clock()
        while True:
            is_final = self.run.status.is_final
            frame = self._frame(pulse, clock() - began)
            self.view.show(frame)
            if is_final:
                return frame.elapsed_seconds
            if self.crash and not self.killed and _is_half_way(frame):
                self._crash()
            elif (code := self.crew.exit_code) is not None:
                raise WorkerEndedError(
                    f"the worker (process {self.crew.pid}) that was working on run {self.run.id} ended with exit code "
                    f"{code}. Its last output:\n{self.crew.last_words() or '(nothing)'}"
                )
            self._explain_standstill(frame)
            sleep(POLL_SECONDS)

    def _frame(self, pulse: Pulse, elapsed: float) -> Frame:
        counts = {StepStatus(status): count for status, count in self.run.counts().items() if count}
        done = sum(count for status, count in counts.items() if status in FINAL_STEP_STATUSES)
        running = self.run.steps(status=StepStatus.RUNNING, limit=self.concurrency)
        return Frame(
            counts=counts,
            running=[Running(step.name, step.attempt, step.seconds or 0.0) for step in running],
            elapsed_seconds=elapsed,
            per_second=pulse.beat(elapsed, done),
            worker=f"worker {self.crew.pid}",
        )

    def _explain_standstill(self, frame: Frame) -> None:
        """Say why nothing has changed for a while, and repeat it after as long."""
        if frame.done != self.done or frame.running:
            self.done, self.moved_at = frame.done, frame.elapsed_seconds
        elif frame.elapsed_seconds - self.moved_at >= STANDSTILL_SECONDS:
            self.moved_at = frame.elapsed_seconds
            for reason in self.run.explain():
                self.view.say(Text.assemble(("… ", "yellow"), str(reason)))
            if words := self.crew.last_words():
                self.view.say(Text(words, "dim"))

    def _crash(self) -> None:
        pid = self.crew.kill()
        self.killed = True
        counts = self.run.counts()
        left = sum(count for status, count in counts.items() if status not in FINAL_STEP_STATUSES)
        held = counts.get(StepStatus.RUNNING, 0)
        self.view.say(
            Text.assemble(
                ("✗ SIGKILL ", "bold red"),
                f"to worker {pid}, half-way: it held {held} running step{'' if held == 1 else 's'} and could not give "
                f"them back; {left:,} steps are not finished",
            )
        )
        new = self.crew.hire()
        self.view.say(
            Text.assemble(
                ("▶ worker ", "bold green"),
                f"{new} takes over; the dead worker's steps are free when its lease of {LEASE_SECONDS:g} s has expired",
            )
        )


def run_demo(
    *,
    database: str | None = None,
    output: Path = DEFAULT_FOLDER,
    crash: bool = False,
    concurrency: int | None = None,
    batch_size: int | None = None,
    root: Path | None = None,
    web: bool = False,
    quiet: bool = False,
    as_json: bool = False,
    console: Console | None = None,
) -> int:
    """Run the demo and return the exit code: 0, 1 if the run failed, 130 after an interrupt.

    `output` is the folder for the report, the workers' log and, unless `database` is a URL, the SQLite file. `root` is
    a folder of Python files to read instead of the standard library. `web` serves the web pages. `quiet` shows only the
    end; `as_json` prints only one JSON object.

    Example::

        run_demo(crash=True, output=Path("/tmp/demo"))
    """
    folder = output.absolute()
    _make(folder)
    url = database or f"sqlite:///{folder / 'segue.db'}"
    slots = concurrency or os.cpu_count() or 1
    size = batch_size or (CRASH_BATCH_SIZE if crash else BATCH_SIZE)
    fit_streams()
    out = console or PrintableConsole(quiet=as_json)
    segue = Segue(url)
    try:
        segue.upgrade()  # the demo is a single command, even on a database without tables
        run = _start(segue, folder, url, batch_size=size, root=root)
        _print_opening(out, run.id, url, slots)
        command = worker_command(module=MODULE, queue=QUEUE, concurrency=slots, lease_seconds=LEASE_SECONDS)
        view = view_for(Console(quiet=True) if quiet else out, concurrency=slots)
        with contextlib.ExitStack() as beside_it:
            beside_it.enter_context(sigterm_as_interrupt())
            address = beside_it.enter_context(_pages(segue)) if web else None
            if address is not None:
                out.print(Text.assemble(("web pages  ", "dim"), f"{address}runs/{run.id}"), soft_wrap=True)
            crew = beside_it.enter_context(Crew(command, database=url, log=folder / "worker.log"))
            code = _attend(Watch(run, crew, view, crash, slots), run, out, url=url, as_json=as_json)
            if address is not None and code != INTERRUPTED:
                _stay(out, f"{address}runs/{run.id}")
            return code
    finally:
        segue.close()


def _pages(segue: Segue) -> AbstractContextManager[str]:
    try:
        from segue.web.serve import served_locally  # noqa: PLC0415 - optional packages
    except ModuleNotFoundError as exc:
        raise ConfigError('The web pages need further packages. Install them: pip install "segue[web]"') from exc
    return served_locally(segue)


def _stay(out: Console, address: str) -> None:
    """Keep the pages open until Ctrl-C."""
    out.print(Text.assemble("The web pages stay open at ", (address, "bold"), "; Ctrl-C closes them."), soft_wrap=True)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(1)


def _start(segue: Segue, folder: Path, url: str, *, batch_size: int, root: Path | None) -> Run:
    return segue.start(
        standard_library,
        str(folder),
        batch_size=batch_size,
        root=str(root.absolute()) if root else None,
        database=_kind(url),
        asked_at=datetime.now(UTC),
    )


def _attend(watch: Watch, run: Run, out: Console, *, url: str, as_json: bool) -> int:
    try:
        with watch.view:
            watch.crew.hire()
            seconds = watch.follow()
    except KeyboardInterrupt:
        watch.crew.stop()
        _print_interrupted(out, run.id, url)
        return INTERRUPTED
    except WorkerEndedError as exc:
        out.print(Text(str(exc), style="red"), soft_wrap=True)
        print_commands(out, run.id, url)
        return FAILED
    watch.crew.stop()
    if run.status is not RunStatus.SUCCEEDED:
        _print_failed(out, run, url)
        return FAILED
    return _close(watch, run, out, url=url, seconds=seconds, as_json=as_json)


def _close(watch: Watch, run: Run, out: Console, *, url: str, seconds: float, as_json: bool) -> int:
    summary: Summary = run.result()
    findings = read_findings(Path(summary["findings"]))
    total = sum(run.counts().values())
    ending = Ending(
        run_id=run.id,
        database=url,
        report=Path(summary["report"]),
        json=Path(summary["findings"]),
        steps=total,
        seconds=seconds,
        workers=watch.crew.hired,
        repeated=[step.name for step in run.steps(limit=total) if step.attempt > 1],
        killed=watch.killed,
    )
    if as_json:
        _print_json(findings, ending)
    else:
        print_ending(out, findings, ending)
    if watch.crash and not watch.killed:
        out.print(Text("The run ended before half of it was seen: no worker was killed. Try --batch-size 1.", "yellow"))
        return FAILED
    return 0 if findings.coverage.is_exact else FAILED


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(
            f"the folder {folder} for the report cannot be created: {exc.strerror}. Give another folder with --output"
        ) from exc


def _is_half_way(frame: Frame) -> bool:
    return frame.total > FEW_STEPS and CRASH_AT * frame.total <= frame.done < frame.total


def _kind(url: str) -> str:
    return "SQLite" if url.startswith("sqlite") else "PostgreSQL"


def _print_opening(out: Console, run_id: str, url: str, slots: int) -> None:
    out.print(
        Text.assemble(("segue demo", "bold"), ("  the standard library of Python, measured by a workflow", "dim"))
    )
    out.print(
        Text.assemble(
            ("run ", "dim"), run_id, ("  in ", "dim"), without_password(url), ("  slots ", "dim"), str(slots)
        ),
        soft_wrap=True,
    )


def _print_interrupted(out: Console, run_id: str, url: str) -> None:
    out.print(
        Text(
            "\nInterrupted. The worker finished its running steps and handed back the rest; finished work stays.",
            "yellow",
        )
    )
    out.print(Text("Continue where it stopped:"))
    out.print(
        Text(f"  segue worker -A {MODULE} --queue {QUEUE} {database_option(url)}".rstrip()),
        soft_wrap=True,
    )
    print_commands(out, run_id, url)


def _print_failed(out: Console, run: Run, url: str) -> None:
    out.print(Text(f"The run {run.id} {run.status}. Why:", "red"))
    for reason in run.explain():
        out.print(Text(f"  {reason}"), soft_wrap=True)
    print_commands(out, run.id, url)


def _print_json(findings: Findings, ending: Ending) -> None:
    answer = {
        "run_id": ending.run_id,
        "database": without_password(ending.database),
        "report": str(ending.report),
        "findings": str(ending.json),
        "steps": ending.steps,
        "seconds": round(ending.seconds, 3),
        "workers": ending.workers,
        "killed": ending.killed,
        "repeated": list(ending.repeated),
        "coverage": findings.coverage,
        "exact": findings.coverage.is_exact,
        "totals": findings.totals,
    }
    print_json(answer)
