"""The pages about runs and steps: what they show, what they offer, and what they cost."""

from __future__ import annotations

import re
import threading
import time
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from segue import Segue, group, task, wait_for, workflow
from segue.engine.views import groups
from segue.errors import StoreBusyError
from segue.model import RunStatus
from segue.web import kept
from segue.worker.inline import work_run
from tests.contract.web.asking import approved, takings
from tests.contract.web.browsing import counted_statements, elements, hidden_fields, visitor

pytestmark = pytest.mark.contract

HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}"


@task(name="pages.echo")
def echo(value: Any) -> Any:
    return value


@task(name="pages.echo_secret")
def echo_secret(value: Any) -> Any:
    raise ValueError(f"cannot reach {value}")


@workflow(name="pages.wide")
def wide(count: int) -> Any:
    return group(echo.s(number) for number in range(count))


@workflow(name="pages.waiting")
def waiting() -> Any:
    return wait_for("approved")


def failed_run(segue: Segue, **options: Any) -> Any:
    run = segue.start(takings, [1, -2, 3], **options)
    work_run(segue.engine, run.id)
    return run


def test_a_failed_run_says_what_failed_and_what_helps(segue: Segue) -> None:
    run = failed_run(segue, key=HOSTILE, tags=[HOSTILE])
    html = visitor(segue).get(f"/runs/{run.id}").text
    assert "there is no order -2" in html
    assert f'action="/act/runs/{run.id}/retry"' in html
    assert f'action="/act/runs/{run.id}/pause"' not in html  # it has ended
    assert "<b>Pause</b>: it has ended: failed" in html
    assert "<script>alert" not in html


def test_a_part_of_an_id_leads_to_the_run_and_keeps_the_query(segue: Segue) -> None:
    run = failed_run(segue)
    for path in ("", "/graph", "/timeline", "/data", "/activity", "/steps/0", "/steps/a%2Fb", "/steps/a%2Fb/edit"):
        answer = visitor(segue).get(f"/runs/{run.id[-8:]}{path}?x=1")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{run.id}{path}?x=1")


def test_a_number_that_is_too_long_is_the_name_of_no_step(segue: Segue) -> None:
    run = failed_run(segue)
    answer = visitor(segue).get(f"/runs/{run.id}/fork?step={'9' * 5000}")
    assert answer.status_code == 200
    assert "has no step" in answer.text


def test_a_step_shows_its_attempt_its_values_and_its_neighbours(segue: Segue) -> None:
    run = failed_run(segue)
    failed = run.steps(name="price[1]")[0].step
    web = visitor(segue)
    html = web.get(f"/runs/{run.id}/steps/{failed}").text
    assert "there is no order -2" in html
    assert "asking.py" in html  # the frame of the user's code
    assert "order" in html
    assert web.get(f"/runs/{run.id}/steps/price[1]").headers["location"] == f"/runs/{run.id}/steps/{failed}"
    printed = run.steps(name="price[0]")[0].step
    raw = web.get(f"/runs/{run.id}/steps/{printed}/attempts/1/output")
    assert (raw.text, raw.headers["content-type"]) == ("priced 1\n", "text/plain; charset=utf-8")
    assert "attachment" in raw.headers["content-disposition"]
    assert web.get(f"/runs/{run.id}/steps/{printed}/attempts/7/output").status_code == 404


def test_secrets_are_on_no_page(segue: Segue) -> None:
    run = segue.start(approved, 3.0, token="hunter2-canary", metadata={"password": "hunter2-canary"})
    run.send("approved")
    work_run(segue.engine, run.id)
    step = run.steps(name="pay")[0].step
    web = visitor(segue)
    paths = [
        "/", "/runs", f"/runs/{run.id}", f"/runs/{run.id}/data", f"/runs/{run.id}/steps/{step}",
        f"/runs/{run.id}/activity", f"/start?from={run.id}", f"/runs/{run.id}/fork?step={step}",
        f"/runs/{run.id}/steps/{step}/edit", "/bulk?verb=retry&all=1", f"/compare?a={run.id}&b={run.id}&all=1",
    ]  # fmt: skip
    for path in paths:
        for url in (path, f"{path}{'&' if '?' in path else '?'}format=json"):
            answer = web.get(url)
            assert answer.status_code == 200, (url, answer.text)
            assert "hunter2-canary" not in answer.text, url


