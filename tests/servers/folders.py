"""Where the tests put their files: in memory where there is enough of it, because they write thousands of databases."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

IN_MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 4_000_000_000


def temporary_folder() -> Path:
    """The folder for temporary files. Its path is short, because that of a socket is limited."""
    if IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free > ENOUGH_BYTES:
        return IN_MEMORY
    return Path("/tmp")
