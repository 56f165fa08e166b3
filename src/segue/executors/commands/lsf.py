"""LSF: `bsub`, `bjobs`, `bhist` and `bkill`. Pure, but for the class that users make.

Written from the command reference and from answers that others recorded. It was never run on a real system.
"""

from __future__ import annotations

import math
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
    split,
)
from segue.executors.programs import Answer

FIELDS = ("jobid", "stat", "exit_code", "exec_host", "job_name", "exit_reason", "pend_reason")
_FORMAT = f"{' '.join(FIELDS)} delimiter='|'"
_SUBMITTED = re.compile(r"Job <(\d+)> is submitted to")
_BUSY = ("limit", "threshold", "queue has been closed", "queue has been deactivated", "try later")
_AWAY = ("lsf is down", "please wait", "still trying", "daemon not responding", "cannot connect", "communication",
         "connection", "lim is down", "failed in an lsf library call")  # fmt: skip
_RUNNING = frozenset({"RUN", "USUSP", "SSUSP", "UNKWN"})
_HELD = frozenset({"PSUSP"})
_TERMS = {
    "TERM_RUNLIMIT": Cause.TIMEOUT, "TERM_CPULIMIT": Cause.TIMEOUT, "TERM_DEADLINE": Cause.TIMEOUT,
    "TERM_MEMLIMIT": Cause.OUT_OF_MEMORY, "TERM_SWAP": Cause.OUT_OF_MEMORY, "TERM_OWNER": Cause.CANCELLED,
    "TERM_FORCE_OWNER": Cause.CANCELLED, "TERM_ADMIN": Cause.CANCELLED, "TERM_FORCE_ADMIN": Cause.CANCELLED,
    "TERM_PREEMPT": Cause.LOST, "TERM_LOAD": Cause.LOST, "TERM_WINDOW": Cause.LOST, "TERM_ZOMBIE": Cause.LOST,
    "TERM_REQUEUE_OWNER": Cause.LOST, "TERM_REQUEUE_ADMIN": Cause.LOST, "TERM_REMOVE_HUNG_JOB": Cause.LOST,
}  # fmt: skip
_TERM = re.compile(r"(TERM_[A-Z_]+)")
_BHIST_JOB = re.compile(r"Job <(\d+)>, Job Name <([^>]*)>")
_BHIST_EXIT = re.compile(r"Exited with exit code (\d+)|Exited by signal (\d+)|Exited; (TERM_\w+)|(Done successfully)")
_MARGIN = re.compile(r"\n {10,}")


