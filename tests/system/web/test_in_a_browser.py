"""What only a browser shows: which texts become elements, and what assistive tools find."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segue import Segue, task
from tests.system.web.accessible import violations

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.system.web.conftest import NewPage

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


@task
def weigh(parcel: str) -> int:
    return len(parcel)


def test_a_run_is_listed_and_what_users_wrote_stays_text(segue: Segue, page: Page) -> None:
    key = "<img src=x onerror=alert(1)>\"'&"
    segue.start(weigh, "a parcel", key=key)
    page.goto("/runs")
    row = page.get_by_role("row").filter(has_text="weigh")
    assert row.get_by_text(key).inner_text() == key
    assert "pending" in row.inner_text()


def test_people_with_assistive_tools_can_use_the_list(segue: Segue, new_page: NewPage) -> None:
    segue.start(weigh, "a parcel")
    for scheme, viewport in (("light", DESKTOP), ("dark", PHONE)):
        page = new_page(color_scheme=scheme, viewport=viewport)
        page.goto("/runs")
        assert violations(page) == []
