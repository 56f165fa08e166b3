"""`shell("...")`: a command as a step.

This module describes the command and fills its placeholders; `command_process` runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import TYPE_CHECKING, Any

from segue.authoring.command_quoting import check_places, quoted
from segue.authoring.compose import Signature
from segue.authoring.elsewhere import OF_COMMANDS, Unfamiliar
from segue.authoring.handle import Handle
from segue.authoring.options import Placement, StepOptions, placed
from segue.authoring.task import task
from segue.authoring.trace import Trace, current_trace
from segue.errors import DefinitionError, SegueError

SHELL = "segue.shell"
"""The name of the task behind `shell`."""

DEFAULT_TAIL_BYTES = 4096
MOST_COMMAND_BYTES = 131_071
"""Linux's limit for one argument of a program; the command is one argument of /bin/sh."""

GRACE_SECONDS = 5.0


class ShellError(SegueError, RuntimeError):
    """A command ended with an exit code other than 0; `tail` is the end of its output."""

    def __init__(self, exit_code: int, tail: str = "") -> None:
        self.exit_code = exit_code
        self.tail = tail
        how = f"was ended by signal {-exit_code}" if exit_code < 0 else f"ended with exit code {exit_code}"
        super().__init__(
            f"the command {how}; its output ends with:\n{tail}" if tail else f"the command {how}, without output"
        )


if TYPE_CHECKING:

    class CommandStep(dict[str, Any], Signature[dict[str, Any]]):  # type: ignore[misc]  # it is one or the other
        """In a workflow the future result, `{"exit_code": 0, "output": "..."}`; elsewhere the signature."""


class Shell(Unfamiliar):
    """The type of `segue.shell`: call it for a step, `shell.s` for a signature."""

    _elsewhere = OF_COMMANDS

    def __call__(self, command: str, /, *args: Any, **options: Any) -> CommandStep:
        """A command as a step: inside a workflow it is added as a step, elsewhere this is a signature.

        `{...}` in the command are filled when it runs, each value quoted as one word (a list as several): from the
        arguments given here, which may be results of other steps, and in a chain `{}` from the previous result, or
        `{key}` if that is a dict. Write no quotes around them: a placeholder inside quotes is refused. Most commands
        read a value that begins with `-` as an option, unless `--` stands before it. Write `{{` and `}}` for braces.
        `cwd`, `env` (added to this process's), `check` (False: an exit code other than 0 is not an error) and
        `tail_bytes` belong to the command; `timeout`, `retries`, `queue`, `name` and so on are options of any step;
        every other keyword is a value. With `executor=` the command runs there, without Segue.

        The result is `{"exit_code": 0, "output": "the last lines"}`. Raises `ShellError` in the step.

        Example::

            packed = shell("gzip --keep {path}", path=export(day), timeout=600)
            chain(export.s(day), shell.s("gzip --keep {}"))
        """
        made: Any = self.s(command, *args, **options)
        step: CommandStep = made if current_trace.get() is None else made()
        return step

    def s(self, command: str, /, *args: Any, **options: Any) -> Signature[dict[str, Any]]:
        """The command as a signature, for chain and group, also inside workflows."""
        return _signature(command, args, options)

    def si(self, command: str, /, *args: Any, **options: Any) -> Signature[dict[str, Any]]:
        """The same, ignoring the previous result."""
        made = _signature(command, args, options)
        return Signature(made.task, made.args, made.kwargs, made.placement, True)


Shell.__doc__ = Shell.__call__.__doc__  # what help(segue.shell) shows
shell = Shell()
"""A command as a step; see `Shell.__call__`."""


@task(name=SHELL)
def run_command(
    *previous: Any,
    command: str,
    values: Mapping[str, Any],
    timeout: float | None = None,
    cwd: str | None = None,
    env: dict[str, str] | None = None,
    check: bool = True,
    tail_bytes: int = DEFAULT_TAIL_BYTES,
) -> dict[str, Any]:
    """Fill the command's placeholders, run it, and return its exit code and the end of its output."""
    text = filled(command, previous, values)
    from segue.authoring.command_process import run_in_group  # noqa: PLC0415 - takes milliseconds; few run commands

    exit_code, tail = run_in_group(
        text, timeout=timeout, cwd=cwd, env=env, tail_bytes=tail_bytes, grace_seconds=GRACE_SECONDS
    )
    if check and exit_code != 0:
        raise ShellError(exit_code, tail)
    return {"exit_code": exit_code, "output": tail}


