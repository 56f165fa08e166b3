"""People work with runs in a real browser: they follow, mend and find them, with a keyboard or without JavaScript."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from segue import Segue, group, task
from segue.engine.views.groups import groups_of_run
from segue.worker.inline import work_run
from tests.contract.web.asking import takings
from tests.system.web.accessible import violations
from tests.system.web.databases import on_both

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.system.web.conftest import NewPage

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


@task(name="journeys.step")
def step(number: int) -> int:
    return number


@task(name="journeys.fragile")
def fragile(numbers: list[int]) -> int:
    raise ValueError("there is no header")


def failed_run(segue: Segue) -> Any:
    run = segue.start(takings, [1, -2])
    work_run(segue.engine, run.id)
    return run


@on_both
def test_a_run_is_followed_and_what_is_open_stays_open(segue: Segue, page: Page) -> None:
    run = segue.start(group(step.s(number) for number in range(12)))
    page.goto(f"/runs/{run.id}")
    page.get_by_text("Not possible now").click()
    expect(page.locator("#verbs-not-now")).to_have_attribute("open", "")
    page.get_by_role("searchbox", name="Find a step").fill("half a na")
    expect(page.locator("[data-live-state]")).to_have_text("Live")
    segue.get(run.id).pause(reason="see")
    expect(page.get_by_role("button", name="Resume", exact=True)).to_be_visible()
    expect(page.locator("#verbs-not-now")).to_have_attribute("open", "")
    segue.get(run.id).resume()
    work_run(segue.engine, run.id)
    expect(page.locator(".head .status")).to_contain_text("succeeded")
    expect(page.get_by_role("searchbox", name="Find a step")).to_have_value("half a na")
    assert "succeeded" in page.title()


def test_a_large_run_shows_its_steps_when_they_are_counted(
    segue: Segue, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = segue.start(group(step.s(number) for number in range(12)))
    work_run(segue.engine, run.id)
    may_read = threading.Event()

    def slow(tx: Any, run_id: str) -> Any:
        assert may_read.wait(10)
        return groups_of_run(tx, run_id)

    monkeypatch.setattr("segue.web.pages.run_head.groups_of_run", slow)
    monkeypatch.setattr("segue.web.kept.FEW_STEPS", 5)
    page.goto(f"/runs/{run.id}")
    expect(page.get_by_text("counting 12 steps")).to_be_visible()
    may_read.set()
    expect(page.get_by_text("12 of 12 steps")).to_be_visible()
    expect(page.get_by_role("link", name="step[*]")).to_be_visible()


def test_a_graph_is_shown_larger_and_moved(segue: Segue, page: Page) -> None:
    run = segue.start(takings, [1, 2])
    page.goto(f"/runs/{run.id}/graph")
    graph = page.locator("svg.graph")

    def shown() -> list[float]:
        return [float(each) for each in (graph.get_attribute("viewBox") or "").split()]

    first = shown()
    page.keyboard.press("+")
    near = shown()
    page.get_by_role("button", name="Larger").click()
    assert shown()[2] < near[2]
    page.get_by_role("region", name="Graph").focus()
    left = shown()[0]
    page.keyboard.press("ArrowRight")
    assert shown()[0] > left
    moved = shown()
    work_run(segue.engine, run.id)
    expect(page.locator(".head .status")).to_contain_text("succeeded")
    expect(graph.locator(".is-succeeded").first).to_be_visible()
    assert shown() == moved  # also of the new picture
    page.get_by_role("button", name="Show all of it").click()
    assert shown() == first
    page.keyboard.press("0")
    expect(graph).not_to_have_class(re.compile("is-zoomed"))


def test_a_graph_is_dragged_and_follows_the_wheel(segue: Segue, page: Page) -> None:
    run = segue.start(group(step.s(number) for number in range(3)))
    page.goto(f"/runs/{run.id}/graph")
    graph, box = page.locator("svg.graph"), page.get_by_role("region", name="Graph").bounding_box()
    assert box is not None

    def shown() -> list[float]:
        return [float(each) for each in (graph.get_attribute("viewBox") or "").split()]

    node = graph.get_by_role("link").first.bounding_box()
    assert node is not None
    x, y = node["x"] + 20, node["y"] + 10  # on a step: a drag is no click on it
    page.mouse.move(x, y)
    first = shown()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    expect(graph).to_have_class(re.compile("is-zoomed"))
    near = shown()
    assert near[2] < box["width"]
    page.mouse.down()
    page.mouse.move(x + 60, y + 20, steps=4)
    page.mouse.up()
    assert shown()[0] < near[0]
    assert shown()[1] < near[1]
    assert shown()[2:] == near[2:]
    expect(page).to_have_url(re.compile("/graph$"))
    page.mouse.wheel(0, 50)  # without ctrl the page is scrolled
    assert shown()[2:] == near[2:]
    page.get_by_role("button", name="As it was").click()
    assert shown() == first
    graph.get_by_role("link").first.click()  # and a click is a click
    expect(page).to_have_url(re.compile("step="))


@pytest.mark.proof
def test_fingers_pull_a_graph_apart(segue: Segue, new_page: NewPage) -> None:
    run = segue.start(group(step.s(number) for number in range(3)))
    page = new_page(viewport=PHONE, has_touch=True)
    page.goto(f"/runs/{run.id}/graph")
    page.get_by_role("button", name="Larger").tap()
    graph = page.locator("svg.graph")
    before = (graph.get_attribute("viewBox") or "").split()
    page.evaluate("document.querySelector('.picture').scrollIntoView()")
    box = page.get_by_role("region", name="Graph").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 4
    fingers = page.context.new_cdp_session(page)

    def touch(kind: str, *places: float) -> None:
        points = [{"x": x + place, "y": y, "id": number} for number, place in enumerate(places)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", -20, 20)
    for apart in (30, 45, 60, 80):
        touch("touchMove", -apart, apart)
    touch("touchEnd")
    after = (graph.get_attribute("viewBox") or "").split()
    assert float(after[2]) < float(before[2]) / 2


@pytest.mark.proof  # the contract tests do the same without a browser
def test_a_run_is_retried_with_a_reason(segue: Segue, page: Page) -> None:
    run = failed_run(segue)
    page.goto(f"/runs/{run.id}")
    page.get_by_role("link", name="Retry, with a reason and options").click()
    page.get_by_label("reason").fill("the file is there now")
    page.get_by_role("button", name="Run the failed steps of a run again").click()
    expect(page.get_by_text("Done:")).to_be_visible()
    assert page.url.endswith(f"/runs/{run.id}")
    [event] = segue.events.list(run.id, kinds=["run.retried"])
    assert event.detail["reason"] == "the file is there now"


@on_both
def test_filters_are_there_again_after_a_look_at_a_run(segue: Segue, page: Page) -> None:
    failed_run(segue)
    segue.start(step, 1)
    page.goto("/runs")
    page.get_by_role("searchbox", name="Search runs").fill("status:failed workflow:shop.takings")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("status=failed&workflow=shop.takings"))
    rows = page.locator("[data-rows] tbody tr")
    expect(rows).to_have_count(1)
    rows.get_by_role("link").first.click()
    expect(page.locator("h1")).to_have_text("shop.takings")
    page.go_back()
    expect(rows).to_have_count(1)
    expect(page.get_by_role("searchbox", name="Search runs")).to_have_value("status:failed workflow:shop.takings")


@on_both
def test_pages_are_read_and_work_without_javascript(segue: Segue, new_page: NewPage) -> None:
    run = failed_run(segue)
    page = new_page(java_script_enabled=False)
    page.goto("/")
    page.get_by_role("link", name=re.compile("^see.*1 run failed in 24 h")).click()
    page.locator("[data-rows] tbody tr").get_by_role("link").first.click()
    expect(page.get_by_text("there is no order -2").first).to_be_visible()
    page.get_by_role("button", name="Retry", exact=True).click()
    expect(page.get_by_text("The failed steps run again.")).to_be_visible()
    assert run.status.value != "failed"


def test_a_keyboard_is_enough(segue: Segue, page: Page) -> None:
    run = failed_run(segue)
    page.goto("/runs")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"{run.id}$"))
    page.keyboard.press(".")
    expect(page.get_by_role("button", name="Retry", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("The failed steps run again.")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page.locator("h1")).to_have_text("Runs")
    page.keyboard.press("/")
    page.keyboard.type(run.id[-8:])
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"{run.id}$"))


@pytest.mark.proof
def test_selected_runs_are_counted_and_a_preview_comes_first(segue: Segue, page: Page) -> None:
    for number in range(3):
        segue.start(step, number)
    page.goto("/runs")
    expect(page.get_by_role("button", name="Cancel…")).to_be_disabled()
    page.get_by_label("Select all on this page").check()
    expect(page.get_by_text("3 of 3 selected")).to_be_visible()
    page.get_by_role("button", name="Cancel…").click()
    expect(page.locator("h1")).to_have_text("Cancel 3 runs?")
    page.get_by_role("button", name="Cancel 3 runs").click()
    expect(page.locator("h1")).to_have_text("segue.bulk")


@pytest.mark.proof
def test_people_with_assistive_tools_can_use_all_pages_of_a_run(segue: Segue, new_page: NewPage) -> None:
    segue.publish_definitions()
    run, other = failed_run(segue), segue.start(step, 1)
    of_run = [
        "", "?status=failed", "/graph", "/timeline", "/data", "/activity", "/fork", "/fork?step=0", "/steps/0",
        "/steps/3", "/steps/3/edit",
    ]  # fmt: skip
    paths = [
        "/", "/runs", "/runs?q=worfklow:x", "/start", "/start?name=shop.price", "/bulk?verb=retry&all=1", "/search?q=o",
        f"/compare?a={run.id}&b={other.id}", f"/act/runs/{run.id}/retry",
        *(f"/runs/{run.id}{rest}" for rest in of_run),
    ]  # fmt: skip
    found: dict[str, list[str]] = {}
    for scheme, viewport in (("light", DESKTOP), ("dark", DESKTOP), ("light", PHONE)):
        page = new_page(color_scheme=scheme, viewport=viewport)
        for path in paths:
            page.goto(path)
            broken = violations(page)
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                broken.append("the page is wider than the window")
            if broken:
                found[f"{path} {scheme} {viewport['width']}"] = broken
    assert found == {}
