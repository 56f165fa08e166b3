"""`Processes`: an executor whose platform is this machine. Its jobs are processes that outlive the dispatcher."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from segue.attempt import spool
from segue.config import DATABASE_VARIABLE
from segue.dispatcher.protocol import (
    BlindError,
    BusyError,
    Cause,
    Collected,
    Mode,
    Pace,
    Phase,
    Push,
    RefusedError,
    Sighting,
    Stray,
    Submission,
    id_of_name,
)
from segue.dispatcher.registry import register
from segue.dispatcher.work import RESULT, Work, work_of
from segue.errors import DefinitionError
from segue.executors.processes.job import Job
from segue.given import shown

PACE = Pace(
    look_seconds=0.5, call_seconds=10.0, settle_seconds=5.0, gone_seconds=5.0, cancel_seconds=10.0, keep_seconds=3600.0
)


class Processes:
    """Processes of this machine as an executor; importing a module that makes one starts nothing.

    It runs what a cluster would, as this user and with all variables of the dispatcher, so it is for developing and
    testing. `folder` is for its jobs. `modules` define the tasks. `most` processes run at once; for the others it is
    busy. After a SIGTERM, a task may go on for `grace_seconds`. `database` is where the processes of tasks report, if
    that is not SEGUE_DATABASE_URL. `secrets=` of a container name variables of the dispatcher. Images and `Resources`
    are ignored.

    Example::

        Processes("near", folder="/tmp/segue-jobs", modules=["shop.tasks"])
    """

    mode = Mode.DATABASE

    def __init__(
        self, name: str, *, folder: str, modules: Sequence[str] = (), python: str = sys.executable, most: int = 100,
        grace_seconds: float = 10.0, database: str | None = None, pace: Pace = PACE,
    ) -> None:  # fmt: skip
        if not Path(folder).is_absolute():
            raise DefinitionError(f"Processes({shown(name)}): folder={shown(folder)} is not an absolute path")
        self.name = name
        self.pace = pace
        self.folder = Path(folder)
        self._modules = tuple(modules)
        self._python = python
        self._most = most
        self._grace_seconds = grace_seconds
        self._database = database
        register(self)

    def submit(self, submission: Submission) -> str:
        """Start its processes. Its name is its id, so a second submission is the same. See `PolledExecutor`."""
        push = submission.push
        modules = [word for module in self._modules for word in ("-A", module)]
        run_step = [self._python, "-m", "segue", "run-step", "--push", push.id, *modules]
        work = work_of(submission, run_step=[*run_step, "--grace-seconds", f"{self._grace_seconds:g}"])
        if work.options:
            raise RefusedError(f"push= has unknown options {', '.join(work.options)}; processes have none")
        environment = self._environment(push, work)
        try:
            if len(self._running()) >= self._most:
                raise BusyError(f"{self._most} processes run, and no more may (most=)", seconds=1.0)
            self._job(push).start(work, environment=environment)
        except OSError as error:
            raise BusyError(f"no process can be started: {error}") from error
        return push.name

    def find(self, pushes: Sequence[Push]) -> Mapping[str, str]:
        """Those that have begun."""
        return {push.id: push.name for push in pushes if self._job(push).process is not None}

    def look(self, pushes: Sequence[Push]) -> Iterable[Sighting]:
        """What their processes, and the files that they left, say."""
        for push in pushes:
            job = self._job(push)
            if job.process is None:
                phase = Phase.QUEUED if job.folder.exists() else Phase.GONE
                yield Sighting(push.id, phase, "its process has not begun" if phase is Phase.QUEUED else None)
                continue
            is_running = job.is_running()  # before its exit code, which it writes last
            yield _ended(push, job.exit_code) if not is_running else Sighting(push.id, Phase.RUNNING)

    def collect(self, push: Push) -> Collected:
        """The end of the output, and what a command left as its result."""
        folder = self._job(push).folder
        try:
            return Collected(None, spool.tail_of(folder / spool.OUTPUT), spool.read_result(folder))
        except OSError as error:
            raise BlindError(f"{folder} cannot be read: {error}") from error

    def read_output(self, push: Push) -> str:
        """The end of the output so far."""
        return spool.tail_of(self._job(push).folder / spool.OUTPUT)

    def cancel(self, pushes: Sequence[Push], *, hard: bool) -> None:
        """SIGTERM or SIGKILL to their process groups."""
        for push in pushes:
            self._job(push).end(hard=hard)

    def clean(self, pushes: Sequence[Push]) -> None:
        """Remove their folders."""
        for push in pushes:
            self._job(push).remove()

    def strays(self) -> Iterable[Stray]:
        """All jobs that run."""
        for name in self._running():
            push_id = id_of_name(name)
            if push_id is not None:
                yield Stray(push_id, name)

    def _job(self, push: Push) -> Job:
        return Job(self.folder / push.name)

    def _running(self) -> list[str]:
        try:
            return [path.name for path in self.folder.iterdir() if Job(path).is_running()]
        except FileNotFoundError:
            return []

    def _environment(self, push: Push, work: Work) -> dict[str, str]:
        """The dispatcher's, with what this work adds. It is in no file, and in no list of processes."""
        missing = sorted(set(work.secrets.values()) - os.environ.keys())
        if missing:
            raise RefusedError(f"secrets= names {', '.join(missing)}, which are no variables of the dispatcher")
        found = {**os.environ, **work.environment}
        found.update({name: os.environ[reference] for name, reference in work.secrets.items()})
        if work.command is not None:
            found[RESULT] = str(self._job(push).folder / spool.RESULT)
        elif self._database is not None:
            found[DATABASE_VARIABLE] = self._database
        return found


def _ended(push: Push, code: int | None) -> Sighting:
    if code is None:
        return Sighting(push.id, Phase.ENDED, "its processes were killed", cause=Cause.LOST)
    if code > 128:
        return Sighting(push.id, Phase.ENDED, cause=Cause.SIGNAL, exit_code=128 - code)
    return Sighting(push.id, Phase.ENDED, cause=Cause.EXIT, exit_code=code)
