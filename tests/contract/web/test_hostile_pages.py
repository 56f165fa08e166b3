"""Whatever people and programs write stays text on every page, and secrets are on none."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from segue import Segue
from segue.web import Identity, create_app
from segue.web.operations import OPERATIONS
from segue.web.pages.frame import PAGES
from tests.contract.web.filling import CANARY, ORDINARY, fill, known, paths
from tests.contract.web.hostile import TEXTS, VALUES, inspected

pytestmark = pytest.mark.contract

MOST_BYTES = 150_000


@pytest.fixture
def segue(tmp_path: Path) -> Any:
    """One database is enough: what is asked here does not depend on its kind."""
    with Segue(f"sqlite:///{tmp_path}/segue.db") as found:
        yield found


def client(segue: Segue) -> TestClient:
    app = create_app(segue, identify=lambda request: Identity(TEXTS[0], "admin"))
    return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)


def test_texts_stay_texts_and_secrets_stay_secret_on_every_page(
    segue: Segue, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO)
    texts = TEXTS + tuple(f"value {number} {text}" for number, text in enumerate(VALUES))
    wrong: list[str] = []
    with known(texts) as flows:
        places = paths(segue, fill(segue, flows, texts))
        assert places.keys() == PAGES.keys(), "a page is not looked at here; add it to `paths`"
        web = client(segue)
        for page, paths_of_page in places.items():
            shown = ""
            for path in paths_of_page:
                answer = web.get(path)
                shown += answer.text
                wrong += [f"{path}: {problem}" for problem in problems(page, answer)]
            if page in SHOW_TEXTS and "alert(" not in shown:
                wrong.append(f"{page} does not show the texts")
    assert wrong == [], "\n".join(wrong)
    assert CANARY not in caplog.text


SHOW_TEXTS = (
    "/", "/approvals", "/errors", "/events", "/limits", "/queues", "/runs", "/runs/{run_id}", "/runs/{run_id}/data",
    "/runs/{run_id}/graph", "/runs/{run_id}/timeline", "/runs/{run_id}/steps/{step:name}", "/schedules", "/start",
    "/subscriptions", "/workflows", "/workflows/{name:name}",
)  # fmt: skip
"""Where they must be, or the test would not look at them."""


def problems(page: str, answer: Any) -> list[str]:
    found = [] if answer.status_code in (200, 400) else [f"status {answer.status_code}: {answer.text[:300]}"]
    if CANARY in answer.text:
        place = answer.text.index(CANARY)
        found.append(f"a secret: {answer.text[max(place - 200, 0) : place + 40]}")
    kind = answer.headers["content-type"]
    if page.endswith("/output"):
        assert kind == "text/plain; charset=utf-8"
        assert answer.headers["content-disposition"].startswith("attachment;")
        return found
    if len(answer.content) > MOST_BYTES:
        found.append(f"{len(answer.content):,} bytes")
    assert kind == "text/html; charset=utf-8", kind
    return found + inspected(answer.text).found[:3]


def test_secrets_are_in_no_answer_of_the_api(segue: Segue) -> None:
    with known(ORDINARY) as flows:
        filled = fill(segue, flows, ORDINARY)
        web = client(segue)
        places = [path for paths_of_page in paths(segue, filled).values() for path in paths_of_page]
        seen = [f"{path}{'&' if '?' in path else '?'}format=json" for path in places if not path.startswith("/act")]
        values = {"run_id": filled.failed[0], "step": "0", "attempt": "1", "first": "0", "name": ORDINARY[0]}
        for each in OPERATIONS.values():
            if each.changes or "follow" in each.path or "watch" in each.path:
                continue
            path = each.path
            for name, value in values.items():
                path = path.replace(f"{{{name}}}", value).replace(f"{{{name}:name}}", value)
            seen.append(f"/api/v1{path}")
        answers = {path: web.get(path) for path in seen}
    assert [path for path, answer in answers.items() if CANARY in answer.text] == []
    assert [path for path, answer in answers.items() if answer.status_code >= 500] == []
    assert sum(answer.status_code == 200 for answer in answers.values()) > len(answers) / 2


def test_the_inspection_finds_what_is_not_escaped() -> None:
    for text in (TEXTS[0], TEXTS[1], TEXTS[4]):
        assert inspected(f"<p title=\"{text}\"><i title='{text}'></i>{text}</p>").found
    assert inspected(f'<a href="{TEXTS[2]}">x</a>').found
    assert inspected("\x1b[31m").found
    assert inspected('<p title="&lt;script&gt;">&lt;script&gt;</p>').found == []
