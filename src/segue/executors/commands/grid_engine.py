"""Grid Engine: `qsub`, `qstat`, `qacct` and `qdel`. Pure, but for the class that users make."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from segue.dispatcher.protocol import BlindError, BusyError, Cause, Phase, RefusedError, UnsureError
from segue.executors.commands.executor import BatchExecutor
from segue.executors.commands.system import (
    BUSY_SECONDS,
    SIGNALS_FROM,
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

_SUBMITTED = re.compile(r"(\d+)")
_BUSY = ("jobs are allowed", "job limit", "limit of", "maximum number of jobs", "is no submit host", "too many")
_AWAY = ("commlib error", "unable to send message to qmaster", "unable to contact qmaster", "timeout", "can't reach")
_GONE = re.compile(r"has deleted job (\d+)")
_ERROR = re.compile(r"^error reason\s+\d+:\s+(?:\d+/\d+/\d+ [\d:]+ )?(?:\[[^\]]*\]: )?(.+)$", re.MULTILINE)
_SIZE = re.compile(r"([\d.]+)([KkMmGgTt]?)B?")
_FACTORS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_ASSUMEDLY_AFTER, _LIMIT = 100, 37  # Grid Engine's codes of failures


class GridEngineWords(BatchSystem):
    """What is particular to Grid Engine."""

    title = "Grid Engine"
    options = ("queue", "project", "account", "priority", "parallel", "memory", "gpu", "tmp")
    extra = "qsub"
    prefixes = ("SGE_",)
    job_id = "$JOB_ID"
    keeps_output = True

    def __init__(self, *, notify: bool = True) -> None:
        self._notify = notify
        self.signals = ("USR2", "TERM") if notify else ("TERM",)

    def submit(self, asked: Asked) -> list[str]:
        """`-r n`: Grid Engine's own rerun is off, or one attempt would run twice under one number."""
        output = str(asked.folder / "output")
        words = ["qsub", "-terse", "-r", "n", "-S", "/bin/sh", "-N", asked.name, "-j", "y", "-o", output]
        words += ["-notify"] if self._notify else []
        words += chosen(asked, queue="-q", project="-P", account="-A", priority="-p")
        words += ["-v", ",".join(asked.variables)] if asked.variables else []
        words += self._resources(asked)
        return [*words, *asked.options.get(self.extra, ())]

    def _resources(self, asked: Asked) -> list[str]:
        resources, options, words = asked.work.resources, asked.options, []
        refuse_kind(asked, self.extra, "['-l', 'gpu_a100=1']")
        slots = resources.cpu or 1
        if slots > 1:
            words += ["-pe", str(options.get("parallel") or "smp"), str(slots)]
        asked_for = []
        if resources.memory_bytes is not None:  # what is given counts for each slot
            name = options.get("memory") or "h_vmem"
            asked_for.append(f"{name}={math.ceil(mebibytes(resources.memory_bytes) / slots)}M")
        if resources.gpu:
            asked_for.append(f"{options.get('gpu') or 'gpu'}={resources.gpu}")
        if resources.tmp_bytes is not None:
            name = tmp_name(asked, "Grid Engine", "GridEngine(..., tmp='scratch')")
            asked_for.append(f"{name}={mebibytes(resources.tmp_bytes)}M")
        limit = limit_seconds(asked.work)
        if limit is not None:
            asked_for.append(f"h_rt={limit}")
        return [*words, "-l", ",".join(asked_for)] if asked_for else words

    def submitted(self, answer: Answer) -> str:
        """See `BatchSystem`. Only "Unable to run job" says that there is none."""
        for line in reversed(answer.out.splitlines()):
            found = _SUBMITTED.fullmatch(line.strip())
            if answer.code == 0 and found is not None:
                return found[1]
        said = answer.said.removesuffix("Exiting.").strip()
        low = said.lower()
        if not answer.is_whole or answer.code == 0 or any(word in low for word in _AWAY):
            raise UnsureError(said)
        if any(word in low for word in _BUSY):
            raise BusyError(said, seconds=BUSY_SECONDS)
        if "unable to run job" in low or "unknown option" in low or "denied" in low:
            raise RefusedError(said.removeprefix("Unable to run job: "))
        raise UnsureError(said)

    def ask_for(self, user: str, ids: Sequence[str] | None) -> list[str]:
        """One call for all jobs of the user."""
        return ["qstat", "-xml", "-u", user]

    def listed(self, answer: Answer) -> Iterable[JobLine]:
        """The elements `job_list`, wherever they are."""
        if answer.code != 0:
            raise BlindError(answer.said)
        try:
            tree = ElementTree.fromstring(answer.out)
        except ElementTree.ParseError as error:
            raise BlindError(f"the answer of qstat -xml cannot be read: {error}") from error
        for job in tree.iter("job_list"):
            state = job.findtext("state") or ""
            host = (job.findtext("queue_name") or "").partition("@")[2] or None
            phase = _phase_of(state)
            reason = None if phase is Phase.RUNNING else _waits(state)
            is_stuck = "E" in state
            yield JobLine(
                job.findtext("JB_job_number") or "", job.findtext("JB_name") or "", phase, reason, host,
                is_stuck=is_stuck,
            )  # fmt: skip

    def history(self, ids: Sequence[str]) -> Iterator[Look]:
        """`qacct` reads the whole accounts for each job."""
        for job_id in ids:
            yield Look(("qacct", "-j", job_id), frozenset({job_id}))

    def ended(self, answer: Answer) -> Iterator[JobLine]:
        """The records of `qacct -j`: one for each start, and for each job that had this id before."""
        for record in answer.out.split("=" * 62)[1:]:
            lines = [line.strip().partition(" ") for line in record.splitlines()]
            fields = {name: value.strip() for name, _, value in lines if name}
            if "jobnumber" in fields and "exit_status" in fields:
                yield _ended(fields)

    def delete(self, ids: Sequence[str], *, hard: bool) -> list[str]:
        """With `-f` also those whose machine does not answer, if the site allows that."""
        return ["qdel", *(["-f"] if hard else []), *ids]

    def deleted(self, answer: Answer) -> Iterable[str]:
        """ "has deleted": it waited. "has registered for deletion": it runs, and its end is awaited."""
        if any(word in answer.said.lower() for word in _AWAY):
            raise BlindError(answer.said)
        return _GONE.findall(answer.out)

    def explain(self, job_id: str) -> list[str]:
        """`qstat -j` says why a job is in the state of error."""
        return ["qstat", "-j", job_id]

    def explained(self, answer: Answer) -> str | None:
        """The first reason."""
        found = _ERROR.search(answer.out)
        return found[1].strip() if found is not None else None


