"""Find anything by what one has at hand: the id of a run, a key, a tag, a name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qs

import msgspec

from segue.client import Segue
from segue.errors import ConfigError, RunNotFoundError, SegueError
from segue.web.api.saved_views import list_views
from segue.web.operations import Call
from segue.web.pages.frame import Page, Redirect, View, page
from segue.web.paths import path_part
from segue.web.rendering import linked
from segue.web.saved_links import in_words
from segue.web.search_grammar import SearchError, parsed, written
from segue.web.troubles import standing_of

MOST = 10
_ID = re.compile(r"[0-9a-f-]{4,36}")


class Hit(msgspec.Struct, frozen=True):
    """Something that was found."""

    kind: str
    name: str
    href: str  # below the root of the application
    more: str = ""


@page("/search")
def search_page(view: View) -> Page | Redirect:
    """What has this name or id; the thing itself, if only one has."""
    wanted = parse_qs(view.query).get("q", [""])[-1].strip()
    if not wanted:
        return Page("search.html", "Find", {"hits": []}, also={"wanted": "", "problem": ""})
    if ":" in wanted:
        try:
            return Redirect(linked("/runs", parsed(wanted)))
        except SearchError as error:
            return Page("search.html", "Find", {"hits": []}, status=400, also={"wanted": wanted, "problem": str(error)})
    hits, problem = _hits(view.call.segue, wanted)
    hits += _saved(view.call, wanted)
    if len(hits) == 1:
        return Redirect(hits[0].href)
    return Page("search.html", f"Find {wanted}", {"hits": hits}, also={"wanted": wanted, "problem": problem})


def _hits(segue: Segue, wanted: str) -> tuple[list[Hit], str]:
    problem = ""
    if _ID.fullmatch(wanted.lower()):
        try:
            run = segue.get(wanted.lower())
            return [Hit("run", run.id, f"/runs/{run.id}")], ""
        except RunNotFoundError:
            pass
        except SegueError as error:  # several have it
            problem = str(error)
    hits: list[Hit] = []
    try:
        by_key = segue.runs(key=wanted, limit=MOST)
        hits += [
            Hit("run", run.id, f"/runs/{run.id}", f"{run.workflow}, key {run.key}, {run.status}") for run in by_key
        ]
        if segue.runs(tag=wanted, limit=1):
            pairs = [("tag", wanted)]
            hits.append(Hit("runs", written(pairs), linked("/runs", pairs)))
    except ConfigError as error:  # no key and no tag can be like that
        problem = problem or str(error)
    hits += _named("workflow", "/workflows", wanted, (each.name for each in segue.workflows()))
    hits += _named("schedule", "/schedules", wanted, (each.name for each in segue.schedules.list()))
    workers = standing_of(segue).workers
    hits += _named("queue", "/queues", wanted, sorted({queue for worker in workers for queue in worker.queues}))
    found = [worker for worker in workers if wanted.lower() in worker.name.lower() or worker.id == wanted]
    hits += [Hit("worker", worker.name, f"/workers/{worker.id}") for worker in found[:MOST]]
    return hits, problem


def _saved(call: Call, wanted: str) -> list[Hit]:
    """The saved views whose names contain it."""
    found = [view for view in list_views(call) if wanted.casefold() in view.name.casefold()]
    return [Hit("saved view", view.name, view.link, in_words(view.link)) for view in found[:MOST]]


def _named(kind: str, path: str, wanted: str, names: Iterable[str]) -> list[Hit]:
    """Those whose names contain it; one that is the same comes first."""
    matching = (name for name in names if wanted.lower() in name.lower())
    found = sorted(matching, key=lambda name: (name != wanted, name))
    return [Hit(kind, name, f"{path}/{path_part(name)}") for name in found[:MOST]]
