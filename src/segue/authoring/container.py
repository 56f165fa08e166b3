"""`container(image, command)`: a program of an image as a step, at an executor that is polled, without Segue there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from string import Formatter
from typing import Any

from segue.authoring.command import ShellError
from segue.authoring.task import task
from segue.errors import DefinitionError

CONTAINER = "segue.container"
"""The name of the task behind `container`."""


class ResultFrom(StrEnum):
    """Where the result of a command comes from."""

    EXIT = "exit"  # {"exit_code": 0, "output": "the end of the output"}
    JSON = "json"  # the file that SEGUE_RESULT names
    LAST_LINE = "last_line"  # the last line of the output that is not empty, as JSON
    NOTHING = "nothing"  # null


class ContainerError(ShellError):
    """A container ended with an exit code other than 0; `tail` is the end of its output."""


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