def test_secrets_in_errors_are_on_no_page_of_a_run(segue: Segue) -> None:
    run = segue.start(echo_secret, 1)
    run.step(0).edit("postgresql://app:hunter2-canary@db/shop")
    work_run(segue.engine, run.id)
    web = visitor(segue)
    for path in ("", "?status=failed", "/groups/0", "/steps/0", "/timeline", "/activity"):
        for url in (path, f"{path}{'&' if '?' in path else '?'}format=json"):
            answer = web.get(f"/runs/{run.id}{url}")
            assert answer.status_code == 200, (url, answer.text)
            assert "hunter2-canary" not in answer.text, url


def test_long_values_are_cut_and_their_beginning_is_masked(segue: Segue) -> None:
    given = [
        {"id": number, "password": "hunter2-canary", "url": "https://u:hunter2-canary@x/"} for number in range(4000)
    ]
    run = segue.start(echo, given)
    work_run(segue.engine, run.id)
    web = visitor(segue)
    size = f"({len(str(msgspec.json.encode(given), 'ascii')):,} characters)"
    step = web.get(f"/runs/{run.id}/steps/0?format=json").json()["step"]
    assert step["result"].startswith('[{"id":0,"password":"***","url":"https://u:***@x/"},{"id":1,')
    assert step["result"].endswith(f"… {size}")
    assert len(step["result"]) > 100_000
    for path in ("/steps/0", "/data"):
        assert "hunter2-canary" not in web.get(f"/runs/{run.id}{path}").text


@pytest.mark.parametrize(
    "path", ["/runs?q=worfklow:x", "/runs?status=broken", "/runs?colour=red", "/runs?newer_than=x"]
)
def test_a_search_that_is_wrong_is_said_beside_the_box(segue: Segue, path: str) -> None:
    answer = visitor(segue).get(path)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert 'aria-invalid="true"' in answer.text


def test_what_is_typed_becomes_the_query_and_chips_take_it_away(segue: Segue) -> None:
    failed_run(segue, tags=["eu"])
    segue.start(echo, 1)
    web = visitor(segue)
    answer = web.get("/runs", params={"q": "status:failed workflow:shop.takings eu"})
    location = answer.headers["location"]
    assert parse_qs(urlsplit(location).query) == {"status": ["failed"], "workflow": ["shop.takings"], "tag": ["eu"]}
    html = web.get(location).text
    assert html.count("data-open") == 1
    assert 'href="/runs?workflow=shop.takings&amp;tag=eu"' in html  # without the status


def test_pages_of_the_list_have_each_run_once(segue: Segue) -> None:
    started = {segue.start(echo, number).id for number in range(55)}
    web = visitor(segue)
    seen: list[str] = []
    path: str | None = "/runs?workflow=pages.echo"
    while path:
        html = web.get(path).text
        seen += re.findall(r'href="/runs/([0-9a-f-]{36})" data-open', html)
        found = re.search(r'rel="next" href="([^"]*)"', html)
        path = found[1].replace("&amp;", "&") if found else None
    assert len(seen) == len(set(seen)) == 55
    assert set(seen) == started


def test_a_viewer_is_offered_nothing_and_may_do_nothing(segue: Segue) -> None:
    run = failed_run(segue)
    web = visitor(segue, "viewer")
    for path in ("/runs", f"/runs/{run.id}", f"/runs/{run.id}/steps/0"):
        assert "/act/" not in web.get(path).text
    for path in ("/start", "/bulk?verb=cancel&all=1", f"/runs/{run.id}/fork", f"/runs/{run.id}/steps/0/edit"):
        assert web.get(path).status_code == 403


