"""PBS Professional and OpenPBS: `qsub`, `qstat` and `qdel`. Pure, but for the class that users make.

Written from the reference guides and from answers that others recorded. It was never run on a real system. TORQUE is
another system: its `qstat -x` means something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from segue.dispatcher.protocol import BlindError, BusyError, Cause, Phase, RefusedError, UnsureError
from segue.executors.commands.executor import BatchExecutor
from segue.executors.commands.system import (
    BUSY_SECONDS,
    Asked,
    BatchSystem,
    JobLine,
    Look,
    chosen,
    limit_seconds,
    mebibytes,
    refuse_kind,
    split,
    tmp_name,
)
from segue.executors.programs import Answer

_ID = re.compile(r"(\d+)(?:\.\S*)?")
_BUSY = ("limit on the number of jobs", "maximum number of jobs", "per-user limit", "per-project limit", "would exceed",
         "queue is not enabled", "too many", "server shutting down")  # fmt: skip
_AWAY = ("cannot connect to server", "connection refused", "connection timed out", "communication failure",
         "no route to host", "batch protocol error", "end of file", "invalid credential", "errno=15010",
         "errno=111", "timed out")  # fmt: skip
_RUNNING, _ENDED = frozenset("RESUB"), frozenset("FX")
_LIMITS = {-26: Cause.OUT_OF_MEMORY, -27: Cause.OUT_OF_MEMORY, -28: Cause.TIMEOUT, -29: Cause.TIMEOUT}
_WORDS = (("walltime", Cause.TIMEOUT), ("cput", Cause.TIMEOUT), ("mem", Cause.OUT_OF_MEMORY))
_NEVER = frozenset({-2, -10, -13})  # the script could not be run, or the user is not known there
_DELETED = 91  # the substate of a job that was ended by qdel
_SIGNALS = 256


class PBSWords(BatchSystem):
    """What is particular to PBS."""

    title = "PBS"
    options = ("queue", "project", "account", "priority", "gpu", "tmp", "select", "place")
    extra = "qsub"
    prefixes = ("PBS_",)
    job_id = "${PBS_JOBID%%.*}"
    signals = ("TERM",)
    keeps_output = False  # PBS brings it only when the job has ended

    def submit(self, asked: Asked) -> list[str]:
        """`-r n`: PBS's own rerun is off, or one attempt would run twice under one number."""
        words = ["qsub", "-N", asked.name, "-r", "n", "-S", "/bin/sh", "-j", "oe", "-o", "/dev/null", "-m", "n"]
        words += chosen(asked, queue="-q", project="-P", account="-A", priority="-p")
        words += ["-v", ",".join(asked.variables)] if asked.variables else []
        words += ["-l", f"select={self._chunk(asked)}"]
        place = asked.options.get("place")
        words += ["-l", f"place={place}"] if place is not None else []
        limit = limit_seconds(asked.work)
        words += ["-l", f"walltime={limit}"] if limit is not None else []
        return [*words, *asked.options.get(self.extra, ())]

    def _chunk(self, asked: Asked) -> str:
        """One chunk, so that all of it is on one machine. `select=` has further resources of the site."""
        resources, options = asked.work.resources, asked.options
        refuse_kind(asked, "select", "'gpu_model=a100'")
        parts = ["1", f"ncpus={resources.cpu or 1}"]
        if resources.memory_bytes is not None:
            parts.append(f"mem={mebibytes(resources.memory_bytes)}mb")
        if resources.gpu:
            parts.append(f"{options.get('gpu') or 'ngpus'}={resources.gpu}")
        if resources.tmp_bytes is not None:
            name = tmp_name(asked, "PBS", "PBS(..., tmp='scratch_local')")
            parts.append(f"{name}={mebibytes(resources.tmp_bytes)}mb")
        parts += [str(options["select"])] if options.get("select") else []
        return ":".join(parts)

    def submitted(self, answer: Answer) -> str:
        """See `BatchSystem`. What begins with "qsub:" was said by the server, unless it is away."""
        found = _ID.fullmatch(answer.out.strip())
        if answer.code == 0 and found is not None:
            return found[1]
        said = answer.said
        low = said.lower()
        if not answer.is_whole or answer.code == 0 or any(word in low for word in _AWAY):
            raise UnsureError(said)
        if any(word in low for word in _BUSY):
            raise BusyError(said, seconds=BUSY_SECONDS)
        if "qsub:" in low:
            raise RefusedError(said.removeprefix("qsub: "))
        raise UnsureError(said)

    def ask_for(self, user: str, ids: Sequence[str] | None) -> list[str]:
        """With the history, if the jobs are known: PBS leaves out a job that it does not know, and shows the others."""
        return ["qstat", "-f", *(() if ids is None else ("-x", *ids))]

    def listed(self, answer: Answer) -> Iterable[JobLine]:
        """Blocks of `name = value`. An error is one of the connection, or names jobs that are not known."""
        low = answer.err.lower()
        unknown = "unknown job id" in low or "job has finished" in low
        if (answer.code != 0 and not unknown) or any(word in low for word in _AWAY):
            raise BlindError(answer.said)
        return [_job_of(job_id, fields) for job_id, fields in _blocks(answer.out)]

    def history(self, ids: Sequence[str]) -> Iterator[Look]:
        """It was in the list. A server without a history (`job_history_enable`) has none."""
        return iter(())

    def ended(self, answer: Answer) -> Iterable[JobLine]:
        """See `history`."""
        return ()

    def delete(self, ids: Sequence[str], *, hard: bool) -> list[str]:
        """SIGTERM, and SIGKILL after the queue's `kill_delay`; with `force` also if the machine does not answer."""
        return ["qdel", *(["-W", "force"] if hard else []), *ids]

    def deleted(self, answer: Answer) -> Iterable[str]:
        """The history says it."""
        if any(word in answer.said.lower() for word in _AWAY):
            raise BlindError(answer.said)
        return ()

    def explain(self, job_id: str) -> list[str] | None:
        """The comment was in the list."""
        return None

    def explained(self, answer: Answer) -> str | None:
        """See `explain`."""
        return None


