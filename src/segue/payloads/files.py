"""Payloads as files in a folder, which all processes must share: on one machine, or by a network file system.

Promises: a file appears under its name when it is complete and on the disk, with its folder; two processes that store
the same contents do not disturb each other; a file whose contents differ from what is stored is replaced.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from segue.errors import ConfigError, PayloadMissingError
from segue.given import shown

_UNFINISHED = ".new-"


class FilePayloads:
    """A store in a folder, which is created when it is first used.

    Files are `ab/NAME`, after the first characters of their names, so that no folder has too many. Only the user of the
    process may read them, unless the folder exists already with other rights: then files have the rights of the folder.

    Example::

        segue = Segue(url, payloads=FilePayloads("/var/lib/segue/payloads"))
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            path: object = os.fspath(folder)
        except TypeError:
            path = None
        if not isinstance(path, str) or not path:
            raise ConfigError(f"FilePayloads({shown(folder)}) names no folder. Give a path, such as /var/lib/payloads.")
        self.folder = Path(path).absolute()

    def __repr__(self) -> str:
        return f"FilePayloads({str(self.folder)!r})"

    @property
    def url(self) -> str:
        """The value for SEGUE_PAYLOADS that means this store."""
        return f"file://{self.folder}"

    def store(self, data: bytes, name: str) -> str:
        """Write a file, unless it exists with these contents. Returns its path in the folder."""
        reference = f"{name[:2]}/{name}"
        path = self.folder / reference
        with suppress(OSError):
            if path.stat().st_size == len(data) and path.read_bytes() == data:
                return reference
        rights = self._make_folder(path.parent)
        descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=_UNFINISHED)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, rights & 0o666)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(unfinished).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(unfinished).unlink()
            raise
        _sync(path.parent)
        return reference

    def retrieve(self, reference: str) -> bytes:
        """Read a file. Raises PayloadMissingError."""
        try:
            return self._path(reference).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            if not self.folder.is_dir():
                raise FileNotFoundError(f"the folder {self.folder} does not exist: is it mounted?") from error
            raise PayloadMissingError(f"there is no file {reference} in {self.folder}") from error

    def delete(self, references: Sequence[str]) -> None:
        """Delete files, and folders that become empty."""
        for reference in references:
            path = self._path(reference)
            path.unlink(missing_ok=True)
            with suppress(OSError):
                path.parent.rmdir()

    def stored_before(self, moment: datetime) -> Iterator[str]:
        """The files that were written before this time, also those that a process left unfinished."""
        oldest = moment.timestamp()
        for path in self.folder.glob("??/*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    yield str(path.relative_to(self.folder))

    def _path(self, reference: str) -> Path:
        if reference.startswith("/") or ".." in reference.split("/") or "\0" in reference:
            raise PayloadMissingError(f"{shown(reference)} is not the reference of a file in {self.folder}")
        return self.folder / reference

    def _make_folder(self, folder: Path) -> int:
        """Create a folder, and see to it that its entry in the folder above is on the disk. Returns its rights.

        A folder inside of the store's has the same rights as that.
        """
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(mode=0o700, exist_ok=True)
            if each == folder:
                each.chmod(self.folder.stat().st_mode & 0o7777)
            _sync(each.parent)
        return folder.stat().st_mode


def _sync(folder: Path) -> None:
    """Have the entries of a folder written to the disk; some file systems cannot."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