def _phase_of(state: str) -> Phase:
    """Letters: q(ueued) w(aiting) h(eld) E(rror) t(ransferred) r(unning) s, S, T (suspended) d(eleted) R(estarted)."""
    return Phase.RUNNING if any(letter in state for letter in "rsST") and "w" not in state else Phase.QUEUED


def _waits(state: str) -> str:
    if "E" in state:
        return f"{state}, an error: someone must clear it (qmod -cj) or end the job"
    if "h" in state:
        return f"{state}, held: someone must release it (qrls)"
    return state


def _ended(fields: Mapping[str, str]) -> JobLine:
    """How a job ended, from its record."""
    failed_text, status_text = fields.get("failed", "0"), fields["exit_status"]
    failed, status = _leading(failed_text), _leading(status_text)
    host = fields.get("hostname") or None
    known = JobLine(fields["jobnumber"], fields.get("jobname", ""), Phase.ENDED, None, host)
    over = _over_limit(fields)
    if failed == _LIMIT or (failed == _ASSUMEDLY_AFTER and over is not None):
        return known._replace(cause=over or Cause.SIGNAL, exit_code=SIGNALS_FROM - status, reason=failed_text)
    if failed not in (0, _ASSUMEDLY_AFTER):
        return known._replace(cause=Cause.LOST, exit_code=status, reason=f"failed {failed_text}")
    if failed == _ASSUMEDLY_AFTER and status > SIGNALS_FROM:
        return known._replace(cause=Cause.SIGNAL, exit_code=SIGNALS_FROM - status, reason=None)
    return known._replace(cause=Cause.EXIT, exit_code=status)


def _over_limit(fields: Mapping[str, str]) -> Cause | None:
    """Which limit a job exceeded: what it asked for is in `category`."""
    asked = dict(re.findall(r"(\w+)=([^,\s]+)", fields.get("category", "")))
    slots = max(_leading(fields.get("slots", "1")), 1)
    memory = _size(asked.get("h_vmem", "")) or _size(asked.get("h_rss", ""))
    if memory and _size(fields.get("maxvmem", "")) >= memory * slots:
        return Cause.OUT_OF_MEMORY
    if "h_rt" in asked and _leading(fields.get("ru_wallclock", "0")) >= _leading(asked["h_rt"]):
        return Cause.TIMEOUT
    return None


def _leading(text: str) -> int:
    found = re.match(r"\d+", text)
    return int(found[0]) if found is not None else 0


def _size(text: str) -> float:
    """Bytes. Capital letters are powers of 1024, small ones of 1000; 0 for what is no size."""
    found = _SIZE.fullmatch(text)
    return float(found[1]) * _FACTORS[found[2]] if found is not None else 0.0


class GridEngine(BatchExecutor):
    """A Grid Engine cluster (Son of Grid Engine, Open Grid Scheduler, Univa, Altair) as an executor.

    `folder` must be the same on this machine and on the nodes, and only this user should write there. `modules` define
    the tasks. `setup` is shell that runs before Python, such as `module load`. `environment` names the variables that
    go along. `secrets` is a folder with a file for each secret. `settings` are variables for Grid Engine's programs,
    such as `SGE_ROOT`. `notify=False` ends jobs without the warning of `qsub -notify`. `runtime` are the words that run
    an image.

    The other options are defaults of jobs, which `push={...}` of a task changes: `queue`, `project`, `account`,
    `priority`, `parallel` (the parallel environment of several processors, "smp"), `qsub` (a list of further words),
    and what the site calls `memory` ("h_vmem"), `gpu` ("gpu") and `tmp`. Importing a module that makes one connects to
    nothing. Raises DefinitionError.

    Example::

        GridEngine("sge", folder="/shared/segue", modules=["shop.tasks"], queue="short.q")
    """

    def __init__(self, name: str, *, folder: str, notify: bool = True, **given: Any) -> None:
        words = GridEngineWords(notify=notify)
        super().__init__(name, words, folder=folder, **split(given))
