"""Grid Engine for the tests: sge_qmaster and sge_execd of this machine, with a root folder and ports of their own.

Debian's packages know one cell of the whole machine, in /var/lib/gridengine. It is not touched: the programs take all
paths from SGE_ROOT, so each cluster here has an installation that consists of links, a database and four small files.
It needs root, as sge_execd does. The one host pretends to have 16 slots, so that many small jobs run at once.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.servers.folders import temporary_folder
from tests.servers.guard import Guarded
from tests.servers.ports import free_port

PROGRAMS = Path("/usr/lib/gridengine")
SHARED = Path("/usr/share/gridengine")
NEEDED = ("sge_qmaster", "sge_execd", "sge_shepherd", "spoolinit", "qsub", "qconf")
PACKAGES = ("gridengine-master", "gridengine-exec", "gridengine-client")
START_SECONDS = 30
_BOOTSTRAP = """\
admin_user              root
default_domain          none
ignore_fqdn             true
spooling_method         berkeleydb
spooling_lib            libspoolb
spooling_params         {folder}/spooldb
binary_path             {folder}/bin
qmaster_spool_dir       {folder}/qmaster
security_mode           none
listener_threads        2
worker_threads          2
scheduler_threads       1
"""
_HOST = """\
hostname {host}
load_scaling NONE
complex_values NONE
user_lists NONE
xuser_lists NONE
projects NONE
xprojects NONE
usage_scaling NONE
report_variables NONE
"""
_CHANGED = {
    "min_uid": "0", "min_gid": "0", "load_report_time": "00:00:01", "max_unheard": "00:00:10",
    "reporting_params": "accounting=true reporting=false flush_time=00:00:01 accounting_flush_time=00:00:00 "
    "joblog=false sharelog=00:00:00",
}  # fmt: skip
_SCHEDULE = {"schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1"}
_QUEUE = {
    "qname": "all.q", "seq_no": "0", "load_thresholds": "NONE", "suspend_thresholds": "NONE", "nsuspend": "1",
    "suspend_interval": "00:05:00", "priority": "0", "min_cpu_interval": "00:05:00", "processors": "UNDEFINED",
    "qtype": "BATCH INTERACTIVE", "ckpt_list": "NONE", "pe_list": "smp", "rerun": "FALSE", "slots": "16",
    "tmpdir": "/tmp", "shell": "/bin/sh", "prolog": "NONE", "epilog": "NONE", "shell_start_mode": "unix_behavior",
    "starter_method": "NONE", "suspend_method": "NONE", "resume_method": "NONE", "terminate_method": "NONE",
    "notify": "00:00:02", "owner_list": "NONE", "user_lists": "NONE", "xuser_lists": "NONE",
    "subordinate_list": "NONE", "complex_values": "NONE", "projects": "NONE", "xprojects": "NONE", "calendar": "NONE",
    "initial_state": "default",
    **{f"{kind}_{what}": "INFINITY" for kind in "sh"
       for what in ("rt", "cpu", "fsize", "data", "stack", "core", "rss", "vmem")},
}  # fmt: skip
_ENVIRONMENT = {
    "pe_name": "smp", "slots": "999", "user_lists": "NONE", "xuser_lists": "NONE", "start_proc_args": "NONE",
    "stop_proc_args": "NONE", "allocation_rule": "$pe_slots", "control_slaves": "FALSE", "job_is_first_task": "TRUE",
    "urgency_slots": "min", "accounting_summary": "TRUE", "qsort_args": "NONE",
}  # fmt: skip


class GridEngineMissingError(RuntimeError):
    """No Grid Engine is on this machine, or not root's."""

    def __init__(self) -> None:
        super().__init__(
            "The tests on Grid Engine need root and Debian's Grid Engine. Run `make servers` as root on Debian or "
            f"Ubuntu (apt-get install {' '.join(PACKAGES)})."
        )


def find_programs() -> Path:
    """The folder of the programs; raises `GridEngineMissingError` if one of them is missing, or root is."""
    if os.geteuid() != 0 or not all((PROGRAMS / name).exists() for name in NEEDED):
        raise GridEngineMissingError
    return PROGRAMS


