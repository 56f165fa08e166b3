"""The outcome of what a person did, shown once on the page to which they return. It lies in a cookie for a minute."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

SAID_COOKIE = "segue_said"
LONGEST = 600

UNDONE = re.compile(r"(/[^/?#\s\\]+)+/(activate|deactivate|pause|resume)")
"""What a button may undo. Another page of the same domain may have written the cookie, and a person clicks easily."""


def leave(answer: Response, text: str, *, is_error: bool = False, undo: str | None = None) -> None:
    """Say this on the next page. `undo` is the path of the opposite operation."""
    said = {"text": text[:LONGEST], "is_error": is_error, "undo": undo}
    value = base64.urlsafe_b64encode(msgspec.json.encode(said)).decode()
    answer.set_cookie(SAID_COOKIE, value, max_age=60, path="/", httponly=True, samesite="lax")


def taken(cookies: Mapping[str, str]) -> dict[str, Any] | None:
    """What was left. A cookie that cannot be read says nothing."""
    try:
        said = msgspec.json.decode(base64.urlsafe_b64decode(cookies.get(SAID_COOKIE, "")))
    except (ValueError, msgspec.DecodeError):
        return None
    if not isinstance(said, dict) or not isinstance(said.get("text"), str):
        return None
    undo = said.get("undo")
    fits = isinstance(undo, str) and UNDONE.fullmatch(undo) is not None
    return {"text": said["text"][:LONGEST], "is_error": said.get("is_error") is True, "undo": undo if fits else None}
