"""Secrets of steps at batch systems, which have no store for them: files that only their user may read.

`file:token` is a file in the folder for secrets that the executor was given, `file:/home/me/.token` one anywhere. A
bare name means the same as with `file:`. The machine that runs the job reads it: the value is in no row and no script.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from segue.dispatcher.protocol import RefusedError

_PREFIX = "file:"


def secret_files(secrets: Mapping[str, str], folder: str | None) -> dict[str, Path]:
    """The files that hold these secrets, by variable. Raises RefusedError for one that others may read, or none.

    A reference that makes no sense is not repeated in the error: it may be a value.
    """
    return {name: _file_of(name, reference, folder) for name, reference in secrets.items()}


def secret_lines(files: Mapping[str, Path]) -> list[str]:
    """The lines of a script that read them."""
    lines = []
    for name, path in sorted(files.items()):
        quoted = shlex.quote(str(path))
        lines += [f"{name}=$(cat {quoted}) || {{ echo cannot read {quoted}; exit 1; }}", f"export {name}"]
    return lines


def _file_of(name: str, reference: str, folder: str | None) -> Path:
    given = Path(reference.removeprefix(_PREFIX))
    is_path = given.is_absolute()
    if (is_path and not reference.startswith(_PREFIX)) or ".." in given.parts or not given.name:
        raise RefusedError(
            f"the secret {name} names no file; write secrets={{{name!r}: 'file:/home/me/.token'}}, or the name of a "
            "file in the executor's folder for secrets, 'file:token'"
        )
    if not is_path and folder is None:
        raise RefusedError(
            f"the secret {name} has no folder to be read from; give the executor secrets='/shared/secrets' and write "
            "the value into a file there, with mode 0600; or name a file: 'file:/home/me/.token'"
        )
    path = given if is_path else Path(folder or "", given)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if is_path:
            return path  # it may be on the machines of the jobs only
        raise RefusedError(f"the secret {name} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise RefusedError(f"others may read {path}, the secret {name}; run: chmod 600 {path}")
    return path