def test_a_form_with_a_field_for_each_argument_starts_a_run(segue: Segue) -> None:
    segue.publish_definitions()
    web = visitor(segue)
    assert "shop.price" in web.get("/start").text
    html = web.get("/start?name=shop.price").text
    fields = hidden_fields(html, "/act/runs")
    assert 'name="kwargs:json:order"' in html
    done = web.post("/act/runs", data=fields | {"kwargs:json:order": "4", "kwargs:json:factor": "2", "tags": "a\nb"})
    run = segue.get(done.headers["location"].removeprefix("/runs/"))
    assert set(run.info().tags) == {"a", "b"}
    work_run(segue.engine, run.id)
    assert run.result() == 8.0


def test_a_form_that_is_refused_comes_back_with_what_was_filled_in(segue: Segue) -> None:
    segue.publish_definitions()
    web = visitor(segue)
    fields = hidden_fields(web.get("/start?name=shop.price").text, "/act/runs")
    refused = web.post("/act/runs", data=fields | {"kwargs:json:order": "four", "kwargs:text:password": "s3cret"})
    assert refused.status_code == 303
    html = web.get(refused.headers["location"]).text
    assert "order is not valid JSON" in html
    assert 'value="four"' in html
    assert "s3cret" not in refused.headers["location"]
    assert segue.runs() == []


def test_a_run_is_forked_with_new_arguments_and_a_step_edited(segue: Segue) -> None:
    run = failed_run(segue)
    step = run.steps(name="price[1]")[0].step
    web = visitor(segue)
    edit = f"/act/runs/{run.id}/steps/{step}/edit"
    fields = hidden_fields(web.get(f"/runs/{run.id}/steps/{step}/edit").text, edit)
    assert web.post(edit, data=fields | {"kwargs:json:factor": "10", "reason": "too small"}).status_code == 303
    assert run.step(step).info().arguments == [[-2], {"factor": 10}]
    simple = segue.start(echo, "a")
    work_run(segue.engine, simple.id)
    html = web.get(f"/runs/{simple.id}/fork?step=0").text
    fork = f"/act/runs/{simple.id}/fork"
    done = web.post(fork, data=hidden_fields(html, fork) | {"kwargs:json:value": '"b"'})
    other = segue.get(done.headers["location"].removeprefix("/runs/"))
    assert other.info().forked_from == simple.id
    compared = web.get(f"/compare?a={simple.id}&b={other.id}").text
    assert "Compare two runs" in compared


def test_a_preview_changes_nothing_and_its_form_does_what_was_seen(segue: Segue) -> None:
    runs = [failed_run(segue) for _ in range(3)]
    web = visitor(segue)
    html = web.get("/bulk?verb=retry&all=1&status=failed&newer_than=1h").text
    assert "Retry 3 runs" in html
    assert {run.status.value for run in runs} == {"failed"}
    later = failed_run(segue)
    fields = hidden_fields(html, "/act/selections/apply")
    assert "newer_than" not in fields  # an age would mean another time when it is sent
    assert "since" in fields
    done = web.post("/act/selections/apply", data=fields | {"reason": "mended"})
    bulk = segue.get(done.headers["location"].removeprefix("/runs/"))
    assert bulk.info().workflow == "segue.bulk"
    work_run(segue.engine, bulk.id)
    assert bulk.result()["changed"] == 3
    assert later.status.value == "failed"
    events = segue.events.list(runs[0].id, kinds=["run.retried"])
    assert [(event.detail["actor"], event.detail["reason"]) for event in events] == [("ann", "mended")]


