"""A step beside its run: opened by a click, closed by a key, and where the address and the focus are meanwhile."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from segue import Segue, task
from segue.worker.inline import work_run
from tests.contract.web.asking import takings
from tests.contract.web.hostile import TEXTS
from tests.system.web.accessible import violations
from tests.system.web.test_all_pages import places_of, problems

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.system.web.conftest import NewPage

WIDE = {"width": 1400, "height": 900}
PHONE = {"width": 390, "height": 844}
FAILED = "#beside >> text=there is no order -2"


@task(name="beside.step")
def step(number: int) -> int:
    return number


def failed_run(segue: Segue) -> Any:
    run = segue.start(takings, [1, -2])
    work_run(segue.engine, run.id)
    return run


def panel_of(page: Page) -> Locator:
    return page.get_by_role("complementary", name=re.compile("^Step"))


def test_a_step_is_opened_and_closed_beside_its_run(segue: Segue, new_page: NewPage) -> None:
    run = failed_run(segue)
    page = new_page(viewport=WIDE)
    page.goto(f"/runs/{run.id}")
    link = page.locator("main").get_by_role("link", name="price[1]").first
    link.click()
    panel = panel_of(page)
    expect(panel).to_be_focused()
    expect(panel.get_by_role("heading", name="price[1]")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/runs/[^/]+\?step=1$"))
    expect(link).to_have_attribute("aria-current", "true")
    expect(page.locator("h1")).to_have_text("shop.takings")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(link).to_be_focused()
    expect(page).to_have_url(re.compile(f"/runs/{run.id}$"))
    page.keyboard.press("Enter")
    expect(panel).to_be_visible()
    page.keyboard.press("Tab")
    expect(panel.get_by_role("link", name="Open as a page")).to_be_focused()
    panel.get_by_role("link", name="add_up").click()  # a step after it
    expect(panel.get_by_role("heading", name="add_up", exact=True)).to_be_visible()
    page.go_back()
    expect(panel).to_be_hidden()
    page.go_forward()
    expect(panel.get_by_role("heading", name="add_up", exact=True)).to_be_visible()
    page.reload()
    expect(panel.get_by_role("heading", name="add_up", exact=True)).to_be_visible()
    panel.get_by_role("button", name="Close").click()
    expect(panel).to_be_hidden()
    with page.context.expect_page() as opened:
        link.click(modifiers=["ControlOrMeta"])
    expect(opened.value.locator("h1")).to_have_text("price[1]")
    expect(panel).to_be_hidden()


def test_changes_of_the_run_leave_the_step_open_and_show_how_it_goes_on(segue: Segue, new_page: NewPage) -> None:
    run = segue.start(takings, [1, 2])
    page = new_page(viewport=WIDE)
    page.goto(f"/runs/{run.id}")
    page.locator("main").get_by_role("link", name="add_up").first.click()
    panel = panel_of(page)
    expect(panel.locator(".head .status")).to_contain_text("blocked")
    panel.get_by_text("Not possible now").click()
    run.pause(reason="see")
    expect(page.locator("main .head .status")).to_contain_text("paused", timeout=15_000)
    expect(panel.locator("details.menu")).to_have_attribute("open", "")
    run.resume()
    work_run(segue.engine, run.id)
    expect(panel.locator(".head .status")).to_contain_text("succeeded", timeout=15_000)
    expect(page.locator("main .head .status")).to_contain_text("succeeded", timeout=15_000)
    expect(page.locator("main a[aria-current=true]").first).to_have_text("add_up")


@pytest.mark.proof
def test_what_is_done_beside_the_run_comes_back_to_it(segue: Segue, new_page: NewPage) -> None:
    run = failed_run(segue)
    page = new_page(viewport=WIDE)
    page.goto(f"/runs/{run.id}/timeline")
    page.locator("svg.timeline a").filter(has_text="price[1]").click()
    panel = panel_of(page)
    panel.get_by_role("link", name="Skip…").click()
    page.get_by_label("reason").fill("there is no such order")
    page.get_by_role("button", name="Skip").click()
    expect(page.get_by_text("Done: Skip")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/timeline\?step=1$"))
    expect(panel.locator(".head .status")).to_contain_text("skipped")
    [event] = segue.events.list(run.id, kinds=["step.skipped_by_hand"])
    assert event.detail["reason"] == "there is no such order"


@pytest.mark.proof
def test_in_a_narrow_window_and_without_javascript_a_step_is_a_page(segue: Segue, new_page: NewPage) -> None:
    run = failed_run(segue)
    for options in ({"viewport": PHONE}, {"viewport": WIDE, "java_script_enabled": False}):
        page = new_page(**options)
        page.goto(f"/runs/{run.id}")
        page.locator("main").get_by_role("link", name="price[1]").first.click()
        expect(page.locator("h1")).to_have_text("price[1]")
    phone = new_page(viewport=PHONE)
    phone.goto(f"/runs/{run.id}?step=1")  # as a colleague with a wide window has sent it
    expect(phone.locator("h1")).to_have_text("price[1]")


@pytest.mark.proof
def test_odd_steps_in_the_address_break_nothing(segue: Segue, new_page: NewPage) -> None:
    run = failed_run(segue)
    page = new_page(viewport=WIDE)
    for odd in ("", "x", "-1", "1e3", "%00", "../..", "0&step=1"):
        page.goto(f"/runs/{run.id}?step={odd}")
        expect(page.locator("h1")).to_have_text("shop.takings")
    page.goto(f"/runs/{run.id}?step=999")
    expect(page.locator("main")).to_contain_text("999")  # the page that says so


@pytest.mark.proof
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_people_with_assistive_tools_can_use_a_step_beside_its_run(
    segue: Segue, new_page: NewPage, scheme: str
) -> None:  # fmt: skip
    run = failed_run(segue)
    page = new_page(viewport=WIDE, color_scheme=scheme)
    for path in ("", "/graph", "/timeline", "/groups/0"):
        for number in (0, 1, 2):
            page.goto(f"/runs/{run.id}{path}?step={number}")
            expect(panel_of(page).get_by_role("heading", level=2)).to_be_visible()
            assert violations(page) == [], (path, number)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_hostile_texts_do_nothing_beside_a_run(segue: Segue, new_page: NewPage) -> None:
    places = places_of(segue, TEXTS)["/runs/{run_id}"]
    page = new_page(viewport=WIDE)
    for place in places[:-1]:  # the last one is of a single step that has not begun
        for number in (0, 2):
            page.goto(f"{place}?step={number}")
            expect(panel_of(page).get_by_role("heading", level=2)).to_be_visible()
            assert problems(page) == [], (place, number)