class LSFWords(BatchSystem):
    """What is particular to LSF."""

    title = "LSF"
    options = ("queue", "project", "group", "profile", "priority", "resource")
    extra = "bsub"
    prefixes = ("LSF_", "LSB_", "EGO_")
    job_id = "$LSB_JOBID"
    signals = ("TERM", "INT")
    keeps_output = False  # LSF adds a report of its own

    def submit(self, asked: Asked) -> list[str]:
        """`-rn`: LSF's own rerun is off, or one attempt would run twice under one number."""
        resources = asked.work.resources
        words = ["bsub", "-rn", "-J", asked.name, "-o", "/dev/null", "-L", "/bin/sh"]
        words += chosen(asked, queue="-q", project="-P", group="-G", profile="-app", priority="-sp")
        needs = []
        if resources.cpu is not None:
            words += ["-n", str(resources.cpu)]
            needs.append("span[hosts=1]")
        used = []
        if resources.memory_bytes is not None:  # with its unit: that of plain numbers is the site's
            words += ["-M", f"{mebibytes(resources.memory_bytes)}MB"]
            used.append(f"mem={mebibytes(resources.memory_bytes)}MB")
        if resources.tmp_bytes is not None:
            used.append(f"tmp={mebibytes(resources.tmp_bytes)}MB")
        needs += [f"rusage[{','.join(used)}]"] if used else []
        needs += [str(asked.options["resource"])] if asked.options.get("resource") else []
        words += ["-R", " ".join(needs)] if needs else []
        if resources.gpu:
            kind = f":gmodel={resources.gpu_type}" if resources.gpu_type else ""
            words += ["-gpu", f"num={resources.gpu}{kind}"]
        limit = limit_seconds(asked.work)
        words += ["-W", str(math.ceil(limit / 60))] if limit is not None else []
        return [*words, *asked.options.get(self.extra, ())]

    def submitted(self, answer: Answer) -> str:
        """See `BatchSystem`. Only "Job not submitted" says that there is none."""
        found = _SUBMITTED.search(answer.out)
        if answer.code == 0 and found is not None:
            return found[1]
        said = answer.said
        low = said.lower()
        if answer.is_whole and answer.code and "not submitted" in low:
            if any(word in low for word in _BUSY):
                raise BusyError(said, seconds=BUSY_SECONDS)
            raise RefusedError(said)
        raise UnsureError(said)

    def ask_for(self, user: str, ids: Sequence[str] | None) -> list[str]:
        """One call for all jobs of the user, with those that ended in the last hour (`CLEAN_PERIOD`)."""
        return ["bjobs", "-a", "-noheader", "-u", user, "-o", _FORMAT]

    def listed(self, answer: Answer) -> Iterable[JobLine]:
        """Fields between bars. "No job found" is an answer."""
        said = answer.said.lower()
        if answer.code != 0 and "no job found" not in said and "no matching job" not in said:
            raise BlindError(answer.said)
        return list(_jobs(answer.out))

    def history(self, ids: Sequence[str]) -> Iterator[Look]:
        """`bhist` reads the event logs, all of them with `-n 0`."""
        for job_id in ids:
            yield Look(("bhist", "-n", "0", "-l", job_id), frozenset({job_id}))

    def ended(self, answer: Answer) -> Iterator[JobLine]:
        """The text for people of `bhist -l`, whose lines are cut at a margin."""
        text = _MARGIN.sub("", answer.out)
        named, ends = _BHIST_JOB.search(text), list(_BHIST_EXIT.finditer(text))
        if named is None or not ends:
            return
        code, number, term, done = ends[-1].groups()
        terms = _TERM.findall(text[ends[-1].start() :])
        word = term or (terms[0] if terms else None)
        known = JobLine(named[1], named[2], Phase.ENDED, word)
        if done:
            yield known._replace(cause=Cause.EXIT, exit_code=0)
        elif number is not None and word not in _TERMS:
            yield known._replace(cause=Cause.SIGNAL, exit_code=-int(number))
        else:
            cause = _TERMS.get(word or "", Cause.EXIT if code else Cause.LOST)
            yield known._replace(cause=cause, exit_code=int(code) if code else None)

    def delete(self, ids: Sequence[str], *, hard: bool) -> list[str]:
        """SIGINT, SIGTERM and SIGKILL in turn; with `-r` also if the machine does not answer."""
        return ["bkill", *(["-r"] if hard else []), *ids]

    def deleted(self, answer: Answer) -> Iterable[str]:
        """The list says it."""
        if answer.code != 0 and any(word in answer.said.lower() for word in _AWAY):
            raise BlindError(answer.said)
        return ()

    def explain(self, job_id: str) -> list[str] | None:
        """The reason was in the list."""
        return None

    def explained(self, answer: Answer) -> str | None:
        """See `explain`."""
        return None


def _jobs(text: str) -> Iterator[JobLine]:
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|", len(FIELDS) - 1)]
        if len(fields) < len(FIELDS) or not fields[0].isdigit():
            continue
        job_id, state, code_text, hosts, name, ended_by, waits_for = ("" if field == "-" else field for field in fields)
        host = re.sub(r"^\d+\*", "", hosts.partition(":")[0]) or None
        known = JobLine(job_id, name, Phase.QUEUED, waits_for or state, host)
        if state in _RUNNING:
            lost_sight = "its machine does not answer (UNKWN)" if state == "UNKWN" else None
            yield known._replace(phase=Phase.RUNNING, reason=lost_sight)
        elif state == "DONE":
            yield known._replace(phase=Phase.ENDED, reason=None, cause=Cause.EXIT, exit_code=0)
        elif state == "EXIT":
            word = _TERM.match(ended_by)
            cause = _TERMS.get(word[1] if word is not None else "", Cause.EXIT)
            code = int(code_text) if code_text.isdigit() else None
            yield known._replace(phase=Phase.ENDED, reason=ended_by or None, cause=cause, exit_code=code)
        elif state == "ZOMBI":
            yield known._replace(phase=Phase.ENDED, reason="ZOMBI, its machine does not answer", cause=Cause.LOST)
        else:
            is_held = state in _HELD
            reason = f"{state}, held: someone must resume it (bresume)" if is_held else known.reason
            yield known._replace(reason=reason, is_stuck=is_held)


class LSF(BatchExecutor):
    """A cluster with LSF 10 as an executor. It was never run on a real system; see its page.

    The arguments are those of `GridEngine`, without `notify`. The options are `queue`, `project`, `group`, `profile`
    (of an application), `priority`, `resource` (further text for `-R`, such as "select[avx2]") and `bsub` (a list of
    further words). Raises DefinitionError.

    Example::

        LSF("lsf", folder="/shared/segue", modules=["shop.tasks"], queue="normal", project="p42")
    """

    def __init__(self, name: str, *, folder: str, **given: Any) -> None:
        super().__init__(name, LSFWords(), folder=folder, **split(given))
