"""Every page in a real browser: hostile texts do nothing, nothing is wider than the window, and axe finds nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from segue import Segue
from segue.web.pages.frame import PAGES
from tests.contract.web.filling import ORDINARY, fill, known, paths
from tests.contract.web.hostile import TEXTS
from tests.system.web.accessible import violations

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.system.web.conftest import NewPage

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
DENSE = (
    "/", "/runs", "/runs/{run_id}", "/runs/{run_id}/graph", "/runs/{run_id}/steps/{step:name}", "/approvals", "/errors",
    "/queues", "/schedules",
)  # fmt: skip
"""The pages with the most texts of users."""


def places_of(segue: Segue, texts: tuple[str, ...]) -> dict[str, list[str]]:
    with known(texts) as flows:
        found = paths(segue, fill(segue, flows, texts))
    return {page: places for page, places in found.items() if not page.endswith("/output")}  # it is a download


def problems(page: Page) -> list[str]:
    """What an attacker would have reached; the fixture of the page looks for scripts and dialogs."""
    found = ["a title that was ended"] if not page.title().endswith("· Segue") else []
    if page.evaluate("document.querySelectorAll('main').length") != 1:
        found.append("no longer one main part")
    foreign = "img, iframe, object, embed, style, base, script:not([src]), [onerror], [onload], [onclick], [onfocus]"
    if page.evaluate(f"document.querySelectorAll('{foreign}').length"):
        found.append("an element that no page has")
    if page.evaluate("document.documentElement.scrollWidth > innerWidth + 1"):
        found.append("wider than the window")
    return found


def looked_at(segue: Segue, page: Page, places: dict[str, list[str]], *, all_of_them: bool) -> list[str]:
    wrong = []
    for paths_of_page in places.values():
        for path in paths_of_page if all_of_them else paths_of_page[:1]:
            page.goto(path)
            wrong += [f"{path}: {problem}" for problem in problems(page)]
    return wrong


def test_hostile_texts_do_nothing_in_a_browser(segue: Segue, new_page: NewPage) -> None:
    places = places_of(segue, TEXTS)
    page = new_page(viewport=PHONE)
    assert looked_at(segue, page, {name: places[name] for name in DENSE}, all_of_them=False) == []


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_hostile_texts_do_nothing_on_any_page(segue: Segue, new_page: NewPage, viewport: dict[str, int]) -> None:
    places = places_of(segue, TEXTS)
    assert looked_at(segue, new_page(viewport=viewport), places, all_of_them=True) == []


def test_people_with_assistive_tools_can_use_dense_pages(segue: Segue, new_page: NewPage) -> None:
    places = places_of(segue, ORDINARY[:2])
    page = new_page(color_scheme="dark", viewport=PHONE)
    assert broken(page, [places[name][0] for name in DENSE[:4]]) == {}


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_people_with_assistive_tools_can_use_all_pages(
    segue: Segue, new_page: NewPage, scheme: str, viewport: dict[str, int]
) -> None:  # fmt: skip
    places = places_of(segue, ORDINARY[:2])
    assert len(places) == len(PAGES) - 1  # without the download
    page = new_page(color_scheme=scheme, viewport=viewport)
    assert broken(page, [paths_of_page[0] for paths_of_page in places.values()]) == {}


def broken(page: Page, at: list[str]) -> dict[str, list[str]]:
    found = {}
    for path in at:
        page.goto(path)
        if wrong := violations(page):
            found[path] = wrong
    return found
