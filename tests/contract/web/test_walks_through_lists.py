"""Each list that is given page by page has each item once, also if all times are the same."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from segue import Segue
from segue.web.api.routes import CURSORS
from segue.web.operations import OPERATIONS, Operation
from segue.worker.inline import work_run
from tests.contract.stage import connect
from tests.contract.web.asking import approved, client, price, takings

pytestmark = pytest.mark.contract

TIMES = {
    "segue_runs": ("created_at", "started_at", "finished_at"), "segue_attempts": ("started_at", "finished_at"),
    "segue_steps": ("started_at", "finished_at"), "segue_events": ("at",), "segue_audit": ("at",),
    "segue_messages": ("sent_at",), "segue_workers": ("started_at",),
}  # fmt: skip
ITEMS = ("items", "failures", "nodes", "steps", "members", "runs")


def is_list(operation: Operation) -> bool:
    """Whether it is given page by page."""
    names = () if operation.query is None else operation.query.__struct_fields__
    return operation.method == "GET" and "limit" in names and any(each in names for each in CURSORS)


LISTS = [each for each in OPERATIONS.values() if is_list(each)]
OTHERS = {"list_runs": ("status=failed", "status=cancelled", "workflow=shop.approved", "tag=t", "status=failed&tag=t")}
"""What is asked of an operation besides everything that it has."""


def filled(segue: Segue, url: str) -> dict[str, str]:
    """Names of what there is several times, all at the same time."""
    web = client(segue)
    broken = [segue.start(takings, [-1, -1, -2], tags=["t"]) for _ in range(3)]
    for run in broken:
        work_run(segue.engine, run.id)
    waiting = [segue.start(approved, 1.0, tags=["t"]) for _ in range(3)]
    for run in waiting:
        for value in range(3):
            segue.send(run, "other", value)
    for run in [segue.start(price, 1, tags=["t"]) for _ in range(3)]:
        web.post(f"/runs/{run.id}/cancel", json={"reason": "x"})
    for _ in range(3):
        web.post(f"/runs/{waiting[0].id}/pause", json={})
        web.post(f"/runs/{waiting[0].id}/resume", json={})
    segue.schedules.create("north", price.s(1), schedule="@yearly")
    for number in range(3):
        segue.schedules.run_now("north", key=str(number))
    with connect(url) as connection:
        for table, columns in TIMES.items():
            for column in columns:
                connection.execute(
                    f"UPDATE {table} SET {column} = (SELECT max({column}) FROM {table}) WHERE {column} IS NOT NULL"
                )
        connection.commit()
    [kind] = segue.failures.groups().groups
    assert kind.count == 9
    groups = web.get(f"/runs/{broken[0].id}/groups").json()
    first = next(each["first"] for each in groups["groups"] if each["name"].startswith("price["))
    return {"run_id": broken[0].id, "waiting": waiting[0].id, "fingerprint": kind.fingerprint, "first": str(first),
            "name": "north"}  # fmt: skip


def walk(web: TestClient, path: str, query: str, cursor: str, size: int) -> list[str]:
    """All items of a list, page by page."""
    found: list[str] = []
    place = ""
    for _ in range(300):
        answer = web.get(f"{path}?limit={size}&{query}{place}")
        assert answer.status_code == 200, answer.text
        page = answer.json()
        items = next(page[name] for name in ITEMS if name in page)
        found += [json.dumps(item, sort_keys=True) for item in items]
        if page["next"] is None:
            return found
        place = f"&{cursor}={quote(str(page['next']), safe='')}"
    raise AssertionError(f"{path} has no end")


@pytest.mark.parametrize("sizes", [(2,), pytest.param((1, 3), marks=pytest.mark.proof)])
def test_each_item_of_a_list_is_on_one_page(segue: Segue, database_url: str, sizes: tuple[int, ...]) -> None:
    names = filled(segue, database_url)
    web = client(segue)
    for operation in LISTS:
        path = operation.template
        for name in operation.parameters:
            chosen = "waiting" if operation.name in ("list_messages", "list_run_events") and name == "run_id" else name
            path = path.replace(f"{{{name}}}", names[chosen])
        assert operation.query is not None
        cursor = next(each for each in CURSORS if each in operation.query.__struct_fields__)
        for query in ("", *OTHERS.get(operation.name, ())):
            whole = walk(web, path, query, cursor, 200)
            assert len(set(whole)) == len(whole), (operation.name, query)
            assert len(whole) >= 3 or operation.name in FEW, (operation.name, query, whole)
            for size in sizes:
                assert walk(web, path, query, cursor, size) == whole, (operation.name, query, size)


FEW = frozenset({"list_ended_workers"})