class GridEngine:
    """A cluster of one host. Its parts may be killed and started again."""

    def __init__(self) -> None:
        find_programs()
        self.folder = Path(tempfile.mkdtemp(prefix="segue-sge-", dir=temporary_folder()))
        self.folder.chmod(0o755)
        self.host = socket.gethostname().partition(".")[0]
        self.settings = {
            "SGE_ROOT": str(self.folder), "SGE_CELL": "default", "SGE_QMASTER_PORT": str(free_port()),
            "SGE_EXECD_PORT": str(free_port()),
        }  # fmt: skip
        self._parts: dict[str, Guarded] = {}

    @property
    def version(self) -> str:
        """What the programs call themselves."""
        return self.ask("qstat", "-help").partition("\n")[0]

    def start(self) -> None:
        """Start both parts and wait until the host takes jobs."""
        self._lay_out()
        self.start_master()
        self._configure()
        self.start_host()
        self._await(lambda: "u" not in self._state_of_queue())

    def start_master(self) -> None:
        """Start sge_qmaster and wait until it answers."""
        self._start("sge_qmaster")
        self._await(lambda: self.ask("qconf", "-sh"))

    def start_host(self) -> None:
        """Start sge_execd."""
        self._start("sge_execd")

    def kill(self, part: str) -> None:
        """SIGKILL a part: "sge_qmaster" or "sge_execd"."""
        [path] = self.folder.glob({"sge_qmaster": "qmaster/qmaster.pid", "sge_execd": "execd/*/execd.pid"}[part])
        with suppress(ProcessLookupError, FileNotFoundError, ValueError):
            os.kill(int(path.read_text()), signal.SIGKILL)
        self._await(lambda: not self._parts[part].is_running)

    def ask(self, *words: str) -> str:
        """What one of the programs prints; '' if it fails or does not answer."""
        settings = {**os.environ, **self.settings}
        try:
            done = subprocess.run(
                [str(PROGRAMS / words[0]), *words[1:]], capture_output=True, text=True, timeout=5, check=False,
                env=settings,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    def jobs(self) -> list[str]:
        """The ids of the jobs that have not ended."""
        lines = self.ask("qstat", "-u", "*").splitlines()[2:]
        return [line.split()[0] for line in lines]

    def remove(self) -> None:
        """End the jobs and both parts, and remove the folder."""
        self.ask("qdel", "-u", "*")
        deadline = time.monotonic() + 5
        while self.jobs() and time.monotonic() < deadline:
            time.sleep(0.1)
        for part in ("sge_execd", "sge_qmaster"):
            if part in self._parts:
                self._parts[part].stop(keep_folder=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _lay_out(self) -> None:
        """What an installation consists of: links to the programs, the database, and who may do what."""
        common = self.folder / "default" / "common"
        for name in (common, self.folder / "qmaster" / "job_scripts", *map(self.folder.joinpath, ("execd", "spooldb"))):
            name.mkdir(parents=True)
        kind = subprocess.run([SHARED / "util" / "arch"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("bin", "lib", "utilbin"):
            (self.folder / name).mkdir()
            (self.folder / name / kind).symlink_to(PROGRAMS)
        (self.folder / "util").symlink_to(SHARED / "util")
        (common / "host_aliases").write_text(f"{self.host} localhost localhost.localdomain\n")
        (common / "act_qmaster").write_text(f"{self.host}\n")
        (common / "bootstrap").write_text(_BOOTSTRAP.format(folder=self.folder))
        lines = (SHARED / "default-configuration").read_text().splitlines()
        changed = {**_CHANGED, "execd_spool_dir": str(self.folder / "execd")}
        resources = SHARED / "util" / "resources"
        self._make("spoolinit", "berkeleydb", "libspoolb", str(self.folder / "spooldb"), "init")
        self._make("spooldefaults", "configuration", self._written("global", _changed(lines, changed)))
        for what in ("complexes", "usersets"):
            name = "centry" if what == "complexes" else what
            self._make("spooldefaults", what, str(resources / name))
        for what in ("managers", "operators"):
            self._make("spooldefaults", what, "root")

    def _configure(self) -> None:
        """What the master must be told: the host, its queue, and to decide every second."""
        for flag in ("-ah", "-as"):
            self._make("qconf", flag, self.host)
        self._make("qconf", "-Ae", self._written("host", _HOST.format(host=self.host)))
        self._make("qconf", "-Ahgrp", self._written("hosts", f"group_name @allhosts\nhostlist {self.host}\n"))
        self._make("qconf", "-Ap", self._written("smp", _lines(_ENVIRONMENT)))
        self._make("qconf", "-Aq", self._written("queue", _lines({**_QUEUE, "hostlist": "@allhosts"})))
        schedule = self.ask("qconf", "-ssconf").splitlines()
        self._make("qconf", "-Msconf", self._written("schedule", _changed(schedule, _SCHEDULE)))

    def _state_of_queue(self) -> str:
        for line in self.ask("qstat", "-f").splitlines():
            if line.startswith("all.q@"):
                fields = line.split()
                return fields[5] if len(fields) > 5 else ""
        return "u"

    def _written(self, name: str, content: str) -> str:
        path = self.folder / f"{name}.conf"
        path.write_text(content)
        return str(path)

    def _make(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [str(PROGRAMS / program), *words], capture_output=True, text=True, timeout=20, check=False,
            env={**os.environ, **self.settings},
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"`{program} {' '.join(words)}` failed:\n{done.stdout}{done.stderr}")

    def _start(self, program: str) -> None:
        settings = [f"{name}={value}" for name, value in self.settings.items()]
        command = [
            "env",
            "-i",
            "PATH=/usr/bin:/bin",
            *settings,
            "SGE_ND=1",
            str(PROGRAMS / program),
        ]  # SGE_ND: not as a daemon
        self._parts[program] = Guarded(
            command, folder=self.folder, log=self.folder / f"{program}.out", stop_signal=signal.SIGKILL
        )  # fmt: skip

    def _await(self, is_so: Callable[[], object]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not is_so():
            if time.monotonic() > deadline:
                logs = [*self.folder.glob("*.out"), *self.folder.glob("*/messages"), *self.folder.glob("*/*/messages")]
                ends = "\n".join(f"{log.name}: {log.read_text()[-600:]}" for log in logs)
                raise RuntimeError(f"Grid Engine does not do what it should. Its logs end with:\n{ends}")
            time.sleep(0.05)


def _lines(values: dict[str, str]) -> str:
    return "".join(f"{name} {value}\n" for name, value in values.items())


def _changed(lines: list[str], changes: dict[str, str]) -> str:
    """A configuration with some of its values changed."""
    given = dict(line.split(None, 1) for line in lines if line.strip() and not line.startswith("#"))
    return _lines({**given, **changes})


@contextmanager
def running_grid_engine() -> Iterator[GridEngine]:
    """A cluster whose host takes jobs."""
    cluster = GridEngine()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()
