"""One job: a folder with a script, and the process group that runs it. It outlives the process that started it.

script      what runs; it makes `started` first, so of two processes with one folder the second does not run
started     the id of the script's process, and when that process began, because ids are used again
exit_code   how it ended
output      what it printed
result      what a command wrote as its result
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from segue.attempt import spool
from segue.dispatcher.work import Work

STARTED, SCRIPT = "started", "script"

# The whole group gets the signals. The script itself ignores the gentle ones, so that it can say how the words ended.
_SCRIPT = """\
#!/bin/sh
cd {where} || exit 1
began=$(cut -d ')' -f 2- /proc/$$/stat | cut -d ' ' -f 21)
if ! (set -C; printf '%s %s' "$$" "$began" > {started}) 2> /dev/null; then
    exit {not_mine}
fi
trap : TERM INT
(trap - TERM INT; cd {cwd} && exec {run}) &
child=$!
wait "$child"
code=$?
while kill -0 "$child" 2> /dev/null; do wait "$child"; code=$?; done
printf %s "$code" > {ended}.part && mv {ended}.part {ended}
"""


class Process(NamedTuple):
    """The process of a job's script."""

    pid: int
    began: str


class Job:
    """The job in this folder, which may not exist.

    Example::

        job = Job(Path("/tmp/segue-jobs/segue-agp7q3nmz5ykjlhkx6ptrc2gfa"))
        job.start(work, environment={})
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, work: Work, *, environment: Mapping[str, str]) -> None:
        """Start its processes; those of an earlier call go on, and the new ones end. Raises OSError."""
        if self.process is not None:
            return
        spool.make_folder(self.folder)
        text = _SCRIPT.format(
            where=shlex.quote(str(self.folder)), started=STARTED, not_mine=spool.NOT_MINE, ended=spool.EXIT_CODE,
            cwd=shlex.quote(work.cwd or os.getcwd()), run=shlex.join(work.words),  # noqa: PTH109 - as a text
        )  # fmt: skip
        path, part = self.folder / SCRIPT, self.folder / f"{SCRIPT}.{os.getpid()}"
        part.write_text(text, encoding="utf-8")
        part.replace(path)
        output = os.open(self.folder / spool.OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.posix_spawn(
                "/bin/sh", ["/bin/sh", str(path)], dict(environment), setsid=True,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, output, 1),
                    (os.POSIX_SPAWN_DUP2, output, 2),
                ],
            )  # fmt: skip
        finally:
            os.close(output)

    @property
    def process(self) -> Process | None:
        """The process that runs, or ran it; None if it has not begun."""
        try:
            pid, _, began = (self.folder / STARTED).read_text(encoding="ascii").partition(" ")
            return Process(int(pid), began)
        except (OSError, ValueError):
            return None

    @property
    def exit_code(self) -> int | None:
        """How the words ended, as their shell says; None while they run, or if that was killed."""
        return spool.read_exit_code(self.folder)

    def is_running(self) -> bool:
        """Whether its script runs."""
        process = self.process
        return process is not None and _began(process.pid) == process.began

    def end(self, *, hard: bool) -> None:
        """Send SIGTERM to all its processes, or SIGKILL."""
        process = self.process
        if process is not None and self.is_running():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL if hard else signal.SIGTERM)

    def remove(self) -> None:
        """Remove its folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _began(pid: int) -> str | None:
    """When a process began, as the kernel says; None if it is not there, or has ended and is not reaped."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # if this very process started it
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]
