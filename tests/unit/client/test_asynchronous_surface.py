"""`AsyncSegue`, and what it gives, have every verb of their originals, with the same arguments."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from segue.client.access import AccessRecords
from segue.client.asynchronous import parts
from segue.client.asynchronous.listed import AsyncListedRun
from segue.client.asynchronous.run import AsyncRun, AsyncStep
from segue.client.asynchronous.segue import AsyncSegue
from segue.client.background import InBackground
from segue.client.executors import Executors
from segue.client.limits import Limits
from segue.client.listed import ListedRun
from segue.client.payloads import StoredPayloads
from segue.client.retention import Retention
from segue.client.run import Run
from segue.client.schedules import Schedules
from segue.client.segue import Segue
from segue.client.selection import Selection
from segue.client.step import StepHandle
from segue.client.subscriptions import Subscriptions
from segue.client.waiting import Approvals, Events
from segue.engine.views.look import RunInfo

PAIRS: list[tuple[type, type]] = [
    (Segue, AsyncSegue), (Run, AsyncRun), (StepHandle, AsyncStep), (Selection, parts.AsyncSelection),
    (InBackground, parts.AsyncInBackground),
    (Schedules, parts.AsyncSchedules), (Subscriptions, parts.AsyncSubscriptions), (Retention, parts.AsyncRetention),
    (Approvals, parts.AsyncApprovals), (Events, parts.AsyncEvents), (Limits, parts.AsyncLimits),
    (StoredPayloads, parts.AsyncStoredPayloads), (Executors, parts.AsyncExecutors), (AccessRecords, parts.AsyncAccess),
]  # fmt: skip
AT_ONCE = {"on", "wait_for", "sleep", "select", "step", "among", "up_to", "in_background", "acting_as"}
"""They read nothing, so they need not be awaited."""


def public(kind: type) -> dict[str, Any]:
    return {name: getattr(kind, name) for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize("original, form", PAIRS)
def test_every_verb_is_there_and_is_awaited(original: type, form: type) -> None:
    wanted, found = public(original), public(form)
    assert wanted.keys() - found.keys() == set()
    for name, method in wanted.items():
        if not inspect.isfunction(method) or name in AT_ONCE:
            continue
        ours = found[name]
        assert inspect.iscoroutinefunction(ours) or inspect.isasyncgenfunction(ours), name
        mine, theirs = (list(inspect.signature(each).parameters.values()) for each in (ours, method))
        assert [(each.name, each.kind, each.default) for each in mine] == [
            (each.name, each.kind, each.default) for each in theirs
        ], name
        assert ours.__doc__, name


def test_it_is_made_like_its_original_and_has_the_same_parts(tmp_path: Any) -> None:
    mine, theirs = (list(inspect.signature(each).parameters) for each in (AsyncSegue, Segue))
    assert mine == theirs
    url = f"sqlite:///{tmp_path}/segue.db"
    segue, awaiting = Segue(url), AsyncSegue(url)
    parts_of_it = {name for name in vars(segue) if not name.startswith("_")} - {"engine"}
    assert parts_of_it >= {"limits", "url", "events"}
    assert [name for name in parts_of_it if not hasattr(awaiting, name)] == []
    assert awaiting.sync.engine is not None


@pytest.mark.parametrize("listed, run", [(ListedRun, Run), (AsyncListedRun, AsyncRun)])
def test_a_listed_run_has_the_verbs_of_a_run(listed: type, run: type) -> None:
    fields = {*RunInfo.__struct_fields__, "is_new"}
    assert public(run).keys() - public(listed).keys() - fields == set()
