"""What people do to steps and to many runs in a browser, and the views that they save; also with the keyboard only."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from segue import Segue
from segue.model import RunStatus
from segue.worker.inline import work_run
from tests.contract.web.asking import add_up, takings
from tests.system.web.accessible import violations

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.system.web.conftest import NewPage

WIDE = {"width": 1400, "height": 900}
PHONE = {"width": 390, "height": 844}


def failed_run(segue: Segue, orders: list[int] | None = None) -> Any:
    run = segue.start(takings, orders or [1, -2], tags=["eu"])
    work_run(segue.engine, run.id)
    return run


def reasons(segue: Segue, run_id: str, kind: str) -> list[str]:
    return [event.detail["reason"] for event in segue.events.list(run_id, kinds=[kind])]


def test_a_step_is_marked_and_the_run_goes_on(segue: Segue, page: Page) -> None:
    run = failed_run(segue)
    page.goto(f"/runs/{run.id}/steps/1")
    page.get_by_role("link", name="Mark as succeeded…").click()
    page.get_by_label("result").fill("40")
    page.get_by_label("reason").fill("counted by hand")
    page.get_by_role("button", name=re.compile("^Make a step succeeded")).click()
    expect(page.get_by_role("status").first).to_contain_text("Done")
    expect(page.locator(".head .status")).to_contain_text("succeeded")
    work_run(segue.engine, run.id)
    assert run.result() == 41.5
    assert reasons(segue, run.id, "step.marked") == ["counted by hand"]


@pytest.mark.proof
def test_a_step_is_skipped_with_those_below_it(segue: Segue, page: Page) -> None:
    run = failed_run(segue)
    page.goto(f"/runs/{run.id}/steps/1")
    page.get_by_role("link", name="Skip…").click()
    page.get_by_label("reason").fill("there is no such order")
    page.get_by_role("button", name="Skip a step").click()
    expect(page.locator(".head .status")).to_contain_text("skipped")
    assert reasons(segue, run.id, "step.skipped_by_hand") == ["there is no such order"]


@pytest.mark.proof
def test_a_step_is_edited_and_runs_again(segue: Segue, page: Page) -> None:
    segue.publish_definitions()
    run = failed_run(segue)
    page.goto(f"/runs/{run.id}/steps/1")
    page.get_by_role("link", name="Edit arguments…").click()
    page.get_by_label("order").fill("2")
    page.get_by_role("button", name="Change").click()
    expect(page.get_by_role("status").first).to_be_visible()
    retry = page.get_by_role("button", name="Retry from here", exact=True)
    if retry.count():
        retry.click()
    work_run(segue.engine, run.id)
    assert run.result() == 4.5


@pytest.mark.proof
def test_a_run_is_forked_from_a_step(segue: Segue, page: Page) -> None:
    segue.publish_definitions()
    run = failed_run(segue)
    page.goto(f"/runs/{run.id}/steps/1")
    page.get_by_role("link", name="Fork from here…").click()
    page.get_by_label("order").fill("2")
    page.get_by_role("button", name="Fork", exact=True).click()
    expect(page.get_by_text("fork of")).to_be_visible()
    [fork] = segue.runs(forked_from=run.id)
    expect(page).to_have_url(re.compile(fork.id))
    work_run(segue.engine, fork.id)
    expect(page.locator(".head .status")).to_contain_text("succeeded", timeout=15_000)
    assert run.status is RunStatus.FAILED


def apply_to_selected(segue: Segue, page: Page, verb: str, count: int, fill: Callable[[], None] | None = None) -> None:
    """Select all runs of the list, look at the preview, do it, and let a worker carry it out."""
    page.goto("/runs?tag=eu")
    page.get_by_label("Select all on this page").check()
    page.get_by_role("button", name=f"{verb}…").click()
    expect(page.locator("h1")).to_have_text(f"{verb} {count} runs?")
    if fill is not None:
        fill()
    page.get_by_label("reason").fill(f"{verb} all of them")
    page.get_by_role("button", name=f"{verb} {count} runs").click()
    expect(page.locator("h1")).to_have_text("segue.bulk")
    work_run(segue.engine, page.url.rpartition("/")[2])
    expect(page.locator(".head .status")).to_contain_text("succeeded", timeout=15_000)


def test_many_runs_are_retried_after_a_preview(segue: Segue, page: Page) -> None:
    runs = [failed_run(segue) for _ in range(2)]
    apply_to_selected(segue, page, "Retry", 2)
    assert [run.status for run in runs] == [RunStatus.RUNNING] * 2
    assert reasons(segue, runs[0].id, "run.retried") == ["Retry all of them"]


@pytest.mark.proof
def test_many_runs_are_paused_resumed_and_tagged(segue: Segue, page: Page) -> None:
    runs = [segue.start(add_up, [number], tags=["eu"]) for number in range(3)]
    apply_to_selected(segue, page, "Pause", 3)
    assert {run.status for run in runs} == {RunStatus.PAUSED}
    apply_to_selected(segue, page, "Resume", 3)
    assert {run.status for run in runs} == {RunStatus.PENDING}
    apply_to_selected(segue, page, "Tag", 3, lambda: page.get_by_label("tags to add").fill("looked at"))
    assert {tuple(run.info().tags) for run in runs} == {("eu", "looked at")}
    apply_to_selected(segue, page, "Cancel", 3)
    assert {run.status for run in runs} == {RunStatus.CANCELLED}


def test_a_view_is_saved_used_replaced_and_deleted(segue: Segue, page: Page) -> None:
    failed_run(segue)
    page.goto("/runs")
    page.get_by_role("searchbox", name="Search runs").fill("status:failed tag:eu")
    page.keyboard.press("Enter")
    page.get_by_text("Save this view").click()
    page.get_by_label("Name", exact=True).fill("Europe <b>")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("The view is saved.")
    saved = page.get_by_role("navigation", name="Saved views").get_by_role("link", name="Europe <b>")
    expect(saved).to_have_attribute("aria-current", "page")
    page.goto("/runs?status=pending")
    page.get_by_text("Save this view").click()
    page.get_by_label("Name", exact=True).fill("Europe <b>")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_contain_text("There is a view named Europe <b> already.")
    page.get_by_label("replace").check()
    page.get_by_role("button", name="Save a view").click()
    expect(page).to_have_url(re.compile(r"/runs\?status=pending$"))
    page.goto("/")
    page.keyboard.press("/")
    page.keyboard.type("europe")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/runs\?status=pending$"))
    page.get_by_role("link", name="edit saved views").click()
    page.get_by_role("link", name="Delete…").click()
    page.get_by_role("button", name="Delete a saved view").click()
    expect(page.locator("main")).to_contain_text("There are none.")


@pytest.mark.proof
def test_a_keyboard_is_enough_for_a_step_beside_its_run(segue: Segue, new_page: NewPage) -> None:
    run = failed_run(segue)
    page = new_page(viewport=WIDE)
    page.goto(f"/runs/{run.id}?open=0")
    for key in ("j", "j", "j", "Enter"):  # the group, price[0], price[1]
        page.keyboard.press(key)
    panel = page.get_by_role("complementary", name="Step price[1]")
    expect(panel).to_be_focused()
    for _ in range(20):
        page.keyboard.press("Tab")
        if panel.get_by_role("button", name="Retry from here", exact=True).evaluate(
            "e => e === document.activeElement"
        ):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("run again")
    expect(page).to_have_url(re.compile(r"step=1"))
    page.keyboard.press("Escape")
    expect(page.get_by_role("complementary", name=re.compile("^Step"))).to_be_hidden()
    page.keyboard.press("k")  # keys go on


@pytest.mark.proof
def test_people_with_assistive_tools_can_use_saved_views(segue: Segue, new_page: NewPage) -> None:
    failed_run(segue)
    for scheme, viewport in (("light", WIDE), ("dark", PHONE)):
        page = new_page(color_scheme=scheme, viewport=viewport)
        page.goto("/runs?tag=eu")
        if scheme == "light":
            page.get_by_text("Save this view").click()
            assert violations(page) == []
            page.get_by_label("Name", exact=True).fill("Europe")
            page.get_by_role("button", name="Save").click()
        for path in ("/runs?tag=eu", "/views", "/bulk?verb=annotate&all=1"):
            page.goto(path)
            assert violations(page) == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
