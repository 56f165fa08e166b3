"""The first page: what needs attention, and what goes on."""

from __future__ import annotations

from segue.web.pages.frame import Page, Redirect, View, page


@page("/")
def now(view: View) -> Page | Redirect:
    """The list of runs."""
    return Redirect("/runs")
