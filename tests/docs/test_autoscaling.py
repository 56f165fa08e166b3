"""The manifests of autoscaling are manifests, and what they ask PostgreSQL has the right answer."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from segue import Segue, chain, task
from tests.docs.pages import DOCS, blocks

PAGE = DOCS / "autoscaling.md"
yaml = pytest.importorskip("yaml")


@task(name="shop.pack")
def pack(item: str) -> str:
    return item


def manifests() -> list[dict[str, Any]]:
    return [found for block in blocks(PAGE, "yaml") for found in yaml.safe_load_all(block.text)]


def questions() -> list[str]:
    asked = [each for found in manifests() for each in found["spec"].get("triggers", ())]
    return [block.text for block in blocks(PAGE, "sql")] + [each["metadata"]["query"] for each in asked]


def test_manifests_are_whole() -> None:
    found = {manifest["kind"]: manifest for manifest in manifests()}
    assert set(found) == {"TriggerAuthentication", "ScaledObject", "Deployment", "ScaledJob"}
    assert all(manifest["apiVersion"] and manifest["metadata"]["name"] for manifest in found.values())
    assert found["ScaledObject"]["spec"]["scaleTargetRef"]["name"] == found["Deployment"]["metadata"]["name"]
    assert len(questions()) == 3


def test_the_question_counts_what_waits_for_workers_and_what_they_run(postgres_url: str) -> None:
    with Segue(postgres_url) as segue, psycopg.connect(postgres_url, autocommit=True) as connection:
        for queue in ("default", "long"):
            placed = pack.options(queue=queue)
            segue.start(chain(placed.s("a"), placed.s()))  # one is ready, the other waits for it
            segue.start(placed.s("b"))
            segue.start(placed.s("c")).pause()
        answers = [connection.execute(question.encode()).fetchone() for question in questions()]
        assert answers == [(2,)] * 3
        # as if a worker had them
        connection.execute(
            "UPDATE segue_steps SET status = 'running', worker_id = run_id WHERE status = 'ready' AND gate IS NULL"
        )
        assert [connection.execute(question.encode()).fetchone() for question in questions()] == [(2,)] * 3
        connection.execute("UPDATE segue_steps SET status = 'succeeded' WHERE status = 'running'")
        assert [connection.execute(question.encode()).fetchone() for question in questions()] == [(0,)] * 3
