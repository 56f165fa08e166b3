r"""The one reserved form for stored values that are not plain JSON: `{"\u0024segue.KIND": CONTENT}`.

A frame is an object with one key. Its text begins with `OPENING`, which spells the dollar sign as an escape: any JSON
reader sees the key `$segue.KIND`. No JSON writer spells it so. A user's dict with the same key is written with a plain
`$`, so it is never a frame, and nothing in it has to be escaped: not in arguments, results, paths or messages, and not
in values that an older version wrote.

Invariant: only `framed` writes `OPENING`. `unframed` takes it out of text that users give. In JSON these characters can
only be the beginning of an object, because a quote inside a text is escaped, so a search for them is exact.

One kind exists: `payload`, a value that lies in a payload store (plan/payload_frames.py). A reader that can open it
reads the text through `read_through`. A reader here that meets a frame raises SerializationError: it cannot open
payloads, and a newer version wrote a frame of any other kind. Text that is only passed on, as most results are, is not
read, and keeps its frames.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from segue.errors import SerializationError

OPENING = '{"\\u0024segue.'
PAYLOAD = "payload"
_PLAIN_OPENING = '{"$segue.'
_OPENING_BYTES = OPENING.encode()
_KIND = re.compile(r"[a-z][a-z0-9_]*")
_KIND_IN_TEXT = re.compile(re.escape(OPENING) + r'([^"\\]{0,80})')
_decode = msgspec.json.Decoder().decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Frame(NamedTuple):
    """A framed value: its kind, and what it holds, as JSON text."""

    kind: str
    content: str


def framed(kind: str, content: str) -> str:
    """The text of a framed value. Raises ValueError for a kind that is no word, or a content that is not JSON.

    Example::

        framed("payload", '{"sha256": "9f86d0"}')
    """
    if not _KIND.fullmatch(kind):
        raise ValueError(f"the kind of a frame is a word of a-z, 0-9 and _; found {kind!r}")
    try:
        _decode(content)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"the content of a frame is JSON text: {error}") from error
    return f'{OPENING}{kind}":{content}}}'


def opened(text: str) -> Frame | None:
    """The frame that a stored text is; None for any other value, also for one that has frames further inside.

    Raises SerializationError for a text that begins as a frame and is none.
    """
    if not text.startswith(OPENING):
        return None
    try:
        [(key, content)] = _decode_fields(text).items()
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise SerializationError(
            f"a stored value begins as a frame of Segue and is none: {text[:80]!r} ({error}). The row was changed by "
            "hand or damaged; write it again, or cancel the run"
        ) from None
    return Frame(key.removeprefix("$segue."), bytes(content).decode())


def has_frame(text: str) -> bool:
    """Whether a stored text is a frame, or has one at any depth."""
    return "\\" in text and OPENING in text  # a single character is found much faster, and most texts have none


def read(text: str) -> Any:
    """A stored value as plain Python.

    Raises what msgspec raises, and SerializationError if the value is, or holds, a frame of an unknown kind.
    """
    value = _decode(text)
    if has_frame(text):
        raise unknown_kind(text)
    return value


def refuse_frame(raw: msgspec.Raw) -> None:
    """Raise SerializationError if this value itself is a frame, before its parts are looked up by their keys."""
    if memoryview(raw)[: len(_OPENING_BYTES)] == _OPENING_BYTES:
        raise unknown_kind(bytes(raw).decode())


def unframed(text: str) -> str:
    r"""JSON text from outside with the same value and no frame: a key that is spelt `\u0024segue.x` gets its dollar."""
    return text.replace(OPENING, _PLAIN_OPENING) if has_frame(text) else text


def unknown_kind(text: str) -> SerializationError:
    """The error for a text with a frame of an unknown kind, or with a payload where none can be opened."""
    found = _KIND_IN_TEXT.search(text)
    kind = found[1] if found else ""
    if kind == PAYLOAD:
        return SerializationError(
            "a value is needed here that lies in a payload store, and Segue opens payloads only for tasks and results "
            f"({text[found.start() :][:160] if found else ''}). Let a step of its own return what is needed, which is "
            "then short"
        )
    return SerializationError(
        f'a stored value is of the kind "$segue.{kind}", which this version of Segue does not know: a newer version '
        "wrote it. Upgrade Segue in the process that reads it, then retry the step"
    )