def filled(command: str, args: tuple[Any, ...], values: Mapping[str, Any]) -> str:
    """The command with its placeholders replaced, each value quoted for the shell. Raises DefinitionError."""
    check_places(command)
    named = {**args[0], **values} if args and isinstance(args[0], dict) else values
    try:
        text = _Quoting().vformat(command, args, named)
        size = len(text.encode())
    except UnicodeEncodeError:
        raise DefinitionError(
            f"a value of the command {command!r} holds half of a surrogate pair, which is not text; correct the value"
        ) from None
    except (KeyError, IndexError, AttributeError, TypeError, ValueError) as exc:
        raise DefinitionError(
            f"the command {command!r} has a placeholder without a value ({exc}); name it: shell(..., path=...), "
            "or write {{ and }} for braces"
        ) from None
    if "\0" in text:
        raise DefinitionError(f"a value of the command {command!r} holds a NUL character, which no command can take")
    if size > MOST_COMMAND_BYTES:
        raise DefinitionError(
            f"the command {command!r} is {size:,} bytes long with its values, and may be {MOST_COMMAND_BYTES:,}; write "
            "the values to a file and give the command its path"
        )
    return text


class _Quoting(Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, (list, tuple)):
            return " ".join(quoted(format(item, format_spec)) for item in value)
        return quoted(format(value, format_spec))

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        if "." in field_name:
            raise KeyError(f"{field_name}: take parts with [key], not with a dot")
        return super().get_field(field_name, args, kwargs)


_STEP_OPTIONS = frozenset(StepOptions.__annotations__)
_COMMAND_OPTIONS = frozenset({"cwd", "env", "check", "tail_bytes"})


def _signature(command: object, args: tuple[Any, ...], options: dict[str, Any]) -> Signature:
    label = "shell(...)"
    if not isinstance(command, str) or not command.strip():
        raise DefinitionError(
            f"{label} needs a command as text and was given a {type(command).__name__}; write shell('gzip {{path}}')"
        )
    of_steps, told, values = split_options(options, _COMMAND_OPTIONS)
    placement = placed(Placement(name="shell"), of_steps, of=label)
    kwargs: dict[str, Any] = {"command": command, "values": values, **told}
    if placement.policy.timeout is not None:
        kwargs["timeout"] = placement.policy.timeout
        placement = placed(placement, {"timeout": placement.policy.timeout + 2 * GRACE_SECONDS}, of=label)
    wants_previous = open_fields(command, len(args), values)
    check_places(command)
    checked_values(command, args, values)
    return CommandSignature(run_command, args, kwargs, placement, not wants_previous)


class CommandSignature(Signature[dict[str, Any]]):
    """A command. Placeholders without a value are filled by the previous result, so there must be one."""

    __slots__ = ()

    def _add_to(self, trace: Trace, given: Handle | None) -> int:
        if given is None and not self.immutable:
            command = self.kwargs["command"]
            texts = [command] if isinstance(command, str) else command
            keys = [key for text in texts for key in open_fields(text, len(self.args), self.kwargs["values"])]
            missing = ", ".join(f"{{{key}}}" for key in dict.fromkeys(keys))
            example = next((f"{key}=..." for key in keys if key.isidentifier()), "value")
            raise DefinitionError(
                f"the command {command!r} has no value for {missing}, and no step before it that gives one; write "
                f"{self.task.short_name}(..., {example}), or {{{{ and }}}} for braces that belong to the command"
            )
        return super()._add_to(trace, given)


def split_options(options: Mapping[str, Any], of_command: frozenset[str]) -> tuple[dict[str, Any], ...]:
    """Keywords of a command as those of its step, those of the command itself, and values."""
    of_step = {key: value for key, value in options.items() if key in _STEP_OPTIONS}
    told = {key: value for key, value in options.items() if key in of_command}
    return of_step, told, {k: v for k, v in options.items() if k not in of_step and k not in told}


def checked_values(command: str, args: tuple[Any, ...], values: Mapping[str, Any]) -> None:
    """Raise DefinitionError for a value that no command can take."""
    if any(isinstance(value, str) and "\0" in value for value in (*args, *values.values())):
        raise DefinitionError(f"a value of the command {command!r} holds a NUL character, which no command can take")


def open_fields(command: str, count: int, values: Mapping[str, Any]) -> list[str]:
    """The placeholders of the command that only the previous result can fill."""
    automatic = 0
    found: list[str] = []
    try:
        fields = [field for _, field, _, _ in Formatter().parse(command) if field is not None]
    except ValueError as exc:
        raise DefinitionError(
            f"the command {command!r} cannot be read: {exc}; write {{{{ and }}}} for braces"
        ) from None
    for field in fields:
        key = field.partition("[")[0]
        if key == "" or key.isdigit():
            is_open = (int(key) if key else automatic) >= count
            automatic += key == ""
        elif not key.isidentifier():
            raise DefinitionError(
                f"the command {command!r} has the placeholder {{{field}}}; name a value there, or write {{{{ and }}}} "
                "for braces that belong to the command"
            )
        else:
            is_open = key not in values
        if is_open:
            found.append(key)
    return found
