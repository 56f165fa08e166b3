"""The operations of the API, for people who write programs."""

from __future__ import annotations

from segue.web.api.routes import PREFIX
from segue.web.openapi import tag_of
from segue.web.operations import OPERATIONS, Operation
from segue.web.pages.frame import Page, View, page


@page("/api/docs")
def api_docs(view: View) -> Page:
    """Every operation by subject: its method, path, role, and what it does."""
    by_tag: dict[str, list[Operation]] = {}
    for each in sorted(OPERATIONS.values(), key=lambda each: (tag_of(each), each.path, each.method)):
        by_tag.setdefault(tag_of(each), []).append(each)
    shown = [
        {
            "subject": tag,
            "operations": [
                {
                    "name": each.name, "method": each.method, "path": PREFIX + each.template, "role": each.role.word,
                    "description": each.description, "is_allowed": each.is_allowed(view.call.identity),
                    "query": _fields(each.query), "body": _fields(each.body),
                }
                for each in found
            ],
        }
        for tag, found in by_tag.items()
    ]  # fmt: skip
    return Page("api_docs.html", "API", {"subjects": shown, "document": f"{PREFIX}/openapi.json"})


def _fields(kind: type | None) -> list[str]:
    return [] if kind is None else list(kind.__struct_fields__)  # type: ignore[attr-defined]
