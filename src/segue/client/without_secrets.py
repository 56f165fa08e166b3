"""Runs and steps as they are shown to others: without the secrets among their values, and with long values cut."""

from __future__ import annotations

from typing import Any

import msgspec

from segue.client.argument_masking import ArgumentMasker
from segue.client.records import run_record
from segue.client.views import RunInfo, StepInfo
from segue.masking import DEEPEST, masked
from segue.model import StepStatus

SHOWN_IN_JSON = 100_000
"""Characters of a value in a JSON document."""

MORE = 10_000
"""Characters beyond those that are looked through: some may become shorter."""


def shown_run(masker: ArgumentMasker, run: RunInfo, counts: dict[StepStatus, int] | None = None) -> dict[str, Any]:
    """A run as a JSON object, without its secrets."""
    return run_record(masker.run(run), counts)


def shown_step(masker: ArgumentMasker, step: StepInfo) -> StepInfo:
    """A step without the secrets among its values; of a value longer than SHOWN_IN_JSON, the beginning of its text.

    Only what is shown is looked through for secrets.
    """
    shown = masker.step(
        msgspec.structs.replace(step, arguments=_first_arguments(step.arguments), result=beginning(step.result))
    )
    arguments = None if step.arguments is None else _cut(shown.arguments, step.arguments)
    return msgspec.structs.replace(shown, arguments=arguments, result=_cut(shown.result, step.result))


def shown_arguments(masker: ArgumentMasker, work: str, arguments: list[Any]) -> list[Any]:
    """[args, kwargs] of a task or workflow, in the same way; each of them is cut for itself."""
    args, kwargs = masker.masked(work, _first_arguments(arguments)) or [[], {}]
    return [
        [_cut(each, whole) for each, whole in zip(args, arguments[0], strict=True)],
        {name: _cut(value, arguments[1][name]) for name, value in kwargs.items()},
    ]


def shown_result(masker: ArgumentMasker, work: str, result: Any) -> Any:
    """The result of a task or workflow, in the same way."""
    return _cut(masker.masked_result(work, beginning(result)), result)


def _first_arguments(arguments: list[Any] | None) -> list[Any] | None:
    """[args, kwargs] with the beginning of each value: what the step of a `map` calls is among them."""
    if arguments is None or len(arguments) != 2 or not isinstance(arguments[1], dict):
        return arguments
    args, kwargs = arguments
    return [[beginning(each) for each in args], {name: beginning(value) for name, value in kwargs.items()}]


def beginning(value: Any) -> Any:
    """The beginning of a JSON value as a value: somewhat more than what is shown of its text.

    A text is cut between two words, so that nothing in it that is a secret loses what shows that it is one.
    """
    return _Beginning().of(value)


class _Beginning:
    """Copies a value until there is enough of it."""

    def __init__(self) -> None:
        self._left = SHOWN_IN_JSON + MORE

    def of(self, value: Any, depth: int = 0) -> Any:
        if isinstance(value, str):
            most, self._left = max(self._left, 0), self._left - len(value)
            return value if len(value) <= most else (value[:most].rsplit(None, 1) or [""])[0]
        self._left -= 2
        if depth > DEEPEST:  # it is hidden
            return value
        if isinstance(value, list):
            return [self.of(item, depth + 1) for item in value if self._left > 0]
        if isinstance(value, dict):
            return {key: self.of(value[key], depth + 1) for key in value if self._goes_on(key)}
        return value

    def _goes_on(self, key: str) -> bool:
        self._left -= len(key)
        return self._left > 0


def _cut(shown: Any, whole: Any) -> Any:
    length = len(msgspec.json.encode(whole).decode())
    if length <= SHOWN_IN_JSON:
        return shown
    return f"{msgspec.json.encode(shown).decode()[:SHOWN_IN_JSON]}… ({length:,} characters)"


def json_value(value: Any) -> Any:
    """A value for a JSON document; the beginning of its text if it is longer than SHOWN_IN_JSON."""
    shown = masked(value)
    text = msgspec.json.encode(shown).decode()
    return shown if len(text) <= SHOWN_IN_JSON else f"{text[:SHOWN_IN_JSON]}… ({len(text):,} characters)"
