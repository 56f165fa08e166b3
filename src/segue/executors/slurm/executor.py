"""`Slurm`: an executor whose platform is a Slurm cluster that shares a folder with the dispatcher."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from segue.attempt import spool
from segue.attempt.spool import Spooled
from segue.attempt.spool_lists import PARTS, write_list, write_new
from segue.dispatcher.protocol import (
    BlindError,
    BusyError,
    Cause,
    Collected,
    Mode,
    Pace,
    Phase,
    Push,
    Sighting,
    Stray,
    Submission,
)
from segue.dispatcher.registry import register
from segue.dispatcher.work import Work, work_of
from segue.errors import DefinitionError
from segue.executors.programs import SECONDS, Programs
from segue.executors.secret_files import secret_files
from segue.executors.slurm import meaning, names
from segue.executors.slurm.asking import Cluster, Jobs
from segue.executors.slurm.phantoms import Phantoms
from segue.executors.slurm.sbatch import named_words, words_of
from segue.executors.slurm.script import array_script_of, own_part, parts_of, script_of
from segue.given import finite, shown

ENVIRONMENT = ("PATH", "HOME", "USER", "LANG", "TZ", "PYTHONPATH")
APPTAINER = ("apptainer", "exec")
PACE = Pace(call_seconds=30.0, at_once=1000, looks_at_once=20_000, submits_at_once=1000, window=5000)
LAUNCH_SECONDS = 300.0
PREFIXES = ("SLURM_", "SBATCH_")
_STUCK = "an operator must release or end it"


class Slurm:
    """A Slurm cluster as an executor; importing a module that makes one connects to nothing.

    `folder` must be the same on this machine and on the nodes, and only this user should write there. `modules` define
    the tasks. `account`, `partition`, `qos` and so on are the defaults of jobs, which `push={...}` of a task changes.
    `setup` is shell that runs before Python, such as `module load`. `environment` names the variables that go along.
    `secrets` is a folder on the shared file system with a file for each secret; `runner` runs a command in an image.
    `slurm_conf` names another configuration than the system's. `arrays=False` submits each attempt by itself. A job
    that Slurm shows as running for `launch_seconds`, and that has not begun, is lost.

    Example::

        Slurm("hpc", folder="/shared/segue", modules=["shop.tasks"], setup="source /shared/venv/bin/activate")
    """

    mode = Mode.FILES

    def __init__(
        self, name: str, *, folder: str, modules: Sequence[str] = (), setup: str = "", python: str = sys.executable,
        where: str | None = None, environment: Sequence[str] = ENVIRONMENT, secrets: str | None = None,
        runner: Sequence[str] = APPTAINER, slurm_conf: str | None = None, arrays: bool = True,
        pace: Pace | None = None, command_seconds: float = SECONDS, launch_seconds: float = LAUNCH_SECONDS,
        **options: Any,
    ) -> None:  # fmt: skip
        for given, path in (("folder", folder), ("secrets", secrets)):
            if path is not None and not Path(path).is_absolute():
                raise DefinitionError(f"Slurm({shown(name)}): {given}={shown(path)} is not an absolute path")
        if (finite(launch_seconds) or 0) <= 0:
            raise DefinitionError(
                f"Slurm({shown(name)}): launch_seconds={shown(launch_seconds)}; give a number of seconds above 0"
            )
        self.name = name
        self.pace = pace or PACE
        self.folder = Path(folder)
        self._modules = tuple(modules)
        self._setup = setup
        self._python = python
        self._where = where or str(Path.cwd())
        self._environment = tuple(environment)
        self._secrets = secrets
        self._runner = tuple(runner)
        self._arrays = arrays
        settings = {"SLURM_CONF": slurm_conf} if slurm_conf else {}
        self._cluster = Cluster(
            Programs("Slurm", names=environment, prefixes=PREFIXES, settings=settings, seconds=command_seconds)
        )
        self._phantoms = Phantoms(launch_seconds)
        self._options = options
        register(self)

    # Submissions ------------------------------------------------------------------------------------------------------

    def submit(self, submission: Submission) -> str:
        """Write the job into the spool, and call `sbatch`. See `PolledExecutor`."""
        push, folder = submission.push, names.folder_of(self.folder, submission.push)
        work = self._work_of(submission)
        words = words_of(work, defaults=self._options, environment=self._environment)
        script = script_of(
            folder, self._own(work), is_command=work.command is not None, setup=self._setup, where=self._where
        )  # fmt: skip
        with _Writing(self.folder):
            if work.command is None:
                spool.write_job(folder, Spooled(submission.job, self._modules))
            else:
                spool.make_folder(folder)
        output = str(names.output_of(self.folder, push))
        return self._cluster.submit([*words, *named_words(names.lone_name_of(push), output)], script)

    def batch_limit(self) -> int:
        """What the cluster allows, at most `meaning.ARRAY_SIZE`."""
        return self._cluster.array_size() if self._arrays else 1

    def shape(self, submission: Submission) -> str | None:
        """The words of `sbatch`, and whether it is a command."""
        work = self._work_of(submission)
        self._own(work)  # raises what concerns only this one
        words = words_of(work, defaults=self._options, environment=self._environment)
        return "\0".join(["command" if work.command is not None else "task", *words])

    def submit_many(self, submissions: Sequence[Submission]) -> Sequence[str]:
        """An array of jobs, with one list of what they run. See `BatchingExecutor`."""
        work = [self._work_of(submission) for submission in submissions]
        places = [submission.push.place or 0 for submission in submissions]
        first, push = work[0], submissions[0].push
        batch = names.folder_of(self.folder, push).parent
        words = words_of(first, defaults=self._options, environment=self._environment)
        is_command = first.command is not None
        own = {place: self._own(one) for place, one in zip(places, work, strict=True)}
        with _Writing(self.folder):
            parts = write_new(batch, PARTS, [parts_of(own).encode()])
            if not is_command:
                write_list(batch, self._jobs_in_list(submissions))
        script = array_script_of(batch, parts, is_command=is_command, setup=self._setup, where=self._where)
        output = str(batch / f"{spool.OUTPUT}-%a")
        asked = named_words(names.name_of(push), output, array=names.indices(places))
        job = self._cluster.submit([*words, *asked], script)
        return [f"{job}_{place}" for place in places]

    def _jobs_in_list(self, submissions: Sequence[Submission]) -> dict[int, bytes]:
        return {
            submission.push.place or 0: spool.encoded(Spooled(submission.job, self._modules))
            for submission in submissions
        }  # fmt: skip

    def _work_of(self, submission: Submission) -> Work:
        return work_of(submission, run_step=[self._python, "-m", "segue", "run-step"])

    def _own(self, work: Work) -> str:
        return own_part(work, secrets=secret_files(work.secrets, self._secrets), runner=self._runner)

    # What is outside --------------------------------------------------------------------------------------------------

    def find(self, pushes: Sequence[Push]) -> Mapping[str, str]:
        """Search by name: of several jobs, the one that runs or ran the attempt, otherwise the first."""
        asked = list(dict.fromkeys(name for push in pushes for name in (names.name_of(push), names.lone_name_of(push))))
        jobs = self._cluster.jobs_by_name(asked)
        chosen = {}
        for push in pushes:
            ids = jobs.ids_of(push)
            holder = spool.begun_by(names.folder_of(self.folder, push))
            if holder in ids or (not ids and names.is_id(holder)):
                # it was there, though the controller does not know it any more
                chosen[push.id] = holder or ""
            elif ids:
                chosen[push.id] = ids[0]
        return chosen

    def look(self, pushes: Sequence[Push]) -> Iterable[Sighting]:
        """What `squeue` says, and `sacct` of those that it does not know any more."""
        jobs = self._cluster.jobs_by_id([push.external_id for push in pushes])
        missing = [push.external_id for push in pushes if jobs.line_of(push) is None]
        accounted = self._cluster.accounted(missing)
        for push in pushes:
            yield self._sighting(push, jobs, accounted)

    def _sighting(self, push: Push, jobs: Jobs, accounted: Jobs) -> Sighting:
        job = jobs.line_of(push)
        if job is None:
            ended = accounted.line_of(push)
            job = ended if ended is not None and meaning.has_ended(ended) else None
        if job is None:  # or sacct says that it waits or runs: it may say so forever of a job that was forgotten
            return self._forgotten(push, jobs)
        sighting = meaning.sighting_of(push.id, job)
        if sighting.phase is Phase.RUNNING:
            return self._judged(sighting, push)
        self._phantoms.forget(push.id)
        if sighting.phase is Phase.ENDED and sighting.exit_code == spool.NOT_MINE:
            holder = self._begun_by(push)
            if names.is_id(holder) and holder != push.external_id:
                return Sighting(push.id, Phase.QUEUED, held_by=holder)
            return self._forgotten(push, jobs)  # a controller that was killed launched the job once more
        if sighting.cause in (Cause.LOST, Cause.CANCELLED) and self._exit_code(push) == 0:
            return Sighting(push.id, Phase.ENDED, cause=Cause.EXIT, exit_code=0)  # it had ended before
        if job.reason == meaning.NOT_LAUNCHED and self._begun_by(push) is None:
            return sighting._replace(cause=Cause.LOST)  # the machine's fault: no task has begun
        if meaning.is_stuck(job):
            return sighting._replace(reason=f"{job.reason}: {_STUCK}")
        return sighting

    def _judged(self, running: Sighting, push: Push) -> Sighting:
        try:
            return self._phantoms.judged(running, names.folder_of(self.folder, push))
        except (OSError, ValueError):  # the spool is away, or shows half of a file: it is looked at later
            return running

    def _forgotten(self, push: Push, jobs: Jobs) -> Sighting:
        """What is known of a job that the cluster does not know any more: a command has left its exit code.

        An element of an array that is cancelled before it begins leaves no trace, while others of the array are there.
        """
        code = self._exit_code(push)
        if code is not None:
            return Sighting(push.id, Phase.ENDED, cause=Cause.EXIT, exit_code=code)
        if jobs.knows_array_of(push) and self._begun_by(push) is None:
            return Sighting(push.id, Phase.ENDED, "it was cancelled before it began", cause=Cause.CANCELLED)
        return Sighting(push.id, Phase.GONE, "squeue does not show it any more")

    def _exit_code(self, push: Push) -> int | None:
        return spool.read_exit_code(names.folder_of(self.folder, push))

    def _begun_by(self, push: Push) -> str | None:
        return spool.begun_by(names.folder_of(self.folder, push))

    def collect(self, push: Push) -> Collected:
        """The outcome in the spool, the end of the output, and what a command left as its result."""
        folder = names.folder_of(self.folder, push)
        try:
            return Collected(spool.read_outcome(folder), self.read_output(push), spool.read_result(folder))
        except OSError as error:  # the file system is away, which says nothing of the attempt
            raise BlindError(f"the spool {self.folder} cannot be read: {error}") from error

    def read_output(self, push: Push) -> str:
        """The end of the output so far."""
        return spool.tail_of(names.output_of(self.folder, push))

    def cancel(self, pushes: Sequence[Push], *, hard: bool) -> None:
        """`scancel`: SIGTERM, and SIGKILL after the cluster's KillWait; with `hard`, SIGKILL at once to jobs.

        Only jobs end that still have the name of the push: an id may have been given again. With any option, `scancel`
        ends a whole array of which one element was named, so elements are never killed by signals.
        """
        jobs = self._cluster.jobs_by_id([push.external_id for push in pushes])
        ids = [push.external_id for push in pushes if jobs.may_be_cancelled(push)]
        if hard:
            self._cluster.kill([job_id for job_id in ids if "_" not in job_id])
        self._cluster.cancel(ids)

    def clean(self, pushes: Sequence[Push]) -> None:
        """Remove the folders of these pushes from the spool; the folder of a batch with all that is in it."""
        for push in pushes:
            self._phantoms.forget(push.id)
            folder = names.folder_of(self.folder, push)
            if push.batch is None:
                spool.remove(folder)
            else:
                shutil.rmtree(folder.parent, ignore_errors=True)

    def strays(self) -> Iterable[Stray]:
        """All jobs of this user with names of Segue's that have not ended."""
        for job in self._cluster.alive():
            called = names.called_by(job.name, job.id)
            if called is not None:
                yield Stray(called.id, job.id, called.place)


class _Writing:
    """Writes into the spool: if that fails, nothing was submitted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            raise BusyError(f"the spool {self._folder} cannot be written: {error}") from error
