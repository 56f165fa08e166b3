"""Tags and metadata, by which people find a run or step: checked, and converted to rows for searching.

A *tag* is a word; *metadata* is a JSON object. Both become *labels*, pairs of name and value. A tag has the name ''. Of
metadata, every plain value (text, number, boolean, null) at the top level becomes a label. Other values, and values too
long for an index, are stored with the run but cannot be searched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from segue.errors import ConfigError, SegueError, SerializationError
from segue.given import shown
from segue.plan.graph import Plan, RunTerms
from segue.plan.writing import Writer

TAG = ""  # the name under which tags are searched
MAX_TAGS = 100
MAX_TAG_LENGTH = 200
MAX_METADATA_BYTES = 64 * 1024
MAX_LABEL_NAME = 100  # what an entry of an index can hold: longer names are not searchable
MAX_LABEL_VALUE = 500

Label = tuple[str, str]

_writer = Writer()
_encode = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


def checked_tags(of: str, tags: object, *, error: type[SegueError] = ConfigError) -> tuple[str, ...]:
    """The tags in the given order, without duplicates. Raises `error`, naming `of`, for an invalid tag."""
    if not isinstance(tags, (list, tuple, set, frozenset)):
        raise error(f"{of}: tags={shown(tags)} is not a list of texts; write tags=['nightly']")
    for tag in tags:
        if not isinstance(tag, str) or not tag.strip() or len(tag) > MAX_TAG_LENGTH or not tag.isprintable():
            what = f"is not a text of 1 to {MAX_TAG_LENGTH} printable characters"
            raise error(f"{of}: tags={shown(tags)} is not a list of texts: {shown(tag)} {what}; write tags=['nightly']")
    found = tuple(dict.fromkeys(sorted(tags) if isinstance(tags, (set, frozenset)) else tags))
    if len(found) > MAX_TAGS:
        raise error(f"{of}: there are {len(found)} tags and may be {MAX_TAGS}; put the rest into metadata=")
    return found


def encoded_metadata(of: str, metadata: object, *, error: type[SegueError] = ConfigError) -> str | None:
    """Metadata as JSON text, None if it is empty. Raises `error`, naming `of`, for invalid metadata."""
    if not isinstance(metadata, Mapping) or not all(isinstance(key, str) and key for key in metadata):
        what = "is not a dict with texts that are not empty as keys"
        raise error(f"{of}: metadata={shown(metadata)} {what}; write metadata={{'customer': 42}}")
    if not metadata:
        return None
    try:
        text = _writer.write(dict(metadata), "metadata")
    except SerializationError as exc:
        raise error(f"{of}: {exc}") from exc
    if len(text) > MAX_METADATA_BYTES:
        raise error(
            f"{of}: metadata is {len(text):,} bytes and may be {MAX_METADATA_BYTES:,}; store the data, and say where"
        )
    return text


def joined_metadata(before: str | None, after: str | None) -> str | None:
    """Merge both; where they share a key the value of `after` counts."""
    if before is None or after is None:
        return after if before is None else before
    return _encode(decoded_metadata(before) | decoded_metadata(after)).decode()


def with_terms(plan: Plan, terms: RunTerms) -> Plan:
    """The plan with these terms added: tags and metadata are merged with its own, other given terms replace its own."""
    old = plan.terms or RunTerms()
    given = {name: value for name, value in msgspec.structs.asdict(terms).items() if value is not None}
    given["tags"] = tuple(dict.fromkeys((*old.tags, *terms.tags)))
    given["metadata"] = joined_metadata(old.metadata, terms.metadata)
    return msgspec.structs.replace(plan, terms=msgspec.structs.replace(old, **given))


def decoded_metadata(text: str | None) -> dict[str, Any]:
    """Read what `encoded_metadata` wrote."""
    found: dict[str, Any] = _decode_object(text) if text else {}
    return found


def labels_of(tags: Iterable[str], metadata: str | None) -> list[Label]:
    """The pairs by which tags and metadata are searched."""
    found = [(TAG, tag) for tag in tags]
    for key, value in decoded_metadata(metadata).items():
        text = label_value(value)
        if text is not None and len(key) <= MAX_LABEL_NAME and "\0" not in key:
            found.append((key, text))
    return found


def label_value(value: object) -> str | None:
    """The text by which a plain value is searched: a text unchanged, others as JSON. None for other values."""
    if not isinstance(value, (str, int, float, bool)) and value is not None:
        return None
    text = value if isinstance(value, str) else _encode(value).decode()
    return text if len(text) <= MAX_LABEL_VALUE and "\0" not in text else None
