"""The executor of a batch system whose machines share a folder with the dispatcher.

What an attempt leaves in the folder counts first: the outcome of a task, the exit code of a command. The system is
asked for what is queued and runs, in one call, and how a job ended only if that left nothing.
"""

from __future__ import annotations

import os
import pwd
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from segue.attempt import spool
from segue.attempt.spool import Spooled
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
from segue.dispatcher.work import work_of
from segue.errors import DefinitionError
from segue.executors import programs
from segue.executors.commands.script import in_container, script_of
from segue.executors.commands.system import (
    SIGNALS_FROM,
    Asked,
    BatchSystem,
    JobLine,
    checked_options,
    end_of,
)
from segue.executors.programs import Programs
from segue.executors.secret_files import secret_files
from segue.given import shown

ENVIRONMENT = ("PATH", "HOME", "USER", "LANG", "TZ", "PYTHONPATH")
PACE = Pace(at_once=1000, gone_seconds=60.0)  # one call lists all jobs, and the accounts come late
APPTAINER = ("apptainer", "exec")
_FOLDER = re.compile(r"/[A-Za-z0-9_./+@-]*")
_LOOKS = 20  # calls for the history in one look
_REASONS = 3  # calls for why a job is stuck in one look


class BatchExecutor:
    """What `GridEngine`, `PBS` and `LSF` have in common; these are what users make."""

    mode = Mode.FILES

    def __init__(
        self, name: str, system: BatchSystem, *, folder: str, modules: Sequence[str] = (), setup: str = "",
        python: str = sys.executable, where: str | None = None, environment: Sequence[str] = ENVIRONMENT,
        secrets: str | None = None,
        settings: Mapping[str, str] | None = None, runtime: Sequence[str] = APPTAINER, pace: Pace | None = None,
        command_seconds: float = programs.SECONDS, options: Mapping[str, Any],
    ) -> None:  # fmt: skip
        if secrets is not None and not Path(secrets).is_absolute():
            raise DefinitionError(f"{type(self).__name__}({shown(name)}): secrets={shown(secrets)} is no absolute path")
        if not _FOLDER.fullmatch(folder):
            raise DefinitionError(
                f"{type(self).__name__}({shown(name)}): folder={shown(folder)} is not an absolute path of letters, "
                "digits and '_./+@-'; others mean something to batch systems"
            )
        self.name = name
        self.pace = pace or PACE
        self.folder = Path(folder)
        self.system = system
        self._modules = tuple(modules)
        self._setup = setup
        self._python = python
        self._where = where or str(Path.cwd())
        self._environment = tuple(environment)
        self._secrets = secrets
        self._runtime = tuple(runtime)
        self._options = dict(options)
        self._programs = Programs(
            system.title, names=environment, prefixes=system.prefixes, settings=settings or {}, seconds=command_seconds
        )
        self._deleted: dict[tuple[str, str], None] = {}  # jobs that were ended before they began, the latest last
        self._reasons: dict[str, str] = {}  # why jobs are stuck, by id
        try:
            checked_options(system, {}, self._options)
        except RefusedError as error:
            raise DefinitionError(f"{type(self).__name__}({shown(name)}): {error}") from error
        register(self)

    def submit(self, submission: Submission) -> str:
        """Write the job into the folder, and submit its script. See `PolledExecutor`."""
        push = submission.push
        folder = self._folder_of(push)
        work = work_of(submission, run_step=[self._python, "-m", "segue", "run-step", str(folder)])
        options = checked_options(self.system, self._options, work.options)
        variables = [name for name in self._environment if name in os.environ]
        words = self.system.submit(Asked(push.name, folder, work, options, variables))
        script = script_of(
            folder, in_container(work, folder, self._runtime), setup=self._setup, where=self._where,
            secrets=secret_files(work.secrets, self._secrets), job_id=self.system.job_id, signals=self.system.signals,
            redirects=not self.system.keeps_output,
        )  # fmt: skip
        try:
            if work.command is None:
                spool.write_job(folder, Spooled(submission.job, self._modules))
            else:
                spool.make_folder(folder)
        except OSError as error:
            raise BusyError(f"the folder {self.folder} cannot be written: {error}") from error
        try:
            answer = self._programs.run(words, given=script)
        except OSError as error:
            raise BusyError(f"{words[0]} cannot be run: {error}. Is {self.system.title} installed here?") from error
        return self.system.submitted(answer)

    def find(self, pushes: Sequence[Push]) -> Mapping[str, str]:
        """Search by name, among the listed jobs and those that began; of several, the one that began counts.

        A job that ended before it began is not found, and is submitted again: nothing of it has run.
        """
        by_name = {push.name: push for push in pushes}
        listed: dict[str, list[str]] = {}
        for job in self._listed(None):
            if job.name in by_name and job.phase is not Phase.ENDED:
                listed.setdefault(job.name, []).append(job.id)
        found = {}
        for name, push in by_name.items():
            holder = self._holder(push)
            if holder is not None:
                found[push.id] = holder
            elif name in listed:
                found[push.id] = min(listed[name], key=_number)
        return found

    def look(self, pushes: Sequence[Push]) -> Iterable[Sighting]:
        """What the system lists, and how those ended that it lists no more."""
        listed = {(job.id, job.name): job for job in self._listed([push.external_id for push in pushes])}
        over: list[tuple[Push, JobLine | None]] = []
        calls = _REASONS
        for push in pushes:
            # an id alone proves nothing: systems count up to a limit and begin again
            job = listed.get((push.external_id, push.name))
            if job is None or job.phase is Phase.ENDED:
                over.append((push, job))
                continue
            reason = job.reason
            if job.is_stuck:
                known = self._reasons.get(job.id)
                calls -= known is None
                reason = known or (self._reason(job) if calls >= 0 else job.reason)
            yield Sighting(push.id, job.phase, reason, job.host)
        yield from self._ends(over)

    def collect(self, push: Push) -> Collected:
        """The outcome in the folder, the end of the output, and what a command left as its result."""
        folder = self._folder_of(push)
        try:
            outcome = spool.read_outcome(folder)
            return Collected(outcome, spool.tail_of(folder / spool.OUTPUT), spool.read_result(folder))
        except OSError as error:  # the file system is away, which says nothing of the attempt
            raise BlindError(f"the folder {self.folder} cannot be read: {error}") from error

    def read_output(self, push: Push) -> str:
        """The end of the output so far."""
        return spool.tail_of(self._folder_of(push) / spool.OUTPUT)

    def cancel(self, pushes: Sequence[Push], *, hard: bool) -> None:
        """End those that are still listed under their names: an id may belong to another job by now."""
        wanted = {(push.external_id, push.name) for push in pushes}
        names = dict(wanted)
        live = [
            job.id for job in self._listed([push.external_id for push in pushes])
            if (job.id, job.name) in wanted and job.phase is not Phase.ENDED
        ]  # fmt: skip
        for some in (live[at : at + 100] for at in range(0, len(live), 100)):
            gone = self.system.deleted(self._programs.ask(self.system.delete(some, hard=hard)))
            self._deleted.update(dict.fromkeys((job_id, names[job_id]) for job_id in gone if job_id in names))
        while len(self._deleted) > 10_000:
            del self._deleted[next(iter(self._deleted))]

    def clean(self, pushes: Sequence[Push]) -> None:
        """Remove the folders of these pushes."""
        for push in pushes:
            spool.remove(self._folder_of(push))
            self._reasons.pop(push.external_id, None)

    def strays(self) -> Iterable[Stray]:
        """All jobs of this user with names of Segue's that have not ended."""
        for job in self._listed(None):
            push_id = id_of_name(job.name)
            if push_id is not None and job.phase is not Phase.ENDED:
                yield Stray(push_id, job.id)

    # What is over -----------------------------------------------------------------------------------------------------

    def _ends(self, over: Sequence[tuple[Push, JobLine | None]]) -> Iterator[Sighting]:
        asked: list[tuple[Push, JobLine | None]] = []
        for push, job in over:
            left = self._left(push)
            if left is not None:
                yield left
            else:
                asked.append((push, job))
        known = {(job.id, job.name): job for _, job in asked if job is not None}
        unasked = self._look_back([push for push, job in asked if job is None], known)
        for push, _ in asked:
            ended = known.get((push.external_id, push.name))
            if ended is not None:
                yield self._as_ended(push, ended)
            elif (push.external_id, push.name) in self._deleted:
                yield Sighting(push.id, Phase.ENDED, "it was ended before it began", cause=Cause.CANCELLED)
            elif push.external_id not in unasked:
                yield self._forgotten(push)

    def _left(self, push: Push) -> Sighting | None:
        """What the folder says of a job that is not listed: it ended by itself, or another job runs its attempt."""
        folder = self._folder_of(push)
        code = 0 if self._collected(push).outcome is not None else spool.read_exit_code(folder)
        if code is not None and code < SIGNALS_FROM:
            return Sighting(push.id, Phase.ENDED, cause=Cause.EXIT, exit_code=code)
        holder = self._holder(push)
        if holder is not None and holder != push.external_id:
            return Sighting(push.id, Phase.QUEUED, held_by=holder)
        return None

    def _forgotten(self, push: Push) -> Sighting:
        """One of which the system knows nothing; if it does not come back, the code that its command left counts."""
        code = spool.read_exit_code(self._folder_of(push))
        cause = None if code is None else Cause.EXIT
        reason = f"{self.system.title} does not show it any more"
        return Sighting(push.id, Phase.GONE, reason, cause=cause, exit_code=code)

    def _collected(self, push: Push) -> Collected:
        try:
            return self.collect(push)
        except ValueError:  # damaged; the dispatcher will find that as well, and say so
            return Collected()

    def _look_back(self, pushes: Sequence[Push], known: dict[tuple[str, str], JobLine]) -> set[str]:
        """Ask how these ended, and add what is said to `known`. Returns the ids for which there was no time."""
        ids = [push.external_id for push in pushes if (push.external_id, push.name) not in self._deleted]
        names = {push.external_id: push.name for push in pushes}
        until = time.monotonic() + self.pace.call_seconds / 2
        unasked: set[str] = set()
        calls = 0
        for look in self.system.history(ids):
            wanted = {job_id for job_id in look.ids if (job_id, names[job_id]) not in known}
            if not wanted:
                continue
            if calls >= _LOOKS or time.monotonic() > until:
                unasked |= wanted
                continue
            calls += 1
            try:
                answer = self._programs.run(look.words)
            except OSError:  # the program is not installed: then nothing is known
                continue
            if answer.code is not None:
                known.update({(job.id, job.name): job for job in self.system.ended(answer)})
        return unasked

    def _as_ended(self, push: Push, job: JobLine) -> Sighting:
        left = spool.read_exit_code(self._folder_of(push))
        return end_of(push.id, job, left=left, folder=self.folder, title=self.system.title)

    # What is asked ----------------------------------------------------------------------------------------------------

    def _listed(self, ids: Sequence[str] | None) -> list[JobLine]:
        """The jobs of this user, or at least these. Raises BlindError."""
        user = pwd.getpwuid(os.geteuid()).pw_name
        return list(self.system.listed(self._programs.ask(self.system.ask_for(user, ids))))

    def _reason(self, job: JobLine) -> str | None:
        """Why a job is stuck: the system is asked once."""
        words = self.system.explain(job.id)
        said = None if words is None else self.system.explained(self._programs.ask(words))
        reason = f"{job.reason}: {said}" if said else job.reason or ""
        self._reasons[job.id] = reason
        return reason

    def _holder(self, push: Push) -> str | None:
        """The id of the job that began this attempt."""
        try:
            holder = spool.begun_by(self._folder_of(push))
        except OSError as error:
            raise BlindError(f"the folder {self.folder} cannot be read: {error}") from error
        return holder if holder is not None and holder.isdigit() else None

    def _folder_of(self, push: Push) -> Path:
        return self.folder / push.name


def _number(job_id: str) -> int:
    return int(job_id) if job_id.isdigit() else 0
