"""Saved views: the row of links above a list, and the page of all of them."""

from __future__ import annotations

import msgspec

from segue.engine.saved_views import SavedView
from segue.web.api.saved_views import MOST_NAME_LENGTH, list_views, may_share
from segue.web.pages.frame import Page, View, page
from segue.web.saved_links import in_words

MOST_SHOWN = 12
"""Links above a list; all are on their own page."""


class Saved(msgspec.Struct, frozen=True):
    """What a list shows of the saved views that lead to it."""

    views: list[SavedView]
    others: int  # that are not shown
    here: str  # the list as it is now
    may_save: bool
    asks_for_whom: bool  # whether the person chooses between a view for themselves and one for all
    most_characters: int = MOST_NAME_LENGTH


def saved_of(view: View, here: str, *, may_save: bool) -> Saved:
    """The views of the list at `here`, and whether `here` can become one."""
    path = here.partition("?")[0]
    found = [each for each in list_views(view.call) if each.link.partition("?")[0] == path]
    is_saved = any(each.link == here for each in found)
    return Saved(
        found[:MOST_SHOWN], len(found[MOST_SHOWN:]), here, may_save and not is_saved and view.call.may("save_view"),
        view.call.identity.how != "local" and may_share(view.call),
    )  # fmt: skip


@page("/views")
def views(view: View) -> Page:
    """All saved views of a person, and those for all."""
    found = list_views(view.call)
    also = {"words": {each.id: in_words(each.link) for each in found}, "may_share": may_share(view.call)}
    return Page("saved_views.html", "Saved views", {"views": found}, also=also)
