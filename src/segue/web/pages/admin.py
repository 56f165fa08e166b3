"""For administrators: the database and its processes, who has access, how long runs are kept; and the executors."""

from __future__ import annotations

from collections import Counter

from segue.client.retention import BUILT_IN
from segue.web.api.access import list_sessions, list_tokens
from segue.web.api.system import get_database, get_leader, get_payloads, list_executors, list_retention
from segue.web.operations import OPERATIONS
from segue.web.pages.frame import Page, View, page
from segue.web.roles import Role

TABS = (
    ("/admin", "System", "system"), ("/admin/access", "Access", "access"),
    ("/admin/retention", "Retention", "retention"),
)  # fmt: skip


@page("/admin", Role.ADMIN)
def admin(view: View) -> Page:
    """The database, the process that does the chores, and the versions of the workers."""
    workers = view.call.segue.workers()
    versions = Counter((each.version, each.code_version) for each in workers)
    data = {
        "database": get_database(view.call), "leader": get_leader(view.call), "payloads": get_payloads(view.call),
        "versions": [
            {"version": version, "code": code, "workers": count} for (version, code), count in sorted(
                versions.items(), key=lambda each: (each[0][0], each[0][1] or "")
            )
        ],
    }  # fmt: skip
    return Page("admin.html", "Administration", data, also={"tabs": TABS})


@page("/admin/access", Role.ADMIN)
def access(view: View) -> Page:
    """The access tokens and the sessions of browsers."""
    data = {"tokens": list_tokens(view.call), "sessions": list_sessions(view.call)}
    also = {"tabs": TABS, "scopes": sorted(OPERATIONS), "mine": view.call.identity.credential}
    return Page("admin_access.html", "Access", data, also=also)


@page("/admin/retention", Role.ADMIN)
def retention(view: View) -> Page:
    """How long runs are kept."""
    data = {"rules": list_retention(view.call), "built_in": BUILT_IN}
    return Page("admin_retention.html", "Retention", data, also={"tabs": TABS})


@page("/executors")
def executors(view: View) -> Page:
    """The platforms to which steps are sent, and how they are."""
    found = list_executors(view.call)
    blind = [each.name for each in found if each.blind_since is not None]
    title = f"⚠ {', '.join(blind[:3])}: no answer" if blind else "Executors"
    return Page("executors.html", title, {"executors": found}, live="executors")
