"""The pages for operators, on both databases: what they show, what their forms do, and what they cost."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import markupsafe
import pytest
from starlette.testclient import TestClient

from segue import Segue, task
from segue.web import troubles
from segue.web.pages.frame import PAGES
from segue.worker.inline import work_run
from tests.contract.web.asking import approved, client, price, takings

pytestmark = pytest.mark.contract

ODD = "шоп/50% <b>\"'& ..مرحبا 😀"
MOST_BYTES, MOST_ELEMENTS = 150_000, 3000

LISTS = (
    "/workflows", "/errors", "/approvals", "/schedules", "/queues", "/workers", "/limits", "/events", "/audit",
    "/subscriptions", "/settings", "/admin", "/admin/access", "/admin/retention", "/executors",
)  # fmt: skip
MOST_STATEMENTS = 6


@task(name=ODD, queue="net/eu 50%")
def odd(x: str) -> None: ...


def pages(segue: Segue, role: str = "admin") -> TestClient:
    found = client(segue, role)
    found.base_url = "http://localhost"  # type: ignore[assignment]
    return found


def named(name: str) -> str:
    return quote(name, safe="")


def shown(web: TestClient, path: str, status: int = 200) -> str:
    answer = web.get(path)
    assert answer.status_code == status, (path, answer.text[:500])
    assert len(answer.content) <= MOST_BYTES, path
    assert answer.text.count("<") <= 2 * MOST_ELEMENTS, path
    return answer.text


def sent(web: TestClient, path: str, **fields: Any) -> str:
    """Send a form, and what the next page says about it."""
    body = urlencode(fields, doseq=True)
    answer = web.post(path, content=body, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 303, answer.text
    after = web.get(answer.headers["location"])
    assert after.status_code == 200, after.text
    found = re.search(r'class="said[^>]*>(.*?)</div>', after.text, re.S)
    assert found is not None, after.text[:2000]
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", found[1])).split())


@contextmanager
def counted(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the statements that are executed meanwhile; those that go out together count as one."""
    found: list[str] = []
    with segue.engine.reading() as tx:
        kind = type(tx)
    whole, later = kind.all, kind.later

    def all_(self: Any, statement: str, **parameters: Any) -> Any:
        found.append(statement)
        return whole(self, statement, **parameters)

    def later_(self: Any, statement: str, **parameters: Any) -> Any:
        if statement not in found:
            found.append(statement)
        return later(self, statement, **parameters)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "all", all_)
        patch.setattr(kind, "later", later_)
        yield found


