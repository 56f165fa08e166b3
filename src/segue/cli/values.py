"""Arguments and results as they are shown: without secrets, and cut if they are long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from segue.masking import masked
from segue.printable import shortened

SHOWN = 2_000  # characters of a value in a text


def arguments_text(arguments: Sequence[Any], *, most: int = SHOWN) -> str:
    """[args, kwargs] as they would be written in a call: `4, y=1`."""
    args, kwargs = arguments
    words = [_text(masked(value)) for value in args]
    words += [f"{name}={_text(value)}" for name, value in masked_fields(kwargs).items()]
    return shortened(", ".join(words), most)


def masked_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object without secrets."""
    shown = masked(fields)
    assert isinstance(shown, dict)
    return shown


def value_text(value: Any, *, most: int = SHOWN) -> str:
    """A value as JSON; what lies in a payload store is named with its size."""
    return shortened(_text(masked(value)), most)


def _text(value: Any) -> str:
    return msgspec.json.encode(_with_payloads_named(value)).decode()


def _with_payloads_named(value: Any) -> Any:
    match value:
        case {"$segue.payload": [str(reference), str(), int(size), *_], **others} if not others:
            return f"payload {reference}, {size:,} bytes"
        case dict():
            return {key: _with_payloads_named(item) for key, item in value.items()}
        case list():
            return [_with_payloads_named(item) for item in value]
    return value
