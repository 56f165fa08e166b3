"""A small database in which every page has something to show, and the paths of all its pages.

Every text that a person or a program can choose is chosen by the caller, so that the same database shows ordinary
days (`ORDINARY`) and hostile ones.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from segue import Secret, Segue, task, wait_for, workflow
from segue.authoring import declared
from segue.engine.saved_views import EVERYBODY, save_view
from segue.errors import SegueError
from segue.worker.options import WorkerOptions
from segue.worker.pool.inline import InlinePool
from segue.worker.worker import Worker

ORDINARY = ("shop.nightly", "2026-11-20", "customer 42", "warehouse/north")

CANARY = "c4n4ry-7f3a9b51"
"""A secret. It is in arguments that are marked, in results, errors and outputs, and must be on no page."""


class OddError(Exception):
    """What fails here."""


class Filled(NamedTuple):
    """Ids of what was made."""

    failed: list[str]
    waiting: list[str]
    queued: str
    texts: tuple[str, ...]
    schedules: list[str]
    limits: list[str]
    queues: list[str]
    workflows: list[str]


def echo(text: str, token: Secret[str] = CANARY) -> dict[str, str]:
    sys.stdout.write(f"said {text}\nwith {token} and password={token}\n")
    return {"text": text, "password": token, name_in(text): text}


def fail(found: dict[str, str], token: Secret[str] = CANARY) -> None:
    sys.stdout.write(f"{found['text']} {token}\n")
    raise OddError(f"{found['text']} with {token}")


@contextmanager
def known(texts: Iterable[str]) -> Iterator[list[Any]]:
    """For each text a workflow whose tasks, waits and own name are this text. Meanwhile there are no others."""
    before: list[Any] = [(each, dict(each)) for each in (declared.tasks, declared.workflows)]
    for each, kept in before:
        for name in kept:
            if not name.startswith("segue."):
                del each[name]  # of other tests
    try:
        yield [_workflow(text, number) for number, text in enumerate(texts)]
    finally:
        for each, kept in before:
            each.clear()
            each.update(kept)


def _workflow(text: str, number: int) -> Any:
    queue = accepted(name_in(text), lambda name: task(name=f"checked {number}", queue=name)(_nothing)) or "default"
    says = task(name=f"{name_in(text)}.say{number}", queue=queue)(echo)
    fails = task(name=f"{name_in(text)}.fail{number}", retries=1, retry_delay=0, queue=queue)(fail)

    def flow(text: str, token: Secret[str] = CANARY) -> Any:
        said = says(text, token=token)
        wait_for(name_in(text))
        return fails(said, token=token)

    return workflow(name=f"{name_in(text)}.flow{number}")(flow)


def name_in(text: str) -> str:
    """The beginning of a text, as a name: databases store no NUL."""
    return text[:60].replace("\0", "")


def tags_in(text: str) -> list[str]:
    """The same as a tag: those are printable."""
    return [name for name in [name_in(text)] if name.isprintable()]


def _nothing() -> None:
    """Does nothing."""


def accepted(text: str, does: Callable[[str], Any]) -> str | None:
    """The text if it was accepted; None if it was refused, as names with control characters are."""
    try:
        does(text)
    except (SegueError, ValueError):
        return None
    return text


def fill(segue: Segue, flows: list[Any], texts: tuple[str, ...]) -> Filled:
    """For each text: runs that wait, failed and have not begun, a schedule, a limit, a subscription and a rule."""
    failed, waiting = [], []
    for flow, text in zip(flows, texts, strict=True):
        run = segue.start(
            flow, text, key=name_in(text), tags=tags_in(text),
            metadata={name_in(text): text[:20_000], "password": CANARY},
        )  # fmt: skip
        failed.append(run.id)
        waiting.append(segue.start(flow, text).id)
    mine = [each for each in declared.tasks.values() if getattr(each.fn, "__module__", "") == __name__]
    queues = sorted({each.placement.queue or "default" for each in mine})
    work(segue, queues)
    for id, text in zip(failed, texts, strict=True):
        segue.send(id, name_in(text), {"said": text[:20_000], "token": CANARY})
    work(segue, queues)
    later = segue.engine.store.now() + timedelta(hours=3)
    queued = segue.start(declared.tasks[f"{name_in(texts[0])}.say0"], texts[0], run_at=later).id
    paused = segue.get(waiting[-1])
    paused.pause(reason=name_in(texts[-1]), actor=name_in(texts[-1]))
    schedules, limits = [], []
    for flow, text in zip(flows, texts, strict=True):
        schedules.append(accepted(name_in(text), lambda name, flow=flow, text=text: segue.schedules.create(  # type: ignore[misc]
            name, flow, text, schedule="@daily", timezone="Europe/Paris", tags=tags_in(text))))  # fmt: skip
        limits.append(accepted(name_in(text), lambda name: segue.limits.set(name, concurrency=3)))
        accepted(name_in(text), lambda name: segue.subscriptions.add(
            name, events=["run.failed"], to=f"https://ann:{CANARY}@example.org/x?token={CANARY}"))  # fmt: skip
        accepted(name_in(text), lambda name: segue.retention.set(name, max_age=timedelta(days=900)))
        accepted(name_in(text), lambda name: segue.engine.act(
            save_view, segue.namespace, EVERYBODY, name=name, link=f"/runs?{urlencode({'tag': name})}"))  # fmt: skip
    segue.publish_definitions()
    queues = [each for each in queues if each != "default"]  # it has no steps
    names = [segue.get(id).info().workflow for id in failed]
    return Filled(
        failed, waiting, queued, texts, [each for each in schedules if each], [each for each in limits if each], queues,
        names,
    )  # fmt: skip


def work(segue: Segue, queues: list[str]) -> None:
    """Work until nothing can be claimed."""
    options = WorkerOptions(concurrency=1, pool="inline", burst=True, queues=tuple(queues))
    Worker(segue.engine, InlinePool(echo=False), tasks=sorted(declared.tasks), options=options).run()


def paths(segue: Segue, filled: Filled) -> dict[str, list[str]]:
    """For the path of each page, as it is registered, the places where it shows what `fill` made."""
    each = filled.failed
    part = lambda name: quote(name, safe="")  # noqa: E731
    a_worker = [worker.id for worker in segue.ended_workers(limit=1)]
    fingerprints = [group.fingerprint for group in segue.failures.groups().groups]
    return {
        "/": ["/"],
        "/admin": ["/admin"], "/admin/access": ["/admin/access"], "/admin/retention": ["/admin/retention"],
        "/api/docs": ["/api/docs"], "/approvals": ["/approvals"], "/audit": ["/audit"],
        "/bulk": ["/bulk?verb=retry&all=1", *(f"/bulk?verb=cancel&all=1&key={part(name_in(t))}" for t in filled.texts)],
        "/compare": [f"/compare?a={one}&b={two}" for one, two in zip(each, filled.waiting, strict=True)],
        "/errors": ["/errors"], "/errors/{fingerprint}": [f"/errors/{fingerprint}" for fingerprint in fingerprints],
        "/events": ["/events"], "/executors": ["/executors"], "/limits": ["/limits"],
        "/filter": ["/filter", *(
            f"/filter?{urlencode({'meta.' + name_in(t): t[:500], 'tag': name_in(t)})}" for t in filled.texts)],
        "/limits/{name:name}": [f"/limits/{part(name)}" for name in filled.limits],
        "/new/limit": ["/new/limit"],
        "/new/schedule": [
            "/new/schedule",
            *(f"/new/schedule?schedule={part(name_in(t))}&name={part(name_in(t))}" for t in filled.texts),
        ],
        "/queues": ["/queues"],
        "/queues/{name:name}": [f"/queues/{part(name)}" for name in filled.queues],
        "/runs": ["/runs", "/runs?status=failed", *(f"/runs?tag={part(name_in(text))}" for text in filled.texts)],
        "/runs/{run_id}": [f"/runs/{id}" for id in [*each, *filled.waiting, filled.queued]],
        "/runs/{run_id}/activity": [f"/runs/{id}/activity" for id in [*each, *filled.waiting]],
        "/runs/{run_id}/data": [f"/runs/{id}/data" for id in each],
        "/runs/{run_id}/fork": [f"/runs/{id}/fork" for id in each],
        "/runs/{run_id}/graph": [f"/runs/{id}/graph" for id in each],
        "/runs/{run_id}/groups/{first}": [f"/runs/{id}/groups/0" for id in each],
        "/runs/{run_id}/steps/{step:name}": [f"/runs/{id}/steps/{n}" for id in each for n in (0, 1, 2)],
        "/runs/{run_id}/steps/{step:name}/attempts/{attempt}/output": [
            f"/runs/{id}/steps/{n}/attempts/1/output" for id in each for n in (0, 2)
        ],
        "/runs/{run_id}/steps/{step:name}/edit": [f"/runs/{id}/steps/2/edit" for id in each],
        "/runs/{run_id}/timeline": [f"/runs/{id}/timeline" for id in each],
        "/schedules": ["/schedules"],
        "/schedules/{name:name}": [f"/schedules/{part(name)}" for name in filled.schedules],
        "/schedules/{name:name}/backfill": [
            f"/schedules/{part(name)}/backfill?since=2026-01-01&until=2026-01-09" for name in filled.schedules
        ],
        "/schedules/{name:name}/edit": [f"/schedules/{part(name)}/edit" for name in filled.schedules],
        "/search": ["/search", *(f"/search?q={part(name_in(text))}" for text in filled.texts)],
        "/settings": ["/settings"],
        "/start": ["/start", *(f"/start?name={part(name)}" for name in filled.workflows)],
        "/subscriptions": ["/subscriptions"], "/views": ["/views"], "/workers": ["/workers"],
        "/workers/{worker_id}": [f"/workers/{id}" for id in a_worker],
        "/workflows": ["/workflows"],
        "/workflows/{name:name}": [f"/workflows/{part(name)}" for name in filled.workflows],
    }  # fmt: skip
