"""`container(image, command)`: a program of an image as a step, at an executor that is polled, without Segue there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from string import Formatter
from typing import Any

from segue.authoring.command import CommandSignature, ShellError, checked_values, open_fields, split_options
from segue.authoring.command_quoting import check_places
from segue.authoring.compose import Signature
from segue.authoring.elsewhere import OF_COMMANDS, Unfamiliar
from segue.authoring.handle import Handle
from segue.authoring.options import Placement, placed
from segue.authoring.pushed import CONTAINER
from segue.authoring.task import task
from segue.authoring.trace import current_trace
from segue.errors import DefinitionError
from segue.given import shown

MOST_TAIL_BYTES = 16_384
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ResultFrom(StrEnum):
    """Where the result of a command comes from."""

    EXIT = "exit"  # {"exit_code": 0, "output": "the end of the output"}
    JSON = "json"  # the file that SEGUE_RESULT names
    LAST_LINE = "last_line"  # the last line of the output that is not empty, as JSON
    NOTHING = "nothing"  # null


class ContainerError(ShellError):
    """A container ended with an exit code other than 0; `tail` is the end of its output."""


class Container(Unfamiliar):
    """The type of `segue.container`: call it for a step, `container.s` for a signature."""

    _elsewhere = OF_COMMANDS

    def __call__(self, image: str, command: str | Sequence[str], /, *args: Any, **options: Any) -> Any:
        """A program of an image as a step: inside a workflow it is added as a step, elsewhere this is a signature.

        A list of words is run as it is; a text is given to `/bin/sh -c` of the image. `{...}` in them are filled as in
        `shell`: from the arguments given here, which may be results of other steps, and in a chain from the previous
        result. In a list nothing is quoted, and a word that is one placeholder becomes several words if its value is a
        list.

        `env` are variables, which are stored and shown with the step. `secrets` are references, variable → what the
        platform looks up, such as {"TOKEN": "blast/token"}; Segue never sees the values. `result` says what the result
        is: "exit" (the default) is {"exit_code": 0, "output": "the last lines"}, "json" what the program writes to the
        file that `$SEGUE_RESULT` names, "last_line" the last line of the output as JSON, None null. `cwd`, `check`
        (False: an exit code other than 0 is not an error) and `tail_bytes` are as in `shell`. `executor`, `resources`,
        `timeout`, `retries`, `name` and so on are options of any step; every other keyword is a value.

        Raises `ContainerError` in the step.

        Example::

            hits = container("ghcr.io/acme/blast:2.15", ["blastp", "-query", "{query}"], query=upload(path),
                             executor="k8s", secrets={"TOKEN": "blast/token"}, result="last_line")
        """
        made = self.s(image, command, *args, **options)
        return made if current_trace.get() is None else made()

    def s(self, image: str, command: str | Sequence[str], /, *args: Any, **options: Any) -> Signature:
        """The program as a signature, for chain and group, also inside workflows."""
        return _signature(image, command, args, options)

    def si(self, image: str, command: str | Sequence[str], /, *args: Any, **options: Any) -> Signature:
        """The same, ignoring the previous result."""
        made = _signature(image, command, args, options)
        return Signature(made.task, made.args, made.kwargs, made.placement, True)


Container.__doc__ = Container.__call__.__doc__  # what help(segue.container) shows
container = Container()
"""A program of an image as a step; see `Container.__call__`."""


@task(name=CONTAINER)
def run_container(*previous: Any, image: str, command: Any, **described: Any) -> Any:
    """No worker runs a container: its step needs an executor."""
    raise DefinitionError(
        f"the container {image!r} has no executor; write container(..., executor='hpc') with the name of one"
    )


def filled_words(words: Sequence[str], args: tuple[Any, ...], values: Mapping[str, Any]) -> tuple[str, ...]:
    """The words of a program with their placeholders replaced. Nothing is quoted: no shell reads them.

    A word that is one placeholder becomes several words if its value is a list. Raises DefinitionError.
    """
    named = {**args[0], **values} if args and isinstance(args[0], dict) else dict(values)
    fields = _Fields()
    filled: list[str] = []
    for word in words:
        try:
            value = fields.value_of(word, args, named)
            filled += [str(item) for item in value] if isinstance(value, list) else [fields.vformat(word, args, named)]
        except (KeyError, IndexError, AttributeError, TypeError, ValueError) as error:
            raise DefinitionError(
                f"the word {word!r} of a command has a placeholder without a value ({error}); name it: "
                "container(..., path=...), or write {{ and }} for braces"
            ) from None
    if any("\0" in word for word in filled):
        raise DefinitionError(f"a value of the command {list(words)!r} holds a NUL character, which no command can")
    return tuple(filled)


class _Fields(Formatter):
    def value_of(self, word: str, args: tuple[Any, ...], values: Mapping[str, Any]) -> object:
        """The value of a word that is one placeholder and nothing else; None for any other."""
        pieces = list(self.parse(word))
        if len(pieces) != 1 or pieces[0][0] or pieces[0][1] is None or pieces[0][2] or pieces[0][3]:
            return None
        return self.get_field(pieces[0][1] or "0", args, values)[0]

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        if "." in field_name:
            raise KeyError(f"{field_name}: take parts with [key], not with a dot")
        return super().get_field(field_name, args, kwargs)

    def format_field(self, value: Any, format_spec: str) -> str:
        if len(format_spec) > 20:  # a width of millions would fill the memory
            raise ValueError("its format is longer than any that is needed")
        return str(super().format_field(value, format_spec))


_OPTIONS = frozenset({"cwd", "env", "secrets", "check", "tail_bytes", "result"})
_LABEL = "container(...)"


def _signature(image: object, command: object, args: tuple[Any, ...], options: dict[str, Any]) -> Signature:
    if not isinstance(image, str) or not image.strip():
        raise DefinitionError(f"{_LABEL}: {shown(image)} is not an image; write container('python:3.12', [...])")
    words = list(command) if isinstance(command, (list, tuple)) else command
    is_words = isinstance(words, list) and bool(words) and all(isinstance(word, str) for word in words)
    if not is_words and not (isinstance(words, str) and words.strip()):
        raise DefinitionError(
            f"{_LABEL} needs a command and was given {shown(command)}; write a list of words, ['blastp', '-query', "
            "'{query}'], or a text for the shell of the image"
        )
    of_steps, told, values = split_options(options, _OPTIONS)
    placement = placed(Placement(name="container"), of_steps, of=_LABEL)
    kwargs = {"image": image, "command": words, "values": values, **_checked(told)}
    if isinstance(words, str):
        check_places(words)
    checked_values(str(command), args, values)
    texts = [words] if isinstance(words, str) else list(command)  # type: ignore[call-overload]  # texts, as was checked
    wants_previous = any(open_fields(text, len(args), values) for text in texts)
    return CommandSignature(run_container, args, kwargs, placement, not wants_previous)


def _checked(told: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the program itself. Raises DefinitionError."""
    found = dict(told)
    for key in ("env", "secrets"):
        if key in found:
            _check_variables(key, found[key])
    if "result" in found:
        known = {"exit": ResultFrom.EXIT, "json": ResultFrom.JSON, "last_line": ResultFrom.LAST_LINE}
        given = found["result"]
        if given is not None and not (isinstance(given, str) and given in known):
            raise DefinitionError(f"{_LABEL}: result={shown(given)} is not known; choose {', '.join(known)} or None")
        found["result"] = ResultFrom.NOTHING.value if given is None else given
    if not isinstance(found.get("check", True), bool):
        raise DefinitionError(f"{_LABEL}: check={shown(found['check'])} is not a boolean; write True or False")
    tail = found.get("tail_bytes", 1)
    if isinstance(tail, bool) or not isinstance(tail, int) or not 1 <= tail <= MOST_TAIL_BYTES:
        raise DefinitionError(
            f"{_LABEL}: tail_bytes={shown(tail)} is not a number of bytes from 1 to {MOST_TAIL_BYTES}"
        )
    if not isinstance(found.get("cwd", ""), str):
        raise DefinitionError(f"{_LABEL}: cwd={shown(found['cwd'])} is not a text; write the folder in the image")
    return found


def _check_variables(key: str, given: object) -> None:
    example = {"env": "{'MODE': 'fast'}", "secrets": "{'TOKEN': 'blast/token'}"}[key]
    if not isinstance(given, dict) or not all(isinstance(name, str) and _VARIABLE.fullmatch(name) for name in given):
        raise DefinitionError(f"{_LABEL}: {key}={shown(given)} is not a dict of variables; write {key}={example}")
    for name, value in given.items():
        is_text = isinstance(value, str) and bool(value) and "\0" not in value
        if not is_text and (key == "secrets" or not isinstance(value, (str, int, float, Handle)) or "\0" in str(value)):
            # the value is not shown: it may be what should not be
            raise DefinitionError(f"{_LABEL}: the value of {name!r} in {key}= cannot be; write {key}={example}")
