"""A person mends a failed run in a browser: with other arguments, a result by hand, without a step, or as a fork."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from segue import Segue, task, workflow
from segue.worker.inline import work_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.proof  # the contract tests do the same without a browser


@task(name="mending.halve")
def halve(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2


@task(name="mending.report")
def report(half: int) -> str:
    return f"half is {half}"


@workflow(name="mending.flow")
def flow(number: int) -> Any:
    return report(halve(number))


@pytest.fixture
def failed(segue: Segue, page: Page) -> Any:
    """A run whose first step has failed; the page shows that step."""
    segue.publish_definitions()
    run = segue.start(flow, 3)
    work_run(segue.engine, run.id)
    page.goto(f"/runs/{run.id}/steps/halve")
    expect(page.locator(".head .status")).to_contain_text("failed")
    return run


def test_a_failed_step_gets_other_arguments(segue: Segue, page: Page, failed: Any) -> None:
    page.get_by_role("link", name="Edit arguments").click()
    page.get_by_label("number").fill("8")
    page.get_by_label("reason").fill("it was mistyped")
    page.get_by_role("button", name="Change").click()
    expect(page.get_by_text("The arguments are changed.")).to_be_visible()
    page.get_by_role("button", name="Retry from here", exact=True).click()
    expect(page.get_by_text("run again")).to_be_visible()
    work_run(segue.engine, failed.id)
    assert failed.result() == "half is 4"
    [event] = segue.events.list(failed.id, kinds=["step.edited"])
    assert event.detail["reason"] == "it was mistyped"


def test_a_failed_step_gets_a_result_by_hand(segue: Segue, page: Page, failed: Any) -> None:
    page.get_by_role("link", name="Mark as succeeded").click()
    page.get_by_label("result").fill("17")
    page.get_by_role("button", name="Make a step succeeded").click()
    expect(page.locator(".head .status")).to_contain_text("succeeded")
    work_run(segue.engine, failed.id)
    assert failed.result() == "half is 17"


def test_a_failed_step_is_skipped(segue: Segue, page: Page, failed: Any) -> None:
    page.get_by_role("link", name="Skip…").click()
    page.get_by_role("button", name="Skip a step").click()
    expect(page.locator(".head .status")).to_contain_text("skipped")
    assert failed.step("report").info().status == "skipped"
    assert failed.status == "succeeded"


def test_a_failed_run_is_forked_with_other_arguments(segue: Segue, page: Page, failed: Any) -> None:
    page.get_by_role("link", name="Fork from here").click()
    page.get_by_label("number").fill("10")
    page.get_by_role("button", name="Fork", exact=True).click()
    expect(page.get_by_text("The fork has begun.")).to_be_visible()
    expect(page).not_to_have_url(re.compile(failed.id))
    [fork] = [run for run in segue.runs(workflow="mending.flow") if run.id != failed.id]
    expect(page).to_have_url(re.compile(fork.id))
    work_run(segue.engine, fork.id)
    expect(page.locator(".head .status")).to_contain_text("succeeded")
    assert segue.get(fork.id).result() == "half is 5"
    assert failed.status == "failed"
