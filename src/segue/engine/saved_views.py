"""Lists of the web pages that people have given a name: for themselves, or for all who use the database.

A view is a path and a query below the root of the pages. Its owner is the name of a person; EVERYBODY for one that is
shared. In one namespace, a person has each name once.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from segue.engine.act import Act
from segue.engine.stored import known_moment
from segue.errors import ConfigError
from segue.jsonable import Jsonable
from segue.store.protocol import Transaction

EVERYBODY = ""
MOST = 100
"""Views of one owner."""


class SavedView(Jsonable, msgspec.Struct, frozen=True):
    """A list with a name. Times are aware UTC."""

    id: str
    name: str
    link: str  # as "/runs?status=failed"
    is_shared: bool
    created_at: datetime  # or replaced
    created_by: str | None


def list_views(tx: Transaction, namespace: str, owner: str) -> list[SavedView]:
    """What a person has saved, and then what is shared; each in the order of their names."""
    rows = tx.all("list_saved_views", namespace=namespace, owner=owner)
    found = [
        SavedView(id_, name, link, whose == EVERYBODY, known_moment(tx, at), by)
        for id_, whose, name, link, at, by in rows
    ]
    return sorted(found, key=lambda view: (view.is_shared, view.name.casefold(), view.name))


def save_view(
    act: Act, namespace: str, owner: str, *, name: str, link: str, replace: bool = False, actor: str | None = None
) -> str | None:
    """Save a view, and return its id. None: the owner has one of this name, and `replace` is false.

    Raises ConfigError if the owner has too many.
    """
    told = {"namespace": namespace, "owner": owner, "name": name}
    new = told | {"link": link, "now": act.now, "created_by": actor}
    if replace and (rows := act.tx.all("replace_saved_view", **new)):
        return str(rows[0][0])
    if act.tx.all("find_saved_view", **told):
        return None
    [[count]] = act.tx.all("count_saved_views", namespace=namespace, owner=owner)
    if count >= MOST:
        whose = "are shared" if owner == EVERYBODY else f"are saved for {owner}"
        raise ConfigError(f"{count} views {whose}, and at most {MOST} can be. Delete one first.")
    rows = act.tx.all("insert_saved_view", id=act.new_id(), **new)
    return str(rows[0][0]) if rows else None  # another request was faster


def delete_view(act: Act, namespace: str, owner: str, id_: str) -> bool:
    """Delete a view of this owner. False: there is none."""
    return bool(act.tx.all("delete_saved_view", namespace=namespace, owner=owner, id=id_))
