"""The file of a SQLite database: created with access for its owner only, and watched for removal or replacement.

The two files beside it, the log and the shared memory, are watched, too: if one of them disappears while connections
are open, a process that opens the database later reads and writes another log than they do.

If the database file is removed or replaced, a connection keeps writing to the old file, and these writes are lost. So
each connection knows which file it opened (device and inode, which stay unique while it is open), and the path is
checked before each transaction and after each commit. A check takes a microsecond or two.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from segue.errors import StoreUnavailableError

PRIVATE = 0o600
QUIET_NS = 100_000_000
"""How old the last change of a folder must be, for the next one to have another time. Clocks of kernels tick every few
milliseconds."""
COARSE_QUIET_NS = 3_000_000_000
"""The same for file systems that keep whole seconds, or two."""


class Identity(NamedTuple):
    """Identifies a file, whatever its name."""

    device: int
    inode: int


class Beside(NamedTuple):
    """The log and the shared memory that a connection has open: the same files until the last connection closes."""

    log: Identity | None
    shared: Identity | None


class Folder(NamedTuple):
    """A folder at one moment. Creating, removing or renaming a file in it changes it."""

    device: int
    inode: int
    changed_ns: int

    def is_quiet(self) -> bool:
        """Whether the last change is old enough that a further change cannot have the same time."""
        quiet_ns = COARSE_QUIET_NS if self.changed_ns % 1_000_000_000 == 0 else QUIET_NS
        return time.time_ns() - self.changed_ns > quiet_ns


class _Log(NamedTuple):
    """A write-ahead log at one moment."""

    identity: Identity
    size: int
    changed_ns: int


class DatabaseFile:
    """The path of a database, and what this process knows about the file there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._text = str(path)
        self._locate()
        self._was_there = False
        self._left_log: _Log | None = None  # the log of a file that is gone: the new file must not use it

    def identity(self) -> Identity | None:
        """Which file is there now; None if there is none."""
        try:
            found = os.stat(self._text)  # noqa: PTH116 - pathlib takes twice as long
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreUnavailableError(f"{self.path} cannot be examined: {error.strerror}.") from error
        return Identity(found.st_dev, found.st_ino)

    def folder(self) -> Folder | None:
        """The folder of the file and the two beside it; None if it does not exist.

        While it is unchanged, one check replaces three.
        """
        try:
            found = os.stat(self._folder_text)  # noqa: PTH116 - as above
        except OSError:
            return None
        return Folder(found.st_dev, found.st_ino, found.st_mtime_ns)

    def is_link(self) -> bool:
        """Whether the path is a link: changing it leaves no trace in `folder`."""
        return os.path.islink(self._text)  # noqa: PTH114 - as above

    @property
    def is_lost(self) -> bool:
        """Whether the file existed and is gone."""
        return self._was_there and self.identity() is None

    def check(self, identity: Identity) -> None:
        """Raise StoreUnavailableError unless the file at the path is still this one."""
        found = self.identity()
        if found == identity:
            return
        if found is None:
            raise self._removed()
        raise StoreUnavailableError(
            f"{self.path} was replaced by another file while it was in use. The last changes are not in the new file, "
            "which is used from now on. Stop every process before you move or restore a database."
        )

    def leave(self, log: Identity | None) -> None:
        """Record that the file with this log is no longer at the path."""
        found = self._log()
        if log is not None and found is not None and found.identity == log and found.size:
            self._left_log = found

    def prepare(self, *, creates: bool) -> Identity:
        """Which file to open. With `creates`, creates an empty file if there never was one.

        Raises StoreUnavailableError if the file was removed, or if its log belongs to another file.
        """
        self._locate()
        found = self.identity()
        if found is None:
            if self._was_there or not creates:
                raise self._removed()
            self._create()
            found = self.identity()
            if found is None:
                raise StoreUnavailableError(f"{self.path} cannot be opened: {self._why_not()}.")
        if self._left_log is not None:
            if self._log() == self._left_log:
                raise StoreUnavailableError(
                    f"{self.path} was replaced, but {self._log_text} beside it still belongs to the old file. Stop "
                    f"every process that uses it, remove {self._log_text} and {self._shared_text}, and start again."
                )
            self._left_log = None
        return found

    def opened(self) -> None:
        """Record that the file was opened: if it disappears now, it is not created again."""
        self._was_there = True

    def beside(self) -> Beside:
        """Which files lie beside it now."""
        return Beside(_identity(self._log_text), _identity(self._shared_text))

    def has_both_beside(self) -> bool:
        """Whether a log and a shared memory exist beside it, no matter which."""
        return os.access(self._log_text, os.F_OK) and os.access(self._shared_text, os.F_OK)

    def parted(self) -> StoreUnavailableError:
        """The error for a connection whose log or shared memory is no longer beside the file."""
        return StoreUnavailableError(
            f"{self._log_text} or {self._shared_text} was removed or replaced while it was in use, so nothing more is "
            "written there. Do not touch either file. If this does not pass in some seconds, stop every process that "
            "uses the database, and start again."
        )

    def _locate(self) -> None:
        """Find out where the file itself is: SQLite puts the others beside it, not beside a link to it."""
        there = os.path.realpath(self._text)
        self._folder_text = os.path.dirname(there)  # noqa: PTH120 - as above
        self._log_text = f"{there}-wal"
        self._shared_text = f"{there}-shm"

    def _log(self) -> _Log | None:
        try:
            found = os.stat(self._log_text)  # noqa: PTH116 - as above
        except OSError:
            return None
        return _Log(Identity(found.st_dev, found.st_ino), found.st_size, found.st_mtime_ns)

    def _create(self) -> None:
        """Create an empty file that only its owner may read and write. An existing file keeps its mode.

        SQLite gives the log and the shared memory beside it the same mode.
        """
        try:
            created = os.open(os.path.realpath(self._text), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
        except OSError:
            return  # another process was quicker; or it cannot be created, and `prepare` says why
        try:
            os.fchmod(created, PRIVATE)  # the umask may have removed more
        finally:
            os.close(created)

    def _why_not(self) -> str:
        folder = self.path.parent
        if not folder.exists():
            return "its folder does not exist"
        if not folder.is_dir():
            return f"{folder} is not a folder"
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"this user has no permission to make a file in {folder}"
        return "check the permissions and the disk of its folder"

    def _removed(self) -> StoreUnavailableError:
        if not self._was_there:
            return StoreUnavailableError(f"{self.path} does not exist: {self._why_absent()}.")
        return StoreUnavailableError(
            f"{self.path} was removed while it was in use, so nothing more is written to it. Put the file back, or "
            "another one in its place; to begin with an empty database, restart this process."
        )

    def _why_absent(self) -> str:
        return "it was removed" if self.path.parent.exists() else "its folder does not exist"


def _identity(path: str) -> Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return None
    return Identity(found.st_dev, found.st_ino)
