"""`segue dev` follows the code: when a file of the project changes, it begins again with the new code.

It looks at the imported files twice a second. After a change it imports the modules in a separate process. If that
fails, it logs the error and waits for the next change; the old code continues. Otherwise the worker stops warmly, and
this process becomes a new `segue dev` with the same arguments (exec).

Promise: a reload is a warm stop: running steps finish, or go back to their queue when the grace period is over.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from segue.cli.beside import Beside
from segue.observing.harmless_log import get_logger

LOOK_SECONDS = 0.5
IMPORT_SECONDS = 60.0
_CHECK = """\
import sys
from segue.cli.application import import_modules
from segue.errors import SegueError
try:
    import_modules(sys.argv[1:])
except SegueError as error:
    sys.exit(str(error))
"""
_OURS = Path(__file__).parents[1]

logger = get_logger("segue.dev")
Times = dict[str, int]  # of each file, when it was changed, in nanoseconds; 0 if it is not there


class Reloading(Beside):
    """Watches the code while its `with` block lasts, and calls `stop` once when new code is to be loaded.

    `began` is the time before the modules were imported, in nanoseconds since 1970: what changed since then is new.
    """

    def __init__(self, modules: Sequence[str], stop: Callable[[], object], *, began: int) -> None:
        super().__init__("segue-reloading")
        self.is_due = False
        self._modules = modules
        self._stop = stop
        self._began = began

    def again(self) -> None:
        """Become a new process with the same arguments. Does not return."""
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])

    def _run(self) -> None:
        seen = _times()
        changed = [file for file, when in seen.items() if self._began < when <= time.time_ns()]
        while not self._ended.wait(LOOK_SECONDS):
            now = _times(seen)
            changed += [file for file, when in now.items() if when != seen.get(file, when)]
            is_settled, seen = now == seen, now  # several files are often saved together
            if changed and is_settled:
                if self._can_be_imported(changed):
                    self.is_due = True
                    self._stop()
                    return
                changed = []

    def _can_be_imported(self, changed: Sequence[str]) -> bool:
        names = ", ".join(sorted({os.path.relpath(file) for file in changed}))
        try:
            done = subprocess.run(
                [sys.executable, "-c", _CHECK, *self._modules],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                errors="replace", timeout=IMPORT_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            logger.error(
                "%s changed, but importing takes more than %g s; the old code continues", names, IMPORT_SECONDS
            )
            return False
        if done.returncode:
            logger.error("%s changed; the old code continues until this is mended: %s", names, done.stderr.strip())
            return False
        logger.info("%s changed: running steps finish, then the new code is loaded", names)
        return True


def _times(known: Times | None = None) -> Times:
    """When each file of the project was changed; also of files in `known` that are no longer there."""
    return {file: _changed_at(file) for file in {*_project_files(), *(known or {})}}


def _project_files() -> Iterator[str]:
    """The files of imported modules, without those of the standard library, of installed packages and of Segue."""
    installed = {Path(place).resolve() for place in (sys.prefix, sys.base_prefix)} | {_OURS}
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if not isinstance(name, str) or not name.endswith(".py"):
            continue
        parents = Path(name).resolve().parents
        if "site-packages" not in name and not installed.intersection(parents):
            yield name


def _changed_at(file: str) -> int:
    try:
        return Path(file).stat().st_mtime_ns
    except OSError:
        return 0
