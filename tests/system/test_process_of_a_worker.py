"""A worker's process: started with closed descriptors, run as process 1, left with threads that never end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from segue import Segue
from tests.system import cli_tasks
from tests.system.pool_driving import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("closed", [(0,), (1, 2), (0, 1, 2)])
def test_a_worker_that_is_started_with_closed_descriptors_works(sqlite_url: str, closed: tuple[int, ...]) -> None:
    with Segue(sqlite_url) as segue:
        run = segue.start(cli_tasks.square, 4)

        def close() -> None:
            for descriptor in closed:
                os.close(descriptor)

        worker = subprocess.Popen(
            [sys.executable, "-m", "segue", "worker", "-A", cli_tasks.__name__, "-c", "1", "--burst"],
            env=os.environ | {"SEGUE_DATABASE_URL": sqlite_url}, cwd=ROOT, preexec_fn=close,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert worker.wait(PATIENCE_SECONDS) == 0
        assert run.result() == 16


# It adopts orphans, as process 1 of a container does, and says how many children it has in the end.
AS_PROCESS_1 = """
import ctypes, os, time
ctypes.CDLL(None).prctl(36, 1)

def children_of(parent):
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and int(open(f"/proc/{name}/stat").read().rpartition(")")[2].split()[1]) == parent:
                found.append(int(name))
        except OSError:
            pass
    return found

"""
OF_A_COMMAND = """
from segue.authoring.command_process import run_in_group
for text in ("true", "sleep 60 & sleep 60 & exit 3", "kill -9 $$", "kill 0"):
    run_in_group(text, timeout=None, cwd=None, env=None, tail_bytes=10, grace_seconds=1)
try:
    run_in_group("sleep 60 & sleep 60", timeout=0.1, cwd=None, env=None, tail_bytes=10, grace_seconds=1)
except TimeoutError:
    pass
print(len(children_of(os.getpid())))
"""
OF_A_POOL = """
from segue.worker.pool.process import ProcessPool
from tests.system.pool_driving import TASKS, Driver, job
pool = ProcessPool(1, modules=[TASKS])
pool.start()
driver = Driver(pool)
for _ in range(10):
    assert driver.run_one("leave_orphan").error is None
driver.until(lambda: children_of(pool.zygote_pid) == pool.child_pids)
print(len(children_of(os.getpid())) - 1)  # less the zygote
pool.kill()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only there a process can adopt orphans")
@pytest.mark.parametrize("program", [OF_A_COMMAND, OF_A_POOL], ids=["command", "pool"])
def test_nothing_that_a_step_leaves_stays_as_a_zombie(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AS_PROCESS_1 + program], capture_output=True, text=True, check=False, cwd=ROOT,
        timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("0\n", "")


LINGERING = """
import threading, time
from segue.worker.own_process import leave_within
threading.Thread(target=time.sleep, args=(600,), name="lingering").start()
leave_within(0.1, 3)
"""


def test_a_thread_that_never_ends_does_not_keep_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", LINGERING], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3
    assert "lingering" in done.stderr


SHADOWS = ("types", "token", "logging", "random", "datetime", "socket", "msgspec")


def test_modules_of_the_user_are_not_taken_for_those_that_segue_needs(sqlite_url: str, tmp_path: Path) -> None:
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text("what = 'of the user'\n")
    (tmp_path / "shadowed_jobs.py").write_text("from segue import task\n\n\n@task\ndef four() -> int:\n    return 4\n")
    command = [sys.executable, "-P", "-m", "segue", "worker", "-A", "shadowed_jobs", "-c", "1", "--burst"]
    environment = os.environ | {"SEGUE_DATABASE_URL": sqlite_url, "SEGUE_APP": "shadowed_jobs"}
    start = [sys.executable, "-P", "-m", "segue", "start", "four"]
    subprocess.run(start, env=environment, cwd=tmp_path, check=True, capture_output=True)
    worker = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert worker.returncode == 0, worker.stderr
    with Segue(sqlite_url) as segue:
        assert [run.status for run in segue.runs()] == ["succeeded"]
