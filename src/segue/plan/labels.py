"""Tags and metadata: what may be said of a run or step for people to find it by, checked, and as rows for searching.

A *tag* is a word; *metadata* is a JSON object. Both become *labels*, pairs of name and value: a tag under the name '',
of metadata every plain value (text, number, boolean, null) at its top. Values of other kinds, and those that are too
long for an index, are kept with the run and cannot be searched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from segue.errors import ConfigError, SegueError
from segue.plan.graph import Plan, RunTerms

TAG = ""  # the name under which tags are searched
MAX_TAGS = 100
MAX_TAG_LENGTH = 200
MAX_METADATA_BYTES = 64 * 1024
MAX_LABEL_NAME = 100  # what an entry of an index can hold: longer ones are not searchable
MAX_LABEL_VALUE = 500

Label = tuple[str, str]

_encode = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


def checked_tags(of: str, tags: object, *, error: type[SegueError] = ConfigError) -> tuple[str, ...]:
    """Tags in the order given, each once; raises `error`, naming `of`, when one is no tag."""
    if not isinstance(tags, (list, tuple, set, frozenset)):
        raise error(f"{of}: tags={tags!r} is not a list of texts; write tags=['nightly']")
    for tag in tags:
        if not isinstance(tag, str) or not tag.strip() or len(tag) > MAX_TAG_LENGTH or not tag.isprintable():
            what = f"is not a text of 1 to {MAX_TAG_LENGTH} printable characters"
            raise error(f"{of}: tags={tags!r} is not a list of texts: {tag!r} {what}; write tags=['nightly']")
    found = tuple(dict.fromkeys(sorted(tags) if isinstance(tags, (set, frozenset)) else tags))
    if len(found) > MAX_TAGS:
        raise error(f"{of}: there are {len(found)} tags and may be {MAX_TAGS}; put the rest into metadata=")
    return found


def encoded_metadata(of: str, metadata: object, *, error: type[SegueError] = ConfigError) -> str | None:
    """Metadata as JSON text, None when it is empty; raises `error`, naming `of`, when it is no such thing."""
    if not isinstance(metadata, Mapping) or not all(isinstance(key, str) and key for key in metadata):
        what = "is not a dict with texts that are not empty as keys"
        raise error(f"{of}: metadata={metadata!r} {what}; write metadata={{'customer': 42}}")
    if not metadata:
        return None
    try:
        text = _encode(dict(metadata)).decode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise error(f"{of}: metadata={metadata!r} is not JSON ({exc}); give texts, numbers and lists of them") from exc
    if len(text) > MAX_METADATA_BYTES:
        raise error(
            f"{of}: metadata is {len(text):,} bytes and may be {MAX_METADATA_BYTES:,}; store the data, and say where"
        )
    return text


def joined_metadata(before: str | None, after: str | None) -> str | None:
    """Both as one; where they have a key in common the value of `after` counts."""
    if before is None or after is None:
        return after if before is None else before
    return _encode(decoded_metadata(before) | decoded_metadata(after)).decode()


def with_terms(plan: Plan, terms: RunTerms) -> Plan:
    """The plan on these terms as well: tags and metadata are added to its own, all else that is given counts."""
    old = plan.terms or RunTerms()
    given = {name: value for name, value in msgspec.structs.asdict(terms).items() if value is not None}
    given["tags"] = tuple(dict.fromkeys((*old.tags, *terms.tags)))
    given["metadata"] = joined_metadata(old.metadata, terms.metadata)
    return msgspec.structs.replace(plan, terms=msgspec.structs.replace(old, **given))


def decoded_metadata(text: str | None) -> dict[str, Any]:
    """What `encoded_metadata` wrote."""
    found: dict[str, Any] = _decode_object(text) if text else {}
    return found


def labels_of(tags: Iterable[str], metadata: str | None) -> list[Label]:
    """What tags and metadata are searched by."""
    found = [(TAG, tag) for tag in tags]
    for key, value in decoded_metadata(metadata).items():
        text = label_value(value)
        if text is not None and len(key) <= MAX_LABEL_NAME and "\0" not in key:
            found.append((key, text))
    return found


def label_value(value: object) -> str | None:
    """A plain value as the text it is searched by: a text as it is, the others as JSON; None for what has no such."""
    if not isinstance(value, (str, int, float, bool)) and value is not None:
        return None
    text = value if isinstance(value, str) else _encode(value).decode()
    return text if len(text) <= MAX_LABEL_VALUE and "\0" not in text else None