def test_selected_runs_are_the_only_ones(segue: Segue) -> None:
    one, two = segue.start(waiting), segue.start(waiting)
    web = visitor(segue)
    html = web.get(f"/bulk?verb=cancel&ids={one.id}").text
    assert "Cancel 1 run" in html
    fields = hidden_fields(html, "/act/selections/apply")
    done = web.post("/act/selections/apply", data=fields | {"ids": one.id})
    work_run(segue.engine, done.headers["location"].removeprefix("/runs/"))
    assert one.status.value == "cancelled"
    assert two.status.value != "cancelled"
    assert web.get("/bulk?verb=cancel").status_code == 400
    assert web.get("/bulk?verb=explode&all=1").status_code == 400
    assert web.get("/bulk?verb=cancel&ids=not-an-id").status_code == 400


def test_search_jumps_to_the_only_thing_that_is_meant(segue: Segue) -> None:
    run = segue.start(echo, 1, key="order-7", tags=["blue"])
    web = visitor(segue)
    for wanted in (run.id, run.id[-8:], "order-7", run.id.upper()):
        assert web.get("/search", params={"q": wanted}).headers["location"] == f"/runs/{run.id}", wanted
    assert web.get("/search", params={"q": "blue"}).headers["location"] == "/runs?tag=blue"
    assert web.get("/search", params={"q": "status:failed"}).headers["location"] == "/runs?status=failed"
    assert web.get("/search", params={"q": "pages.ec"}).headers["location"] == "/workflows/pages.echo"
    for odd in ("nothing", HOSTILE, "\x00", "a" * 3000, "%", "..", "\u202e", "dead", "🙈"):
        answer = web.get("/search", params={"q": odd})
        assert answer.status_code in (200, 400), odd
        assert "<script>alert" not in answer.text


