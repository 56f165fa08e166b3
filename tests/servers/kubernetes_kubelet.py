"""The machine of the Kubernetes stand-in: a container is a process of this machine, its image only a name."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.servers.kubernetes_store import AnswerError

MEMORY = Path("/sys/fs/cgroup/memory")
NODE = "node-1"
ROOM = {"cpu": 16.0, "memory": 64e9, "ephemeral-storage": 100e9}
_SCALES = {
    "": 1,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}
_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class End(NamedTuple):
    """How a container ended."""

    code: int
    reason: str
    message: str = ""


def quantity(text: object) -> float:
    """An amount such as "500m" or "1Gi". Raises AnswerError 422."""
    found = re.fullmatch(r"([0-9.]+)(m|k|M|G|T|Ki|Mi|Gi|Ti)?", str(text))
    if found is None:
        raise AnswerError(
            422, "Invalid", f"quantities must match the regular expression '^([+-]?[0-9.]+)...', not {text!r}"
        )
    return float(found[1]) * _SCALES[found[2] or ""]


def expanded(text: str, values: Mapping[str, str]) -> str:
    """`$(NAME)` replaced and `$$` made one, as the kubelet reads commands and values of variables."""

    def of(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return values.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([^()]*)\)", of, text)


def has_memory_limits() -> bool:
    """Whether a limit of memory is real here: cgroup v1, and root."""
    return os.access(MEMORY, os.W_OK) and (MEMORY / "memory.limit_in_bytes").exists()


class Container:
    """One process, its output, and its termination message."""

    def __init__(self, name: str, spec: Mapping[str, Any], values: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="segue-pod-")
        self.log = Path(self._folder.name, "log")
        self._result = Path(self._folder.name, "termination")
        self._result.touch()
        self._falls_back = spec.get("terminationMessagePolicy") == "FallbackToLogsOnError"
        path = spec.get("terminationMessagePath", "/dev/termination-log")
        environment = {"PATH": os.environ["PATH"], "HOSTNAME": name}
        for variable, value in values.items():
            environment[variable] = str(self._result) if value == path else value  # there is no file system of its own
        words = [
            expanded(word, environment) for word in [*(spec.get("command") or ["true"]), *(spec.get("args") or [])]
        ]
        limits = (spec.get("resources") or {}).get("limits") or {}
        self._group = _group(name, quantity(limits["memory"])) if "memory" in limits and has_memory_limits() else None
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                words, env=environment, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                cwd=spec.get("workingDir"), start_new_session=True, preexec_fn=_born_in(self._group),
            )  # fmt: skip

    def end(self) -> End:
        """How it ended; it has to."""
        code = self.process.wait()
        code = code if code >= 0 else 128 - code
        message = self._result.read_bytes()[:4096].decode("utf-8", "replace")
        if not message and code and self._falls_back:
            message = self.log.read_bytes()[-2048:].decode("utf-8", "replace")
        if self._group is not None and _was_out_of_memory(self._group):
            return End(code, "OOMKilled", message)
        return End(code, "Error" if code else "Completed", message)

    def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL after the time of grace."""
        self.signal(signal.SIGTERM if grace > 0 else signal.SIGKILL)
        ends = time.monotonic() + grace
        while self.process.poll() is None and time.monotonic() < ends:
            time.sleep(0.01)
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """To all its processes."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def read(self, lines: int | None, limit: int | None) -> bytes:
        """The log: of the last lines the first bytes."""
        data = self.log.read_bytes()
        if lines is not None:
            data = b"".join(data.splitlines(keepends=True)[-lines:])
        return data if limit is None else data[:limit]

    def remove(self) -> None:
        """Its files."""
        self._folder.cleanup()


def lacking(spec: Mapping[str, Any]) -> Sequence[str]:
    """What the machine has too little of."""
    resources = spec["containers"][0].get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return [name for name, amount in asked.items() if quantity(amount) > ROOM.get(name, 0)]


def _group(name: str, memory: float) -> Path:
    group = MEMORY / f"segue-{name}"
    group.mkdir(exist_ok=True)
    (group / "memory.limit_in_bytes").write_text(str(int(memory)))
    return group


def _born_in(group: Path | None) -> Callable[[], None]:
    procs = None if group is None else str(group / "cgroup.procs")

    def enter() -> None:
        _libc.prctl(_PDEATHSIG, signal.SIGKILL)
        if procs is not None:
            with open(procs, "w") as file:
                file.write(str(os.getpid()))

    return enter


def _was_out_of_memory(group: Path) -> bool:
    found = re.search(r"oom_kill (\d+)", (group / "memory.oom_control").read_text())
    for _ in range(50):  # until the kernel has let go of it
        try:
            group.rmdir()
            break
        except OSError:
            time.sleep(0.02)
    return found is not None and int(found[1]) > 0
