"""What operators do in a browser: answer on a phone, change a schedule, start ticks of the past."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from segue import Segue, task, wait_for, workflow
from tests.system.web.accessible import violations
from tests.system.web.databases import on_both

if TYPE_CHECKING:
    from tests.system.web.conftest import NewPage

PHONE = {"width": 390, "height": 844}


@task(name="journey.ship")
def ship(order: int) -> int:
    return order


@workflow(name="journey.order")
def order(number: int) -> object:
    wait_for("approved")
    return ship(number)


@on_both
def test_a_person_approves_on_a_phone_and_a_second_tap_changes_nothing(segue: Segue, new_page: NewPage) -> None:
    run = segue.start(order, 7, key="order-7")
    page = new_page(viewport=PHONE, has_touch=True, java_script_enabled=False)
    other = new_page(viewport=PHONE, has_touch=True, java_script_enabled=False)  # of somebody else
    looked = new_page(viewport=PHONE, color_scheme="dark")
    for each in (page, other, looked):
        each.goto("/approvals")
    assert violations(looked) == []
    assert looked.evaluate("document.documentElement.scrollWidth <= innerWidth")
    card = page.get_by_role("article").filter(has_text="order-7")
    box = card.get_by_role("button", name=re.compile("Approve")).bounding_box()
    assert box is not None
    assert box["height"] >= 44
    card.get_by_role("button", name=re.compile("Approve")).tap()
    expect(page.get_by_role("status").first).to_contain_text("approved")
    expect(page.locator("main")).to_contain_text("Nothing waits for a person")
    expect(looked.locator("main")).to_contain_text("Nothing waits for a person")
    other.get_by_role("button", name=re.compile("Reject")).tap()
    expect(other.get_by_role("status").first).to_contain_text("was answered before")
    assert len(segue.events.list(run.id, kinds=["run.sent"])) == 1


def test_an_edited_schedule_says_what_daylight_saving_does_to_it(segue: Segue, new_page: NewPage) -> None:
    segue.schedules.create("nightly", ship, 1, schedule="@daily")
    page = new_page(timezone_id="Europe/Paris")
    page.goto("/schedules/nightly")
    page.get_by_role("link", name="Edit…").click()
    for zone, moved in (("Europe/Paris", r"03:00 CEST.*moved"), ("Australia/Lord_Howe", r"02:30 UTC\+11.*moved")):
        page.get_by_label("When").fill("15 2 * * *")
        page.get_by_label("Time zone").fill(zone)
        page.get_by_role("button", name="Preview").click()
        preview = page.get_by_role("region", name="Preview")
        expect(preview).to_contain_text(zone)
        expect(preview.get_by_role("listitem").filter(has_text=re.compile(moved))).to_have_count(1)
        assert segue.schedules.get("nightly").timezone == "UTC"
    assert violations(page) == []
    page.get_by_label("Reason").fill("the island is ahead")
    page.get_by_role("button", name="Save").click()
    expect(page).to_have_url(re.compile("/schedules/nightly$"))
    expect(page.locator("main")).to_contain_text("at 02:15 every day, Australia/Lord_Howe")
    assert segue.schedules.get("nightly").timezone == "Australia/Lord_Howe"


def test_a_backfill_shows_its_ticks_before_it_starts_them(segue: Segue, new_page: NewPage) -> None:
    segue.schedules.create("nightly", ship, 1, schedule="0 3 * * *", timezone="Europe/Paris", overlap="allow")
    page = new_page(viewport=PHONE)
    page.goto("/schedules/nightly")
    page.get_by_role("link", name="Backfill…").click()
    page.get_by_label("from").fill("2026-03-27T00:00")
    page.get_by_label("until").fill("2026-03-31T00:00")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("row").filter(has_text="starts a run")).to_have_count(4)
    assert segue.runs() == []
    page.get_by_role("button", name="Start 4 runs").click()
    expect(page.get_by_role("status").first).to_contain_text("4 ticks of nightly")
    assert len(segue.schedules.ticks("nightly")) == 4
    assert violations(page) == []
