"""Slurm for the tests: munged, slurmctld and slurmd of this machine, in a folder of their own. With accounts, slurmdbd
and MariaDB besides.

It needs root, as slurmd does. The one node pretends to have 16 processors, so that many small jobs run at once. Where
cgroup v1 is mounted, limits of memory are real.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.servers.folders import temporary_folder
from tests.servers.guard import Guarded
from tests.servers.ports import free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
OF_ACCOUNTS = ("slurmdbd", "sacctmgr", "mariadbd", "mariadb-install-db")
START_SECONDS = 30
CGROUPS = Path("/sys/fs/cgroup")
_CONFIG = """\
ClusterName=segue
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
MailProg=/bin/true
ProctrackType={tracking}
TaskPlugin={containing}
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=60
BatchStartTimeout=100
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
MaxJobCount=20000
MinJobAge={min_job_age}
KillWait=2
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
{accounting}
NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=8000 State=UNKNOWN
PartitionName=debug Nodes={node} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO DefMemPerCPU=200
{more}
"""
_NO_ACCOUNTS = "AccountingStorageType=accounting_storage/none"
_ACCOUNTS = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge.sock
AccountingStorageEnforce=associations,limits,qos"""
_DAEMON = """\
DbdHost=localhost
DbdPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
CommitDelay=1
"""
_CGROUP = """\
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
CgroupAutomount=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
ConstrainCores=no
ConstrainDevices=no
AllowedRAMSpace=100
MinRAMSpace=1
"""


class SlurmMissingError(RuntimeError):
    """No Slurm is on this machine, or not root's."""

    def __init__(self) -> None:
        super().__init__(
            "The tests on Slurm need root and Slurm's programs. Run `make servers` as root on Debian or Ubuntu "
            "(apt-get install slurmctld slurmd slurm-client munge; for accounts slurmdbd slurm-wlm-mysql-plugin "
            "mariadb-server)."
        )


def find_program() -> str:
    """The path of `slurmctld`; raises `SlurmMissingError` if one of the programs is missing, or root is."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = [shutil.which(name, path=path) for name in PROGRAMS]
    if os.geteuid() != 0 or not all(found):
        raise SlurmMissingError
    return str(found[1])


def find_accounts() -> str:
    """The path of `slurmdbd`; raises `SlurmMissingError` if a program that keeps accounts is missing."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    found = [shutil.which(name, path=path) for name in OF_ACCOUNTS]
    if os.geteuid() != 0 or not all(found):
        raise SlurmMissingError
    return str(found[0])