def test_every_list_is_there_when_nothing_is(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(troubles, "KEPT_SECONDS", 1e9)  # however slow the machine is
    web = pages(segue)
    shown(web, "/settings")
    for path in LISTS:
        with counted(segue, monkeypatch) as statements:
            text = shown(web, path)
        assert len(statements) <= MOST_STATEMENTS, (path, statements)
        assert "<h1>" in text
        assert web.get(f"{path}?format=json").headers["content-type"] == "application/json"


def test_every_list_shows_what_is_there_and_odd_names_stay_text(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    run = segue.start(takings, [1, -2], key=ODD, tags=[ODD])
    work_run(segue.engine, run.id)
    segue.start(odd, ODD, key=ODD)
    segue.start(approved, 3.5, key=ODD)
    segue.schedules.create(ODD, odd, ODD, schedule="30 2 * * *", timezone="Europe/Paris", tags=[ODD])
    segue.limits.set("queue:net/eu 50%", concurrency=0)
    segue.limits.weight(ODD, 3)
    segue.subscriptions.add(ODD, events=["run.failed"], to="https://example.org/hook?token=canary-7")
    segue.retention.set(ODD, max_age=timedelta(days=2))
    segue.access.create_token(ODD)
    segue.access.record("cancel_run", ok=False, actor=ODD, target=ODD, reason=ODD)
    run.retry(actor=ODD, reason=ODD)
    [group] = segue.failures.groups().groups
    monkeypatch.setattr(troubles, "KEPT_SECONDS", 1e9)
    web = pages(segue)
    shown(web, "/settings")
    one = [
        f"/errors/{group.fingerprint}", f"/workflows/{named(ODD)}", "/workflows/shop.takings",
        f"/schedules/{named(ODD)}",
        f"/schedules/{named(ODD)}/edit", f"/schedules/{named(ODD)}/backfill", f"/queues/{named('net/eu 50%')}",
        f"/limits/{named('queue:net/eu 50%')}", f"/limits/{named(ODD)}", "/new/schedule",
    ]  # fmt: skip
    for path in (*LISTS, *one):
        with counted(segue, monkeypatch) as statements:
            text = shown(web, path)
        assert len(statements) <= MOST_STATEMENTS, (path, statements)
        assert '<b>"' not in text
        assert "canary-7" not in text, path
    assert str(markupsafe.escape(ODD)) in shown(web, "/schedules")
    assert "there is no order -2" in shown(web, f"/errors/{group.fingerprint}")
    assert "closed" in shown(web, "/limits")


def test_what_does_not_exist_is_not_found(segue: Segue) -> None:
    web = pages(segue)
    for path in (
        "/workflows/no.such", "/workflows/%1F", "/errors/0123456789abcdef", "/schedules/none", "/schedules/%1Fx",
        "/schedules/none/edit", "/schedules/none/backfill", "/queues/none",
        "/workers/01a00000-0000-7000-8000-000000000000", "/workers/x",
    ):  # fmt: skip
        assert web.get(path).status_code == 404, path
    assert pages(segue, "viewer").get("/limits/none").status_code == 404
    for path in ("/errors?newer_than=x", "/events?before=x", "/workers?ended=x", "/approvals?limit=x"):
        assert web.get(path).status_code == 400, path


def test_a_viewer_reads_and_is_offered_nothing(segue: Segue) -> None:
    segue.start(approved, 3.5)
    segue.schedules.create("daily", price, 1, schedule="@daily")
    segue.limits.set("queue:net", concurrency=3)
    web = pages(segue, "viewer")
    for path in (*LISTS[:8], "/schedules/daily", "/limits/queue%3Anet"):
        if path == "/audit":
            continue
        assert 'method="post"' not in shown(web, path), path
        assert "/act/" not in shown(web, path), path
    for path, entry in PAGES.items():
        if "{" not in path and entry.role.word == "admin":
            assert web.get(path).status_code == 403, path
    assert pages(segue, "operator").get("/schedules/daily/edit").status_code == 403


def answer_form(text: str, word: str) -> tuple[str, dict[str, str]]:
    """The form of an answer on the page of approvals."""
    for form in re.findall(r"<form.*?</form>", text, re.S):
        if f">{word}<" in form:
            action = re.search(r'action="([^"]+)"', form)
            assert action is not None
            fields = re.findall(r'name="(\w+)" value="([^"]*)"', form)
            return html.unescape(action[1]), {name: html.unescape(value) for name, value in fields}
    raise AssertionError(f"no form says {word}")


def test_an_answer_counts_once_and_the_first_one_decides(segue: Segue) -> None:
    run = segue.start(approved, 3.5, token="canary-7")
    web = pages(segue, "operator")
    text = shown(web, "/approvals")
    assert "canary-7" not in text
    assert "3.5" in text
    path, fields = answer_form(text, "Approve")
    _, others = answer_form(text, "Reject")
    assert "approved" in sent(web, path, **fields)
    assert "before" in sent(web, path, **fields)
    assert "before" in sent(web, path, **others)
    assert len(segue.events.list(run.id, kinds=["run.sent"])) == 1
    assert "Nothing waits" in shown(web, "/approvals")


def test_a_schedule_is_previewed_before_it_is_saved(segue: Segue) -> None:
    segue.schedules.create("daily", price, 1, schedule="@daily", tags=["eu"])
    web = pages(segue)
    path = "/schedules/daily/edit"
    assert 'value="0 0 * * *"' in shown(web, path)
    values = {"schedule": "30 2 * * *", "timezone": "Europe/Paris", "ends_at": "2199-01-01T10:00", "tags": ""}
    text = shown(web, f"{path}?{urlencode(values)}")
    assert "moved: clocks are put forward" in text
    assert segue.schedules.get("daily").expression == "0 0 * * *"
    form = re.search(r"<form method=\"post\".*?</form>", text, re.S)
    assert form is not None
    fields = {name: html.unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', form[0])}
    sent(web, "/act/schedules/daily/patch", **fields, reason="later")
    saved = segue.schedules.get("daily")
    assert (saved.expression, saved.timezone, saved.tags, saved.starts_at) == ("30 2 * * *", "Europe/Paris", (), None)
    assert saved.ends_at is not None
    assert saved.ends_at.isoformat() == "2199-01-01T09:00:00+00:00"
    only = shown(web, f"{path}?schedule=@hourly")
    assert '<input type="hidden" name="timezone" value="Europe/Paris">' in only
    assert '<input type="hidden" name="ends_at" value="2199-01-01T09:00:00+00:00">' in only
    for wrong in (
        "schedule=1--100000000+*+*+*+*", "schedule=nope", f"schedule={'1,' * 200}", "schedule=@daily&timezone=Mars",
        "schedule=@daily&jitter=x", "schedule=@daily&ends_at=2001-01-01", "schedule=@daily&starts_at=0001-01-01",
    ):  # fmt: skip
        text = shown(web, f"{path}?{wrong}", 400)
        assert 'role="alert"' in text, wrong
        assert 'method="post"' not in text.partition("<main")[2].partition("</main>")[0], wrong


def test_a_schedule_is_made_and_removed(segue: Segue) -> None:
    web = pages(segue)
    values = {"name": ODD, "work": "shop.price", "kwargs": '{"order": 2}', "schedule": "every 15 minutes"}
    text = shown(web, f"/new/schedule?{urlencode(values)}")
    assert "Create" in text
    assert "Every 15 minutes" in text
    assert "has not imported" in shown(web, "/new/schedule?name=a&work=no.such&schedule=@daily")
    sent(web, "/act/schedules", next="/schedules", active="false", timezone="UTC", **values)
    made = segue.schedules.get(ODD)
    assert (made.arguments, made.is_active) == ([[], {"order": 2}], False)
    sent(web, f"/act/schedules/{named(ODD)}/delete", next="/schedules")
    assert segue.schedules.list() == []


def test_a_backfill_is_previewed_before_it_starts_anything(segue: Segue) -> None:
    segue.schedules.create("daily", price, 1, schedule="@daily", overlap="allow")
    web = pages(segue, "operator")
    path = "/schedules/daily/backfill"
    text = shown(web, f"{path}?since=2026-01-01T00:00&until=2026-01-05T00:00")
    assert "Start 5 runs" in text
    assert segue.runs() == []
    period = {"since": "2026-01-01T00:00:00+00:00", "until": "2026-01-05T00:00:00+00:00"}
    sent(web, f"/act{path}", reason="lost", next=path, **period)
    assert len(segue.schedules.ticks("daily")) == 5
    assert "No tick of this period would start" in shown(web, f"{path}?since=2026-01-01T00:00&until=2026-01-05T00:00")
    for wrong in ("since=x&until=y", "since=2026-01-05&until=2026-01-01T00:00", "since=1900-01-01&until=9999-12-31"):
        assert web.get(f"{path}?{wrong}").status_code in (200, 400)
        assert "Start " not in web.get(f"{path}?{wrong}").text.partition("<main")[2].partition("<footer")[0], wrong


def test_a_limit_is_set_closed_and_removed(segue: Segue) -> None:
    web = pages(segue)
    name = "queue:net/eu"
    path = f"/limits/{named(name)}"
    assert web.get(f"/new/limit?name={named(name)}").headers["location"] == path
    assert "There is no limit of this name yet" in shown(web, path)
    sent(web, f"/act{path}/put", next=path, concurrency="3", rate="100/min")
    assert 'value="100/min"' in shown(web, path)
    sent(web, f"/act{path}/put", next=path, concurrency="0")
    assert segue.limits.list()[0].concurrency == 0
    assert "is closed" in sent(web, f"/act{path}/put", next=path, concurrency="0", said=f"{name} is closed.")
    assert "cannot have" in sent(web, f"/act{path}/put", next=path, concurrency="2000000")
    sent(web, f"/act{path}/delete", next="/limits")
    assert segue.limits.list() == []


def test_a_limit_names_its_holders(segue: Segue) -> None:
    @task(name="held.sleepy", concurrency=1)
    def sleepy() -> None:
        text = shown(web, "/limits/task%3Aheld.sleepy")
        seen.append(segue.get(run.id).id[-8:] in text and "Who holds places" in text)
        seen.append("sleepy" in shown(web, "/queues/default"))
        [worker] = [each for each in segue.workers() if "held.sleepy" in each.tasks]
        seen.append("sleepy" in shown(web, f"/workers/{worker.id}"))

    seen: list[bool] = []
    web = pages(segue)
    run = segue.start(sleepy)
    work_run(segue.engine, run.id)
    assert run.status == "succeeded", run.info().error
    assert seen == [True, True, True]


def test_a_subscription_is_made_and_tested(segue: Segue) -> None:
    web = pages(segue)
    given = {"name": "ops", "events": "run.*\nstep.failed", "to": "https://example.org/hook?token=canary-7"}
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = web.post("/new/subscription", content=urlencode(given), headers=form)
    assert "run.failed" in answer.text
    for wrong in ("name=a&events=no.such&to=https://a", "name=a&events=run.*&to=nothing", "events=run.*&to=https://a"):
        assert web.post("/new/subscription", content=wrong, headers=form).status_code == 400
    assert pages(segue, "operator").post("/new/subscription", content=wrong, headers=form).status_code == 403
    del given["name"]
    sent(web, "/act/subscriptions/ops/put", next="/subscriptions", **given)
    [made] = segue.subscriptions.list()
    assert made.events == ("run.*", "step.failed")
    sent(web, "/act/subscriptions/ops/test", next="/subscriptions")
    sent(web, "/act/subscriptions/ops/deactivate", next="/subscriptions")
    sent(web, "/act/subscriptions/ops/test", next="/subscriptions")
    runs = segue.runs(workflow="segue.notification")
    assert len(runs) == 2
    assert runs[0].id in shown(web, "/subscriptions")
    assert web.post("/act/subscriptions/none/test").status_code in (303, 404)
    assert len(segue.runs()) == 2


def test_a_new_token_is_shown_once(segue: Segue) -> None:
    web = pages(segue)
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = web.post("/act/tokens", content="name=deploy&role=operator&expires_days=9", headers=form)
    found = re.search(r"segue_\w{49}", answer.text)
    assert found is not None
    assert segue.access.token(found[0]) is not None
    assert "set-cookie" not in answer.headers
    assert found[0] not in shown(web, "/admin/access")
    assert pages(segue, "operator").post("/act/tokens", content="name=x", headers=form).status_code == 403
    assert len(segue.access.tokens()) == 1


def test_preferences_are_kept_by_the_browser(segue: Segue) -> None:
    web = pages(segue)
    said = sent(web, "/settings", zone="Australia/Lord_Howe", theme="dark", density="compact", keys="off")
    assert said == "✓ Times are shown in Australia/Lord_Howe."
    text = shown(web, "/settings")
    assert 'data-theme="dark"' in text
    assert 'data-density="compact"' in text
    assert "unknown" in sent(web, "/settings", zone="Mars/Olympus", theme="<b>", density="", keys="")
    text = shown(web, "/settings")
    assert "data-theme" not in text.partition("<body")[0]
    assert "Australia/Lord_Howe" in text


def test_workers_that_ended_are_remembered(segue: Segue) -> None:
    run = segue.start(price, 1)
    work_run(segue.engine, run.id)
    text = shown(pages(segue), "/workers")
    [worker] = segue.ended_workers()
    assert worker.id in text
    assert "stopped" in shown(pages(segue), f"/workers/{worker.id}")
    assert worker.id not in shown(pages(segue), "/workers?ended=lost")