def test_the_first_page_says_what_needs_a_person(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    web = visitor(segue)
    assert "Nothing needs you" in web.get("/").text
    failed = failed_run(segue)
    waits = segue.start(waiting)
    segue.start(echo, 1)
    monkeypatch.setattr(kept, "KEPT_SECONDS", 0.0)
    found = web.get("/?format=json").json()
    assert [run["id"] for run in found["failed"]] == [failed.id]
    assert [wait["run"] for wait in found["approvals"]] == [waits.id]
    html = web.get("/").text
    assert "1 run failed in 24 h" in html
    assert "1 approval" in html
    assert "/bulk?verb=retry&amp;all=1&amp;failed_since=24h" in html


def test_one_look_serves_everybody_for_a_moment(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "KEPT_SECONDS", 60.0)
    web = visitor(segue)
    web.get("/")
    with counted_statements(monkeypatch) as found:
        web.get("/")
    assert found == []


def test_open_groups_and_filters_are_in_the_url(segue: Segue) -> None:
    run = segue.start(wide, 200)
    web = visitor(segue)
    html = web.get(f"/runs/{run.id}").text
    found = re.search(r'href="(/runs/[^"]*open=\d+)"', html)
    assert found is not None
    opened = web.get(found[1].replace("&amp;", "&")).text
    assert "echo[7]" in opened
    assert "echo[150]" not in opened
    assert 'aria-expanded="true"' in opened
    more = re.search(r'href="(/runs/[^"]*/groups/\d+\?after=\d+)"', opened)
    assert more is not None
    assert "echo[150]" in web.get(more[1]).text
    assert web.get(f"/runs/{run.id}?find=echo[7]").status_code == 303
    assert "has no step" in web.get(f"/runs/{run.id}?find=nothing").text
    for odd in ("?open=x&open=-1&open=99999999999", "?status=odd", "?from=-1", "?after=9"):
        assert web.get(f"/runs/{run.id}{odd}").status_code == 200
    assert web.get(f"/runs/{run.id}?find=%00").status_code in (200, 400)


MOST_STATEMENTS = {
    "/": 25, "/runs": 5, "": 3, "/data": 3, "/activity": 3, "/graph": 2, "/timeline": 3, "/steps/0": 5,
}  # fmt: skip


def test_pages_cost_few_statements(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    run = failed_run(segue)
    for _ in range(20):
        segue.start(waiting)
    web = visitor(segue)
    web.get("/limits")  # what is kept for some seconds is read once
    web.get("/runs")
    for path, most in MOST_STATEMENTS.items():
        url = path if path in ("/", "/runs") else f"/runs/{run.id}{path}"
        with counted_statements(monkeypatch) as found:
            assert web.get(url).status_code == 200
        assert len(found) <= most, (url, found)


def test_a_large_run_comes_before_its_steps_are_counted(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says so, and asks again; what was seen meanwhile serves it."""
    run = segue.start(wide, 30)
    web = visitor(segue)
    may_read = threading.Event()
    read = groups.groups_of_run

    def slow(tx: Any, run_id: str) -> Any:
        assert may_read.wait(10)
        return read(tx, run_id)

    monkeypatch.setattr("segue.web.pages.run_head.groups_of_run", slow)
    monkeypatch.setattr(kept, "FEW_STEPS", 20)
    html = web.get(f"/runs/{run.id}").text
    assert "counting 30 steps" in html
    assert '<noscript><meta http-equiv="refresh"' in html
    assert "echo[*]" not in html
    assert "its steps are being counted" in html  # why nothing can be retried
    may_read.set()
    deadline = time.monotonic() + 10
    while "data-soon" in html and time.monotonic() < deadline:
        html = web.get(f"/runs/{run.id}").text
    assert "<b>0</b> of 30 steps" in html
    assert "echo[*]" in html
    monkeypatch.setattr(kept, "MOMENT", 10.0)
    for path in ("/graph", "/timeline", "/data"):
        assert "data-soon" not in web.get(f"/runs/{run.id}{path}").text


def test_programs_wait_until_a_large_run_is_counted(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    run = segue.start(wide, 30)
    monkeypatch.setattr(kept, "FEW_STEPS", 20)
    monkeypatch.setattr(kept, "MOMENT", 0.0)
    found = visitor(segue).get(f"/runs/{run.id}?format=json").json()
    assert [group["count"] for group in found["groups"]] == [30]


def test_a_look_that_failed_is_said_once_and_repeated(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    run = segue.start(wide, 30)
    web = visitor(segue)
    monkeypatch.setattr(kept, "FEW_STEPS", 20)
    monkeypatch.setattr(kept, "MOMENT", 10.0)
    with monkeypatch.context() as broken:
        broken.setattr("segue.web.pages.run_head.groups_of_run", lambda tx, run_id: busy())
        assert web.get(f"/runs/{run.id}").status_code == 503
    seen = [web.get(f"/runs/{run.id}").status_code for _ in range(2)]
    assert seen[-1] == 200


def test_a_run_that_grows_is_not_read_at_each_look(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOMENT", 10.0)
    info = segue.start(wide, 30).info()
    view: Any = SimpleNamespace(call=SimpleNamespace(segue=segue), said=None, is_json=False)
    looks: list[int] = []
    for steps in (5000, 5001, 5002):
        grown = msgspec.structs.replace(info, steps=steps)
        assert kept.soon_of_run(view, grown, "looks", lambda: [*looks, looks.append(1)]) == [None]
    assert len(looks) == 1
    ended = msgspec.structs.replace(info, steps=5002, status=RunStatus.SUCCEEDED)
    assert kept.seen_of_run(view, ended, "looks") is None


def busy() -> Any:
    raise StoreBusyError("it takes too long")


def test_a_run_of_many_steps_is_a_small_page(segue: Segue) -> None:
    run = segue.start(wide, 1000)
    web = visitor(segue)
    html = web.get(f"/runs/{run.id}").text
    first = re.search(r"open=(\d+)", html)
    assert first is not None
    paths = [
        "",
        f"?open={first[1]}",
        "?status=ready",
        f"/groups/{first[1]}",
        "/graph",
        "/timeline",
        "/data",
        "/steps/5",
    ]
    for path in paths:
        html = web.get(f"/runs/{run.id}{path}").text
        assert len(html.encode()) <= 150_000, path
        assert elements(html) <= 3000, path