class SlurmCluster:
    """A cluster of one node. Its parts may be killed and started again. `more` are further lines of slurm.conf."""

    def __init__(self, *, min_job_age: int = 300, accounts: bool = False, more: str = "") -> None:
        find_program()
        if accounts:
            find_accounts()
        self._keeps_accounts = accounts
        self._daemon_port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="segue-slurm-", dir=temporary_folder()))
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        self.conf = str(self.folder / "slurm.conf")
        self.limits_memory = all((CGROUPS / name).is_dir() for name in ("memory", "freezer"))
        host, node_port = socket.gethostname().partition(".")[0], free_port()
        self.node = f"segue{node_port}"  # control groups are named after it, so clusters do not meet in them
        self._parts: dict[str, Guarded] = {}
        Path(self.conf).write_text(
            _CONFIG.format(
                host=host, node=self.node, controller_port=free_port(), node_port=node_port, folder=self.folder,
                min_job_age=min_job_age, more=more,
                accounting=_ACCOUNTS.format(port=self._daemon_port, folder=self.folder) if accounts else _NO_ACCOUNTS,
                tracking="proctrack/cgroup" if self.limits_memory else "proctrack/linuxproc",
                containing="task/cgroup" if self.limits_memory else "task/none",
            )
        )  # fmt: skip
        if self.limits_memory:
            (self.folder / "cgroup.conf").write_text(_CGROUP)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        self.folder.chmod(0o755)

    @property
    def has_oom_kills(self) -> bool:
        """Whether a job that uses too much memory is ended as such."""
        return self.limits_memory

    def start(self) -> None:
        """Start all parts and wait until the node is idle."""
        folder = self.folder
        self._start(
            "munged", "--force", "--foreground", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.sock",
            f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed",
        )  # fmt: skip
        self._await(lambda: (folder / "munge.sock").exists())
        if self._keeps_accounts:
            self._start_accounts()
        self.start_controller()
        self.start_node()
        self._await(lambda: self.ask("sinfo", "-h", "-o", "%T") in ("idle", "mixed", "allocated"))

    def _start_accounts(self) -> None:
        folder, socket_file = self.folder, self.folder / "mysql.sock"
        settings = ["--no-defaults", "--user=root", f"--datadir={folder}/mysql"]
        subprocess.run(
            ["mariadb-install-db", *settings, "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True, capture_output=True,
        )  # fmt: skip
        self._start(
            "mariadbd", *settings, f"--socket={socket_file}", f"--pid-file={folder}/mariadbd.pid", "--skip-networking",
            "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M", "--innodb-flush-log-at-trx-commit=0",
            "--innodb-lock-wait-timeout=900",
        )  # fmt: skip
        self._await(socket_file.exists)
        conf = folder / "slurmdbd.conf"  # it is looked for beside slurm.conf
        conf.write_text(_DAEMON.format(port=self._daemon_port, folder=folder))
        conf.chmod(0o600)
        self._start("slurmdbd", "-D", more={"MYSQL_UNIX_PORT": str(socket_file)})
        self._await(lambda: self.ask("sacctmgr", "-n", "-P", "list", "cluster") or self._has_no_cluster())
        for words in (("cluster", "segue"), ("account", "p42", "cluster=segue"), ("user", "root", "account=p42")):
            self.manage("add", *words)

    def _has_no_cluster(self) -> bool:
        """Whether slurmdbd answers, with an empty list."""
        settings = {**os.environ, "SLURM_CONF": self.conf}
        words = ["timeout", "2", "sacctmgr", "-n", "-P", "list", "cluster"]
        return subprocess.run(words, capture_output=True, check=False, env=settings).returncode == 0

    def manage(self, *words: str) -> str:
        """What `sacctmgr` prints."""
        return self.ask("sacctmgr", "-i", *words)

    def start_controller(self) -> None:
        """Start slurmctld."""
        self._start("slurmctld", "-D", "-i")

    def start_node(self) -> None:
        """Start slurmd."""
        self._start("slurmd", "-D", "-N", self.node)

    def kill(self, part: str) -> None:
        """SIGKILL a part: "slurmctld" or "slurmd"."""
        with suppress(ProcessLookupError, FileNotFoundError):
            os.kill(int((self.folder / f"{part}.pid").read_text()), signal.SIGKILL)
        self._await(lambda: not self._parts[part].is_running)

    def ask(self, *words: str) -> str:
        """What one of Slurm's programs prints; '' if it fails or does not answer."""
        try:
            settings = {**os.environ, "SLURM_CONF": self.conf}
            done = subprocess.run(words, capture_output=True, text=True, timeout=5, check=False, env=settings)
        except subprocess.TimeoutExpired:
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    def remove(self) -> None:
        """End the jobs and all parts, and remove the folder."""
        for word in ("--signal=KILL", "--full"), ():
            self.ask("scancel", *word, "--me")
        deadline = time.monotonic() + 5
        while self.ask("squeue", "-h", "-t", "R,CG") and time.monotonic() < deadline:
            time.sleep(0.1)
        for part in ("slurmd", "slurmctld", "slurmdbd", "mariadbd", "munged"):
            if part in self._parts:
                self._parts[part].stop(keep_folder=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        for root in CGROUPS.glob(f"*/slurm_{self.node}"):
            for found in sorted(root.rglob("*"), reverse=True):
                if found.is_dir():
                    with suppress(OSError):
                        found.rmdir()
            with suppress(OSError):
                root.rmdir()

    def _start(self, program: str, *words: str, more: Mapping[str, str] = {}) -> None:
        path = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
        settings = {"SLURM_CONF": self.conf, **more}
        command = ["env", *(f"{name}={value}" for name, value in settings.items()), str(path), *words]
        self._parts[program] = Guarded(
            command, folder=self.folder, log=self.folder / f"{program}.out", stop_signal=signal.SIGTERM
        )  # fmt: skip

    def _await(self, is_so: object) -> None:
        assert callable(is_so)
        deadline = time.monotonic() + START_SECONDS
        while not is_so():
            if time.monotonic() > deadline:
                logs = [f"{log.name}: {log.read_text()[-600:]}" for log in self.folder.glob("*.out")]
                raise RuntimeError("Slurm does not do what it should. Its logs end with:\n" + "\n".join(logs))
            time.sleep(0.05)


@contextmanager
def running_slurm(*, min_job_age: int = 300, accounts: bool = False, more: str = "") -> Iterator[SlurmCluster]:
    """A cluster with an idle node; with `accounts`, jobs run for the account p42."""
    cluster = SlurmCluster(min_job_age=min_job_age, accounts=accounts, more=more)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()
