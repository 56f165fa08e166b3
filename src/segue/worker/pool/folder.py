"""The folder of one process pool, below TMPDIR: for jobs that are too long for a message, and for output of children.

It is locked while its worker lives, and deleted with the pool. If a worker was killed together with its zygote, the
next pool removes their folder, which is then unlocked. A folder that was deleted by someone else's clean-up is created
again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time

from segue.errors import WorkerError

PREFIX = "segue-pool-"
LOCK = "lock"
_FORGOTTEN_SECONDS = 24 * 3600.0


class PoolFolder:
    """A folder that belongs to this pool alone."""

    def __init__(self) -> None:
        try:
            remove_forgotten(tempfile.gettempdir())
            self.path = tempfile.mkdtemp(prefix=PREFIX)
            unlocked = os.path.join(self.path, f"{LOCK}.new")  # so that no pool finds it unlocked
            self._lock = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(unlocked, os.path.join(self.path, LOCK))
        except OSError as exc:
            raise WorkerError(
                f"A process pool needs a folder in TMPDIR, which cannot be created: {exc}. Set TMPDIR to a folder that "
                "is writable and has room."
            ) from exc

    def remove(self) -> None:
        """Delete it with its contents. A second call does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


def make_again(path: str) -> None:
    """Create a folder that was cleaned away, accessible to this user alone. Raises OSError."""
    os.makedirs(path, mode=0o700, exist_ok=True)


def remove_forgotten(parent: str) -> None:
    """Remove the folders of pools whose worker is gone: those that belong to this user and are not locked."""
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False):
                    _remove_if_forgotten(entry)


def _remove_if_forgotten(entry: os.DirEntry[str]) -> None:
    status = entry.stat(follow_symlinks=False)
    if status.st_uid != os.geteuid():
        return
    try:
        lock = os.open(os.path.join(entry.path, LOCK), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        # It is just being made, or its lock was cleaned away while its worker lives: remove it only if old and empty.
        if time.time() - status.st_mtime > _FORGOTTEN_SECONDS:
            os.rmdir(entry.path)
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: it is in use
        shutil.rmtree(entry.path, ignore_errors=True)
    finally:
        os.close(lock)
