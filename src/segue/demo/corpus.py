"""Selects the files that the demo reads: the modules of Python's standard library, the same on every distribution.

Tests, caches, installed packages and build artefacts are left out, because not all distributions ship them.
"""

from __future__ import annotations

import os
import platform
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from segue.demo.findings import Batch, Listing

TEST_FOLDERS = frozenset({"test", "tests", "idle_test"})
FOREIGN_FOLDERS = frozenset({"site-packages", "dist-packages", "__pycache__", "lib-dynload", "node_modules"})
BUILD_PREFIX = "config-"


def standard_library_root() -> Path:
    """The folder with the source of this Python's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def list_files(root: Path, *, with_tests: bool = False) -> list[str]:
    """The Python files under `root`, sorted, relative to it, with forward slashes.

    Links are not followed: their targets are not part of the library, or are listed under their own names.
    """
    if not root.is_dir():
        raise FileNotFoundError(
            f"the folder {root} was to be listed, and there is none. Give the folder of a Python library as root"
        )
    left_out = FOREIGN_FOLDERS if with_tests else FOREIGN_FOLDERS | TEST_FOLDERS
    return sorted(_walk(root, left_out))


def list_corpus(root: Path, *, batch_size: int, with_tests: bool = False) -> Listing:
    """List the files under `root` and cut them into batches of `batch_size`.

    Example::

        list_corpus(standard_library_root(), batch_size=4)["batches"][0].files
        # ['__future__.py', '__hello__.py', '_aix_support.py', '_bootsubprocess.py']
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    files = list_files(root, with_tests=with_tests)
    starts = range(0, len(files), batch_size)
    batches = [Batch(str(root), files[start : start + batch_size]) for start in starts]
    return {"root": str(root), "python": platform.python_version(), "files": files, "batches": batches}


def _walk(root: Path, left_out: frozenset[str]) -> Iterator[str]:
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if name not in left_out and not name.startswith(BUILD_PREFIX)]
        for name in names:
            path = Path(folder, name)
            if path.suffix == ".py" and not path.is_symlink():
                yield path.relative_to(root).as_posix()
