"""Secrets in the URLs and headers of webhooks and notifications: `${SEGUE_SECRET_NAME}` stands for one.

It is filled from the environment of the worker that sends, so that the secret is never in the database. A URL that came
from outside (an argument, a result, a row of a table) may contain such a text too, and would then send the secret to
its author. Therefore `marks` determines, where the code defines a webhook, which placeholders that code wrote; `fill`
fills only these, and only from variables whose names begin with `SEGUE_SECRET_`.

A placeholder counts as written by the code if a text in the calling functions, or a URL in a variable of their modules,
contains it with the same characters around it, and no argument of the workflow or task contains it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterator
from inspect import CO_VARARGS, CO_VARKEYWORDS
from types import CodeType, FrameType
from typing import Any

from segue.authoring.values import encode
from segue.errors import Abort, ConfigError, DefinitionError, SerializationError

PREFIX = "SEGUE_SECRET_"
_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_FORMAT = re.compile(r"%[sdr]")
_PLAIN = r"[^{}%$\s]*"
_MOST_FRAMES = 100


class Typed(str):
    """A text that a person typed for Segue, as for `segue subscriptions add`: all its placeholders may be filled."""

    __slots__ = ()


def marks(of: str, text: str) -> list[str]:
    """The variables that may be filled into a text which the calling code wrote.

    Raises DefinitionError, naming `of`, if the code uses a variable that does not begin with `SEGUE_SECRET_`.
    """
    wanted = list(dict.fromkeys(_PLACEHOLDER.findall(text)))
    if not wanted:
        return []
    if not isinstance(text, Typed):
        frames = _calling_frames()
        given = _given_to(frames)
        texts = list(_texts_of(frames))
        wanted = [
            name for name in wanted if f"${{{name}}}" not in given and any(_wrote(each, name, text) for each in texts)
        ]
    refused = [name for name in wanted if not name.startswith(PREFIX)]
    if refused:
        raise DefinitionError(f"{of} holds ${{{refused[0]}}}. {rule(refused[0])}")
    return wanted


def fill(of: str, text: str, names: Collection[str]) -> str:
    """The text with these variables filled in. Raises Abort if it contains another placeholder."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in names or not found[1].startswith(PREFIX):
            raise Abort(f"{of} holds {found[0]}, which is not filled, and nothing was sent. {rule(found[1])}")
        return variable(found[1])

    return _PLACEHOLDER.sub(value, text)


def variable(name: str) -> str:
    """An environment variable of this process. Raises ConfigError if it is not set."""
    value = os.environ.get(name)
    if not value:
        raise ConfigError(f"The environment variable {name} is not set where this step ran. Set it for the workers.")
    return value


def rule(name: str) -> str:
    """The rule for placeholders, for a person who wants this variable filled."""
    called = name if name.startswith(PREFIX) else f"{PREFIX}{name}"
    return (
        f"Only variables whose names begin with {PREFIX} are filled, and only where the code that calls "
        f"webhook(...) or notify(...) contains them as text, not where they came as data. Write ${{{called}}} there, "
        f"and set {called} for the workers."
    )


def _calling_frames() -> list[FrameType]:
    """The functions of the user's code that led here, the nearest first, up to where Segue called the first of them."""
    frames: list[FrameType] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    while frame is not None and not _is_ours(frame) and len(frames) < _MOST_FRAMES:
        frames.append(frame)
        frame = frame.f_back
    return frames


def _is_ours(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return name == "segue" or name.startswith("segue.")


def _texts_of(frames: list[FrameType]) -> Iterator[str]:
    for frame in frames:
        yield from _constants(frame.f_code)
        yield from [value for value in list(frame.f_globals.values()) if type(value) is str and _URL.match(value)]


def _constants(code: CodeType) -> Iterator[str]:
    waiting: list[Any] = list(code.co_consts)
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, (tuple, frozenset)):
            waiting.extend(value)


def _wrote(source: str, name: str, text: str) -> bool:
    """Whether a text of the code, plain or a format, can have put this placeholder into `text`."""
    if name not in source:
        return False
    beginning = re.match(_PLAIN, source)
    if beginning and "://" in beginning[0] and not text.startswith(beginning[0]):
        return False
    around = re.compile(rf"({_PLAIN})\$\{{{{?{re.escape(name)}\}}}}?({_PLAIN})")
    return any(f"{before}${{{name}}}{after}" in text for before, after in around.findall(_FORMAT.sub(" ", source)))


def _given_to(frames: list[FrameType]) -> str:
    """The arguments with which Segue called the function, as text: arguments of a run or a step, which are data."""
    if not frames or frames[-1].f_back is None:
        return ""
    code = frames[-1].f_code
    count = (
        code.co_argcount
        + code.co_kwonlyargcount
        + bool(code.co_flags & CO_VARARGS)
        + bool(code.co_flags & CO_VARKEYWORDS)
    )
    values = [frames[-1].f_locals.get(name) for name in code.co_varnames[:count]]
    try:
        return encode(values)
    except (SerializationError, DefinitionError):
        return repr(values)
