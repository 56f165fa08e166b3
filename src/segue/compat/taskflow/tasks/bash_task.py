"""`BashTask`: a script of Bash as a task."""

from __future__ import annotations

import os
import shlex
import tempfile
from pathlib import Path
from typing import Any

from segue.authoring.command_process import run_in_group
from segue.compat.refusing import not_translated
from segue.compat.taskflow.definitions import Task
from segue.compat.taskflow.instances import TaskInstance
from segue.errors import DefinitionError, SegueError

_TAIL_BYTES = 4096
_GRACE_SECONDS = 5.0


class BashError(SegueError, RuntimeError):
    """The script ended with an exit code other than 0; the message has the end of its output."""


class BashTask(Task):
    """Runs `params["command"]` of the task with bash, in a temporary folder.

    `input_file` and `output_file` are paths for its standard input and output; `$NAME` in them is a variable of the
    environment, and the instance's params come before the task's. What it prints otherwise is kept with the attempt.
    When the attempt ends, all processes of the script end. Raises BashError in the step. Example::

        BashTask(name="count", params={"command": "wc -l", "input_file": "$DATA/in.csv", "output_file": "$DATA/lines"})
    """

    def get_command(self) -> str:
        """The script. May be overridden. Raises DefinitionError if the task has none."""
        command = self.params.get("command")
        if not isinstance(command, str) or not command.strip():
            raise DefinitionError(f"{self} has no command; write params={{'command': '...'}}, or override get_command")
        return command

    def execute(self, task_instance: TaskInstance) -> None:
        """Run the script."""
        given = {**self.params, **task_instance.params}
        into, out = (_path(given.get(name)) for name in ("input_file", "output_file"))
        with tempfile.TemporaryDirectory(prefix="taskflow-") as folder:
            script = Path(folder) / "script"
            script.write_text(self.get_command(), encoding="utf-8")
            text = f"exec bash {shlex.quote(str(script))}"
            text += "" if into is None else f" <{shlex.quote(into)}"
            text += "" if out is None else f" >{shlex.quote(out)}"
            code, tail = run_in_group(
                text, timeout=None, cwd=folder, env=None, tail_bytes=_TAIL_BYTES, grace_seconds=_GRACE_SECONDS
            )
        if code != 0:
            raise BashError(f"Bash command failed: exit code {code}; its output ends with:\n{tail}")


def replace_environment_variables(text: str) -> str:
    """The text with `$NAME` and `${NAME}` replaced; a variable that is not set stays as it is written."""
    return os.path.expandvars(text)


def _path(given: Any) -> str | None:
    """A path on this machine, from the folder of the worker."""
    if given is None:
        return None
    if not isinstance(given, str) or "\0" in given:
        raise DefinitionError(f"{given!r} is not the path of a file")
    path = replace_environment_variables(given)
    if "://" in path:
        not_translated(f"the file {path}", "Let the script copy it, for example with `aws s3 cp`.")
    return os.path.abspath(path)  # noqa: PTH100 - keeps the path of a symbolic link
