"""What a saved view may hold: a list of this site with its filters, and nothing else.

Example::

    own_link("/runs?status=failed&before=01a2", now=now, zone=UTC)  # "/runs?status=failed"
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from urllib.parse import parse_qsl, urlsplit

from segue.web.problems import ProblemError
from segue.web.rendering import linked
from segue.web.requests import form_pairs
from segue.web.search_grammar import OTHERS, Pairs, SearchError, filters_of, written

MOST_CHARACTERS = 2000
PAGES = ("/runs", "/errors")
"""The lists that can be saved."""

_OF_ERRORS = ("newer_than", "task", "type")


def own_link(text: str, *, now: datetime, zone: tzinfo) -> str:
    """A link to a list of this site, with its filters only. Raises ProblemError for any other."""
    path, _, query = text.partition("?")
    if path not in PAGES:
        raise ProblemError(422, "NotAList", f"Only {' and '.join(PAGES)} can be saved, with a query: /runs?tag=eu.")
    if len(text) > MOST_CHARACTERS or not text.isprintable():
        raise ProblemError(
            422, "NotAList", f"The link is longer than {MOST_CHARACTERS:,} characters, or not printable."
        )
    found = _READERS[path](form_pairs(query.partition("#")[0]), now, zone)
    if not found:
        raise ProblemError(422, "NotAList", f"{path} without a filter is in the menu; there is nothing to save.")
    return linked(path, found)


def is_own(link: str) -> bool:
    """Whether a stored link leads to a list of this site; the row may have been changed by hand."""
    parts = urlsplit(link)
    return link.isprintable() and link.partition("?")[0] in PAGES and not parts.scheme and not parts.netloc


def in_words(link: str) -> str:
    """The filters of a link, as people type them."""
    return written(parse_qsl(link.partition("?")[2], keep_blank_values=True))


def _of_runs(pairs: Pairs, now: datetime, zone: tzinfo) -> Pairs:
    filters = [pair for pair in pairs if pair[0] not in OTHERS]
    try:
        filters_of(filters, now=now, zone=zone)
    except SearchError as error:
        raise ProblemError(422, "NotAList", str(error)) from error
    return filters


def _of_errors(pairs: Pairs, now: datetime, zone: tzinfo) -> Pairs:
    for name, value in pairs:
        if name not in _OF_ERRORS:
            raise ProblemError(422, "NotAList", f"{name[:100]} is no filter of errors: {', '.join(_OF_ERRORS)}.")
        if name == "newer_than" and not value.replace(".", "", 1).isdecimal():
            raise ProblemError(422, "NotAList", f"newer_than={value[:100]} is not a number of seconds.")
    return [(name, value) for name, value in pairs if value]


_READERS: dict[str, Callable[[Pairs, datetime, tzinfo], Pairs]] = {"/runs": _of_runs, "/errors": _of_errors}
