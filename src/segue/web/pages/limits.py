"""Limits: how much runs at the same time and how often it may start, who holds the places, who shares queues."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from segue.client.views import LimitInfo
from segue.engine.views.held import limit_with_holders
from segue.web.api.limits import list_limits
from segue.web.pages.frame import Page, Redirect, View, page
from segue.web.paths import path_part
from segue.web.problems import ProblemError
from segue.web.roles import Role

UNITS = {1.0: "s", 60.0: "min", 3600.0: "h", 86400.0: "d"}
KINDS = {"queue": "queues", "task": "tasks", "workflow": "workflows"}


@page("/limits")
def limits(view: View) -> Page:
    """All limits, and the keys that share queues."""
    found = list_limits(view.call)
    rows = [(each, rate_text(each), link_of(each.name)) for each in found.limits]
    data = {"limits": found.limits, "shares": found.shares}
    return Page("limits.html", "Limits", data, live="limits", also={"rows": rows})


@page("/limits/{name:name}")
def limit(view: View) -> Page:
    """One limit: its size, who holds its places, and who waits. Under a name that has no limit, one can be set."""
    segue, name = view.call.segue, view.path["name"]
    with segue.engine.reading() as tx:
        info, holders = limit_with_holders(tx, name, prefix=segue.engine.prefix) or (None, None)
    if info is None and not view.call.may("set_limit"):
        raise ProblemError(404, "LimitNotFound", f"There is no limit {name[:100]!r}.")
    also: dict[str, Any] = {"name": name, "rate": "" if info is None else rate_text(info), "link": link_of(name)}
    data = {"limit": info, "holders": holders}
    return Page("limit.html", f"{name} · limit", data, live=f"limit:{name}" if info else None, also=also)


@page("/new/limit", Role.ADMIN)
def new_limit(view: View) -> Page | Redirect:
    """The page on which a limit of the name that was typed is set."""
    name = dict(parse_qsl(view.query)).get("name", "").strip()
    return Redirect(f"/limits/{path_part(name)}" if name else "/limits")


def rate_text(info: LimitInfo) -> str:
    """The rate of a limit as people write it: "100/min"; "" if it has none."""
    if info.rate is None:
        return ""
    unit = UNITS.get(info.period)
    return f"{info.rate:g}/{unit}" if unit else f"{info.rate:g}/{info.period:g}s"


def link_of(name: str) -> tuple[str, str] | None:
    """The page of what a limit is about: the folder and the name."""
    kind, _, of = name.partition(":")
    return (KINDS[kind], of) if kind in ("queue", "workflow") and of else None
