"""A Slurm cluster as it is asked and told: `sbatch`, `squeue`, `sacct`, `scancel`, `scontrol`.

An id alone proves nothing: a controller that was killed may give it again. So a job is of a push only if its name is,
too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from segue.dispatcher.protocol import BlindError, BusyError, Push
from segue.executors.programs import Answer, Programs
from segue.executors.slurm import meaning, names
from segue.executors.slurm.meaning import JobLine
from segue.executors.slurm.names import Called

MOST_NAMED = 200
"""Of more ids or names, `squeue` is asked for all jobs of this user."""

_NOT_ENDED = "PENDING,RUNNING,SUSPENDED,CONFIGURING,COMPLETING,STOPPED,REQUEUED,REQUEUE_HOLD"
_WORDS_AT_ONCE = 500


class Jobs:
    """Lines of `squeue` or `sacct`, found by their push."""

    def __init__(self, lines: Iterable[JobLine]) -> None:
        self._lines: dict[tuple[str, Called], JobLine] = {}
        self._ids: dict[Called, list[str]] = {}
        self._arrays: set[tuple[str, str]] = set()  # (id, id of the batch)
        for line in lines:
            called = names.called_by(line.name, line.id)
            if called is not None:
                self._lines.setdefault((line.id, called), line)
                self._ids.setdefault(called, []).append(line.id)
                self._arrays.add((names.array_of(line.id), called.id))

    def line_of(self, push: Push) -> JobLine | None:
        """The line of its job. An array that was ended before it began is one line."""
        found = self._lines.get((push.external_id, names.called(push)))
        if found is None and push.batch is not None and "_" in push.external_id:
            whole = self._lines.get((names.array_of(push.external_id), Called(push.batch)))
            if whole is not None and meaning.has_ended(whole):
                return whole
        return found

    def ids_of(self, push: Push) -> list[str]:
        """The ids of all jobs of a push, the oldest first."""
        return sorted(self._ids.get(names.called(push), []), key=lambda job_id: int(names.array_of(job_id)))

    def knows_array_of(self, push: Push) -> bool:
        """Whether other elements of its array are there."""
        return push.batch is not None and (names.array_of(push.external_id), push.batch) in self._arrays

    def may_be_cancelled(self, push: Push) -> bool:
        """Whether its job is there under its name, and has not ended."""
        line = self._lines.get((push.external_id, names.called(push)))
        return line is not None and not meaning.has_ended(line)


class Cluster:
    """A cluster behind Slurm's programs. Questions raise BlindError if they are not answered."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._array_size: int | None = None

    def submit(self, words: Sequence[str], script: str) -> str:
        """Call `sbatch`; the id of the job. Raises RefusedError, BusyError or UnsureError."""
        try:
            answer = self._programs.run(words, given=script)
        except OSError as error:
            raise BusyError(f"sbatch cannot be run: {error}. Is Slurm installed on this machine?") from error
        try:
            return meaning.submitted(answer)
        except BusyError as error:
            if meaning.is_too_large(error):
                self._array_size = None  # the cluster was configured again
            raise

    def array_size(self) -> int:
        """How many elements an array may have. It is asked once."""
        if self._array_size is None:
            answer = self._ask("scontrol", "show", "config")
            if answer.code != 0:
                raise BlindError(answer.err or f"scontrol ended with exit code {answer.code}")
            self._array_size = meaning.array_size(answer.out)
        return self._array_size

    def jobs_by_name(self, asked: Sequence[str]) -> Jobs:
        """The jobs with these names, also ended ones."""
        return Jobs(self._queued("-n", asked))

    def jobs_by_id(self, ids: Iterable[str]) -> Jobs:
        """The jobs with these ids, also ended ones; elements of the same arrays besides."""
        return Jobs(self._queued("-j", list(dict.fromkeys(names.array_of(job_id) for job_id in ids))))

    def alive(self) -> Iterator[JobLine]:
        """All jobs of this user that have not ended."""
        return meaning.queued_jobs(self._squeue("--me", "-t", _NOT_ENDED))

    def accounted(self, ids: Sequence[str]) -> Jobs:
        """What `sacct` says of these. Nothing if the cluster keeps no accounts.

        It is asked for whole arrays: it does not know every element by its id.
        """
        lines: list[JobLine] = []
        ids = list(dict.fromkeys(names.array_of(job_id) for job_id in ids))
        for first in range(0, len(ids), _WORDS_AT_ONCE):
            some = ",".join(ids[first : first + _WORDS_AT_ONCE])
            words = ["sacct", "-X", "-n", "-P", "-S", "now-30days", "-j", some, "-o", ",".join(meaning.ACCOUNTED)]
            try:
                answer = self._programs.run(words)
            except OSError:
                break
            if answer.code != 0:
                break
            lines += meaning.accounted_jobs(answer.out)
        return Jobs(lines)

    def cancel(self, ids: Sequence[str]) -> None:
        """`scancel`; one that has ended is no error."""
        self._scancel(names.for_scancel(ids))

    def kill(self, ids: Sequence[str]) -> None:
        """SIGKILL to all processes of jobs, none of which is an element of an array."""
        self._scancel(ids, "--signal=KILL", "--full")

    def _scancel(self, words: Sequence[str], *options: str) -> None:
        for first in range(0, len(words), _WORDS_AT_ONCE):
            self._ask("scancel", *options, *words[first : first + _WORDS_AT_ONCE])

    def _queued(self, flag: str, values: Sequence[str]) -> Iterator[JobLine]:
        which = ["--me"] if len(values) > MOST_NAMED else [flag, ",".join(values)]
        return meaning.queued_jobs(self._squeue(*which, "-t", "all")) if values else iter(())

    def _squeue(self, *which: str) -> str:
        answer = self._ask("squeue", "-h", "-r", *which, "-O", meaning.FORMAT)
        if answer.code == 0:
            return answer.out
        if "invalid job id" in answer.err.lower():
            return ""  # it does not know a single one of them
        raise BlindError(answer.err or f"squeue ended with exit code {answer.code}")

    def _ask(self, *words: str) -> Answer:
        return self._programs.ask(words)
