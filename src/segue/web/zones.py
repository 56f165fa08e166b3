"""The time zone in which a person sees times: the server formats them, so a page is right without JavaScript."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote
from zoneinfo import ZoneInfo

ZONE_COOKIE = "segue_tz"
UTC_ZONE = ZoneInfo("UTC")


def zone_of(cookies: Mapping[str, str]) -> ZoneInfo:
    """The zone that the browser or the person chose; UTC if it is unknown."""
    return zone_named(unquote(cookies.get(ZONE_COOKIE, ""))) or UTC_ZONE


def zone_named(name: str) -> ZoneInfo | None:
    """The zone of this name, if there is one."""
    if not name or len(name) > 64:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # also ZoneInfoNotFoundError, names of folders, and names with ".."
        return None
