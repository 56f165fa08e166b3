"""Real processes behind the pages: a worker is killed, the server stops, the database is away, many pages are open."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from segue import Segue
from segue.web.pages.bulk import CONFIRMED_ABOVE
from segue.web.serve import served_locally
from segue.worker.inline import work_run
from tests.contract.web.asking import add_up, takings
from tests.system.cli_tasks import holding, wait_for
from tests.system.test_cli_processes import spawning

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.servers.postgres import PostgresServer
    from tests.system.web.conftest import NewPage

LIVE = "[data-live-state]"


@contextmanager
def without_problems(browser: Browser) -> Iterator[Page]:
    """A page whose errors fail the test, for a server that the test stops."""
    problems: list[str] = []
    context = browser.new_context()
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    context.close()
    assert problems == []


@pytest.mark.proof
def test_a_killed_worker_is_seen_and_another_goes_on(segue: Segue, browser: Browser, tmp_path: Path) -> None:
    run = segue.start(holding, str(tmp_path), 2)
    with spawning(segue.url) as spawn, without_problems(browser) as page, without_problems(browser) as workers:
        web = spawn("web", "--port", "0")
        assert web.stdout is not None
        found = re.search(rb"http://127\.0\.0\.1:\d+", web.stdout.readline())
        assert found is not None
        site = found[0].decode()
        spawn("scheduler", "--lease-seconds", "2")
        worker = spawn("worker", "-c", "1", "--lease-seconds", "1.5", "--no-chores")
        page.goto(f"{site}/runs/{run.id}")
        wait_for(tmp_path / "begun-0")
        expect(page.locator("[data-swap=head]")).to_contain_text("running", timeout=20_000)
        worker.kill()
        workers.goto(f"{site}/workers")
        expect(workers.locator("main")).to_contain_text(re.compile("silent|lost"), timeout=20_000)
        spawn("worker", "-c", "1", "--no-chores")
        (tmp_path / "go").touch()
        expect(page.locator(".head .status")).to_contain_text("succeeded", timeout=30_000)
        expect(workers.locator("main")).to_contain_text("lost", timeout=20_000)
        page.get_by_role("link", name=re.compile(r"hold")).first.click()
        expect(page.locator("main")).to_contain_text("lost")
        page.goto(f"{site}/runs")
        expect(page.locator(LIVE)).to_have_text("Live")
        web.send_signal(signal.SIGTERM)
        _, said = web.communicate(timeout=30)
        assert b"timeout graceful shutdown exceeded" not in said  # it did not have to end the streams of both pages
        expect(page.locator(LIVE)).to_contain_text("does not answer", timeout=20_000)


def test_nine_pages_are_open_at_once_and_each_hears_of_a_change(segue: Segue, new_page: NewPage) -> None:
    run = segue.start(takings, [1])
    first = new_page()
    pages = [first, *(first.context.new_page() for _ in range(8))]
    for page in pages:
        page.goto(f"/runs/{run.id}")
        expect(page.locator(LIVE)).to_have_text("Live")
    run.pause(reason="see")
    for page in pages:
        expect(page.locator(".head .status")).to_contain_text("paused")


def test_a_list_is_where_it_was_after_a_look_at_a_run(segue: Segue, new_page: NewPage) -> None:
    for number in range(60):
        segue.start(add_up, [number])
    page = new_page()
    page.goto("/runs?status=pending")
    page.evaluate("scrollTo(0, 900)")
    page.locator("[data-rows] tbody tr").nth(30).get_by_role("link").first.click()
    expect(page.locator("h1")).to_have_text("shop.add_up")
    page.go_back()
    expect(page.locator("h1")).to_have_text("Runs")
    assert page.url.endswith("?status=pending")
    assert page.evaluate("scrollY") > 500


def test_fifty_runs_are_cancelled_as_the_preview_said(segue: Segue, new_page: NewPage) -> None:
    cancel_many(segue, new_page(), 50, "50 runs")


@pytest.mark.proof
def test_a_thousand_runs_are_cancelled_as_the_preview_said(segue: Segue, new_page: NewPage) -> None:
    cancel_many(segue, new_page(), 1000, "1,000 runs")


def cancel_many(segue: Segue, page: Page, count: int, said: str) -> None:
    runs = [segue.start(add_up, [number], tags=["much"]) for number in range(count)]
    other = segue.start(add_up, [0])
    page.goto("/runs?tag=much")
    page.get_by_text("or all that match").click()
    page.get_by_role("link", name="Cancel all that match").click()
    expect(page.locator("h1")).to_have_text(f"Cancel {said}?")
    late = segue.start(add_up, [1], tags=["much"])  # not in the preview
    page.get_by_label("reason").fill("too many")
    if count > CONFIRMED_ABOVE:
        page.get_by_label("number of runs").fill(str(count))
    page.get_by_role("button", name=f"Cancel {said}").click()
    expect(page.locator("h1")).to_have_text("segue.bulk")
    [bulk] = segue.runs(workflow="segue.bulk")
    work_run(segue.engine, bulk.id)
    expect(page.locator(".head .status")).to_contain_text("succeeded")
    assert {segue.get(run.id).status.value for run in runs} == {"cancelled"}
    assert {other.status.value, late.status.value} == {"pending"}


@pytest.mark.proof
def test_what_is_open_and_read_stays_as_it_is_through_ten_changes(segue: Segue, new_page: NewPage) -> None:
    run = segue.start(takings, [1])
    page = new_page()
    page.goto(f"/runs/{run.id}")
    page.get_by_text("Not possible now").click()
    page.locator("[data-swap=verbs] summary").focus()
    for number in range(10):
        run.pause(reason=f"look {number}") if number % 2 == 0 else run.resume()
        expect(page.locator(".head .status")).to_contain_text("paused" if number % 2 == 0 else "pending")
        expect(page.locator("#verbs-not-now")).to_have_attribute("open", "")
        expect(page.locator("[data-swap=verbs] summary")).to_be_focused()


@pytest.mark.proof
def test_a_database_that_is_away_is_said_and_comes_back(own_postgres: PostgresServer, browser: Browser) -> None:
    with Segue(own_postgres.url) as segue:
        segue.upgrade()
        segue.start(add_up, [1])
        with served_locally(segue) as site, without_problems(browser) as page, without_problems(browser) as other:
            page.goto(f"{site}runs")
            expect(page.locator(LIVE)).to_have_text("Live")
            own_postgres.stop()
            expect(page.locator(LIVE)).to_contain_text("does not answer", timeout=30_000)
            expect(page.locator("main")).to_contain_text("add_up")  # what was there is still shown
            answer = other.goto(f"{site}runs")
            assert answer is not None
            assert answer.status == 503
            assert "retry-after" in answer.headers
            expect(other.locator("body")).to_contain_text("database")
            own_postgres.start()
            expect(page.locator(LIVE)).to_have_text("Live", timeout=30_000)
            other.reload()
            expect(other.locator("main")).to_contain_text("add_up")
