r"""References to payloads in stored values: `{"\u0024segue.payload": [reference, digest, bytes]}`, or a part of one.

A large value lies in a payload store, and the row has a frame that says where. A path into such a value cannot be
followed without the value. So the frame gets the path as a fourth field, and the reader that opens it follows the path.
Thus expressions are evaluated without opening anything, and a frame can be passed on like any other text.

Invariant: a payload is the JSON text of a whole value without frames, so what was opened is not searched for others.
Pure: the caller says how a payload is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from segue.errors import SerializationError
from segue.plan.frames import OPENING, PAYLOAD, Frame, framed, has_frame, opened, unknown_kind

_FOUND = re.compile(re.escape(f'{OPENING}{PAYLOAD}":[') + r'("(?:[^"\\]|\\.)*"),("[^"\\]*"),([0-9]+)')
_START = f'{OPENING}{PAYLOAD}":'
_START_BYTES = _START.encode()
_KINDS = re.compile(re.escape(OPENING) + r'([^"\\]*)')
_encode = msgspec.json.Encoder().encode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class PayloadRef(NamedTuple):
    """Where a payload lies, and what it must be; with a path, the part of it that is meant."""

    reference: str  # as the store returned it
    digest: str  # of the content, in hexadecimal
    size: int  # bytes of the content, before it is compressed
    path: tuple[str | int, ...] = ()

    @property
    def text(self) -> str:
        """The frame."""
        return framed(PAYLOAD, _encode(self if self.path else self[:3]).decode())


class _Content(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    reference: str
    digest: str
    size: int
    path: tuple[str | int, ...] = ()


_decode_content = msgspec.json.Decoder(_Content).decode


def payload_of(frame: Frame) -> PayloadRef | None:
    """What a frame refers to; None if it is of another kind. Raises SerializationError for a damaged one."""
    if frame.kind != PAYLOAD:
        return None
    try:
        found = _decode_content(frame.content)
    except (msgspec.MsgspecError, ValueError) as error:
        raise SerializationError(
            f"the reference to a payload cannot be read: {frame.content[:80]!r} ({error}). The row was changed by hand "
            "or damaged; write it again, or run the step that made the value again"
        ) from None
    return PayloadRef(found.reference, found.digest, found.size, found.path)


def payloads_in(text: str) -> list[PayloadRef]:
    """The payloads that a stored text refers to, at any depth, each once and without paths."""
    if not has_frame(text):
        return []
    found = {}
    for reference, digest, size in _FOUND.findall(text):
        name = msgspec.json.decode(reference)
        found[name] = PayloadRef(name, msgspec.json.decode(digest), int(size))
    return list(found.values())


def part_of(raw: msgspec.Raw, path: tuple[str | int, ...]) -> str | None:
    """The frame for the part at `path` if this value is the frame of a payload; None for any other value."""
    if memoryview(raw)[: len(_START_BYTES)] != _START_BYTES:
        return None
    frame = opened(bytes(raw).decode())
    payload = None if frame is None else payload_of(frame)
    return None if payload is None else payload._replace(path=payload.path + path).text


def is_true_unread(text: str) -> bool | None:
    """The truth value of a text that refers to payloads, if it is known without reading one; None if it is not.

    A whole payload is true: what is false is short, and is not stored as one. Raises SerializationError for a frame of
    another kind.
    """
    if set(_KINDS.findall(text)) != {PAYLOAD}:
        raise unknown_kind(text)
    frame = opened(text)
    payload = None if frame is None else payload_of(frame)
    return None if payload is not None and payload.path else True


def text_through(text: str, fetch: Callable[[PayloadRef], str]) -> str:
    """A stored text with payloads in place of the references to them; frames of other kinds stay.

    `fetch` is as for `read_through`.
    """
    if not has_frame(text):
        return text
    frame = opened(text)
    if frame is not None:
        payload = payload_of(frame)
        return text if payload is None else fetch(payload)
    if text.lstrip()[:1] == "[":
        return "[" + ",".join([text_through(bytes(item).decode(), fetch) for item in _decode_items(text)]) + "]"
    fields = [
        f"{_encode(key).decode()}:{text_through(bytes(item).decode(), fetch)}"
        for key, item in _decode_fields(text).items()
    ]
    return "{" + ",".join(fields) + "}"


def read_through(text: str, read: Callable[[str], Any], fetch: Callable[[PayloadRef], str]) -> Any:
    """The value of a stored text, in which payloads stand for their values, also inside lists and objects.

    `read` makes a value of a text without payloads, and `fetch` gives the text of a payload, or of the part of it that
    is meant. One payload after another is fetched and read, so their texts are not in memory together. Example::

        read_through(row.result, decode, payloads.text_of)
    """
    if not has_frame(text):
        return read(text)
    frame = opened(text)
    if frame is not None:
        payload = payload_of(frame)
        if payload is None:
            raise unknown_kind(text)
        return read(fetch(payload))
    if text.lstrip()[:1] == "[":
        return [read_through(bytes(item).decode(), read, fetch) for item in _decode_items(text)]
    return {key: read_through(bytes(item).decode(), read, fetch) for key, item in _decode_fields(text).items()}
