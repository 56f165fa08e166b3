"""`Slurm`: an executor whose platform is a Slurm cluster that shares a folder with the dispatcher."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from segue.attempt import spool
from segue.attempt.spool import Spooled
from segue.dispatcher.protocol import (
    BlindError,
    BusyError,
    Cause,
    Collected,
    Pace,
    Phase,
    Push,
    Sighting,
    Stray,
    Submission,
    id_of_name,
)
from segue.dispatcher.registry import register
from segue.errors import DefinitionError
from segue.executors.slurm import commands, meaning
from segue.executors.slurm.meaning import JobLine
from segue.executors.slurm.script import script_of, words_of
from segue.given import shown
from segue.plan.pushed import decode_spec

ENVIRONMENT = ("PATH", "HOME", "USER", "LANG", "TZ", "PYTHONPATH")
_NOT_ENDED = "PENDING,RUNNING,SUSPENDED,CONFIGURING,COMPLETING,STOPPED,REQUEUED,REQUEUE_HOLD"
_STUCK = "an operator must release or end it"


class Slurm:
    """A Slurm cluster as an executor; importing a module that makes one connects to nothing.

    `folder` must be the same on this machine and on the nodes, and only this user should write there. `modules` define
    the tasks. `account`, `partition`, `qos` and so on are the defaults of jobs, which `push={...}` of a task changes.
    `setup` is shell that runs before Python, such as `module load`. `environment` names the variables that go along.
    `slurm_conf` names another configuration than the system's.

    Example::

        Slurm("hpc", folder="/shared/segue", modules=["shop.tasks"], setup="source /shared/venv/bin/activate")
    """

    def __init__(
        self, name: str, *, folder: str, modules: Sequence[str] = (), setup: str = "", python: str = sys.executable,
        where: str | None = None, environment: Sequence[str] = ENVIRONMENT, slurm_conf: str | None = None,
        pace: Pace | None = None, command_seconds: float = commands.SECONDS, **options: Any,
    ) -> None:  # fmt: skip
        if not Path(folder).is_absolute():
            raise DefinitionError(f"Slurm({shown(name)}): folder={shown(folder)} is not an absolute path")
        self.name = name
        self.pace = pace or Pace()
        self.folder = Path(folder)
        self._modules = tuple(modules)
        self._setup = setup
        self._python = python
        self._where = where or str(Path.cwd())
        self._environment = tuple(environment)
        self._conf = {"SLURM_CONF": slurm_conf} if slurm_conf else {}
        self._seconds = command_seconds
        self._options = options
        register(self)

    def submit(self, submission: Submission) -> str:
        """Write the job into the spool, and call `sbatch`. See `PolledExecutor`."""
        push, job = submission.push, submission.job
        folder = self._folder_of(push)
        words = words_of(
            push.name, folder, decode_spec(submission.spec), defaults=self._options, timeout=job.timeout,
            environment=self._environment,
        )  # fmt: skip
        try:
            spool.write_job(folder, Spooled(job, self._modules))
        except OSError as error:
            raise BusyError(f"the spool {self.folder} cannot be written: {error}") from error
        script = script_of(folder, python=self._python, setup=self._setup, where=self._where)
        try:
            answer = commands.run(words, environment=self._conf, script=script, seconds=self._seconds)
        except OSError as error:
            raise BusyError(f"sbatch cannot be run: {error}. Is Slurm installed on this machine?") from error
        return meaning.submitted(answer)

    def find(self, pushes: Sequence[Push]) -> Mapping[str, str]:
        """Search by name: of several jobs, the one that runs or ran the attempt, otherwise the first."""
        by_name = {push.name: push for push in pushes}
        found: dict[str, list[JobLine]] = {}
        for job in self._jobs("-n", by_name):
            if job.name in by_name:
                found.setdefault(job.name, []).append(job)
        holders = {name: spool.begun_by(self._folder_of(push)) for name, push in by_name.items()}
        chosen = {}
        for name, jobs in found.items():
            ids = sorted((job.id for job in jobs), key=int)
            holder = holders[name]
            chosen[by_name[name].id] = holder if holder in ids else ids[0]
        for name, holder in holders.items():
            if holder is not None and holder.isdigit():  # it was there, though the controller does not know it any more
                chosen.setdefault(by_name[name].id, holder)
        return chosen

    def look(self, pushes: Sequence[Push]) -> Iterable[Sighting]:
        """What `squeue` says, and `sacct` of those that it does not know any more."""
        jobs = {(line.id, line.name): line for line in self._jobs("-j", [push.external_id for push in pushes])}
        missing = [push for push in pushes if (push.external_id, push.name) not in jobs]
        for line in self._accounted(missing):
            jobs.setdefault((line.id, line.name), line)
        for push in pushes:
            # an id alone proves nothing: a controller that was killed may give it again
            job = jobs.get((push.external_id, push.name))
            if job is None:
                yield Sighting(push.id, Phase.GONE, "squeue does not show it any more")
                continue
            sighting = meaning.sighting_of(push.id, job)
            if sighting.phase is Phase.ENDED and sighting.exit_code == spool.NOT_MINE:
                holder = spool.begun_by(self._folder_of(push))
                if holder is not None and holder.isdigit() and holder != push.external_id:
                    sighting = Sighting(push.id, Phase.QUEUED, held_by=holder)
            if job.reason == meaning.NOT_LAUNCHED and spool.begun_by(self._folder_of(push)) is None:
                sighting = sighting._replace(cause=Cause.LOST)  # the machine's fault: no task has begun
            if meaning.is_stuck(job):
                sighting = sighting._replace(reason=f"{job.reason}: {_STUCK}")
            yield sighting

    def collect(self, push: Push) -> Collected:
        """The outcome in the spool, and the end of the output."""
        folder = self._folder_of(push)
        try:
            return Collected(spool.read_outcome(folder), spool.tail_of(folder / spool.OUTPUT))
        except OSError as error:  # the file system is away, which says nothing of the attempt
            raise BlindError(f"the spool {self.folder} cannot be read: {error}") from error

    def read_output(self, push: Push) -> str:
        """The end of the output so far."""
        return spool.tail_of(self._folder_of(push) / spool.OUTPUT)

    def cancel(self, pushes: Sequence[Push], *, hard: bool) -> None:
        """`scancel`: SIGTERM, and SIGKILL after the cluster's KillWait; with `hard`, SIGKILL at once.

        The name is part of it, so that no other job ends that was given this id again.
        """
        for push in pushes:
            words = ["scancel", f"--name={push.name}", *(["--signal=KILL", "--full"] if hard else []), push.external_id]
            commands.ask(words, environment=self._conf, seconds=self._seconds)
            if hard:  # one that still waits gets no signal
                commands.ask(
                    ["scancel", f"--name={push.name}", push.external_id], environment=self._conf, seconds=self._seconds
                )  # fmt: skip

    def clean(self, pushes: Sequence[Push]) -> None:
        """Remove the folders of these pushes from the spool."""
        for push in pushes:
            spool.remove(self._folder_of(push))

    def strays(self) -> Iterable[Stray]:
        """All jobs of this user with names of Segue's that have not ended."""
        words = ["squeue", "-h", "--me", "-t", _NOT_ENDED, "-O", meaning.FORMAT]
        answer = commands.ask(words, environment=self._conf, seconds=self._seconds)
        if answer.code == 0:
            for job in meaning.queued_jobs(answer.out):
                push_id = id_of_name(job.name)
                if push_id is not None:
                    yield Stray(push_id, job.id)

    def _folder_of(self, push: Push) -> Path:
        return self.folder / push.name

    def _jobs(self, flag: str, values: Iterable[str]) -> list[JobLine]:
        """What `squeue` shows of these ids or names. Raises BlindError."""
        words = ["squeue", "-h", "-t", "all", flag, ",".join(values), "-O", meaning.FORMAT]
        answer = commands.ask(words, environment=self._conf, seconds=self._seconds)
        if answer.code == 0:
            return list(meaning.queued_jobs(answer.out))
        if "invalid job id" in answer.err.lower():
            return []  # it does not know a single one of them
        raise BlindError(answer.err or f"squeue ended with exit code {answer.code}")

    def _accounted(self, pushes: Sequence[Push]) -> list[JobLine]:
        """What `sacct` says of these. Nothing if the cluster keeps no accounts."""
        if not pushes:
            return []
        ids = ",".join(push.external_id for push in pushes)
        words = ["sacct", "-X", "-n", "-P", "-S", "now-30days", "-j", ids, "-o", ",".join(meaning.ACCOUNTED)]
        try:
            answer = commands.run(words, environment=self._conf, seconds=self._seconds)
        except OSError:
            return []
        return list(meaning.accounted_jobs(answer.out)) if answer.code == 0 else []