def _blocks(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The jobs in an answer of `qstat -f`. Long values go on in lines that begin with a tab."""
    job_id, fields, last = "", dict[str, str](), ""
    for line in text.splitlines():
        if line.startswith("Job Id:"):
            if job_id:
                yield job_id, fields
            found = _ID.match(line.removeprefix("Job Id:").strip())
            job_id, fields, last = (found[1] if found is not None else ""), {}, ""
        elif line.startswith("\t") and last:
            fields[last] += line.strip()
        elif " = " in line:
            last, _, value = line.strip().partition(" = ")
            fields[last] = value
    if job_id:
        yield job_id, fields


def _job_of(job_id: str, fields: dict[str, str]) -> JobLine:
    state, comment = fields.get("job_state", ""), fields.get("comment")
    host = fields.get("exec_host", "").partition("/")[0] or None
    known = JobLine(job_id, fields.get("Job_Name", ""), Phase.QUEUED, comment or state, host)
    if state in _ENDED:
        return _ended(known, fields)
    if state in _RUNNING:
        return known._replace(phase=Phase.RUNNING, reason=None)
    is_held = state == "H"
    why = f"held: someone must release it (qrls){f': {comment}' if comment else ''}" if is_held else known.reason
    return known._replace(reason=why, is_stuck=is_held)


def _ended(known: JobLine, fields: dict[str, str]) -> JobLine:
    ended, comment = known._replace(phase=Phase.ENDED), fields.get("comment") or ""
    status_text = fields.get("Exit_status")
    substate = fields.get("substate", "").strip()
    if status_text is None or not status_text.lstrip("-").isdigit():
        return ended._replace(cause=Cause.CANCELLED if substate == str(_DELETED) else Cause.LOST)
    status = int(status_text)
    if status < 0:
        cause = _LIMITS.get(status, Cause.CONFIG if status in _NEVER else Cause.LOST)
        return ended._replace(cause=cause, exit_code=status, reason=f"Exit_status {status}, {comment}".rstrip(", "))
    if status > _SIGNALS:
        over = next((cause for word, cause in _WORDS if word in comment and "exceeded" in comment), None)
        by_hand = Cause.CANCELLED if substate == str(_DELETED) else Cause.SIGNAL
        return ended._replace(cause=over or by_hand, exit_code=_SIGNALS - status)
    return ended._replace(cause=Cause.EXIT, exit_code=status, reason=None)


class PBS(BatchExecutor):
    """A cluster with PBS Professional or OpenPBS as an executor. It was never run on a real system; see its page.

    The arguments are those of `GridEngine`, without `notify`. The options are `queue`, `project`, `account`,
    `priority`, `select` (further resources of the chunk, such as "arch=linux"), `place`, `qsub` (a list of further
    words), and what the site calls `gpu` ("ngpus") and `tmp`. Raises DefinitionError.

    Example::

        PBS("pbs", folder="/shared/segue", modules=["shop.tasks"], queue="workq", project="p42")
    """

    def __init__(self, name: str, *, folder: str, **given: Any) -> None:
        super().__init__(name, PBSWords(), folder=folder, **split(given))
