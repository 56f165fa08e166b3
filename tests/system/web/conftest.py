"""Pages in a real browser.

`segue`
    on SQLite; the proof does each test on PostgreSQL as well, and the suite those that are marked with `on_both`
`browser`
    Chromium, one for all tests of this folder. It ends with the last of them, and not with the process that runs them:
    while Playwright is in use, nothing else in the thread can run an event loop.
`site_url`
    the address at which the pages of `segue` are served, by a thread of this process, to an admin
`new_page`
    a function that opens a page in a context of its own, with the options of `browser.new_context`
`page`
    one such page

A page that breaks the content security policy, throws an error or opens a dialog fails its test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.servers import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

    from segue import Segue

NewPage = Callable[..., "Page"]

WAIT_MILLISECONDS = 15_000
"""For what a page should show soon; several tests share each processor."""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import expect

    expect.set_options(timeout=WAIT_MILLISECONDS)  # it does not know the one of the context
    with chromium.running_browser() as found:
        yield found


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.proof)])
def fresh_url(request: pytest.FixtureRequest) -> Callable[[], str]:
    make: Callable[[], str] = request.getfixturevalue(f"make_{request.param}_url")
    return make


@pytest.fixture
def site_url(segue: Segue) -> Iterator[str]:
    from segue.web.access.local import LOCAL_HOSTS, LocalAccess
    from segue.web.app import Application
    from segue.web.serve import listen, served
    from segue.web.site import Settings, Site

    listening = listen("127.0.0.1", 0)
    app = Application(Site(segue, LocalAccess(), Settings(allowed_hosts=LOCAL_HOSTS)))
    with served(app, listening):
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def new_page(browser: Browser, site_url: str) -> Iterator[NewPage]:
    found: list[Any] = []
    problems: list[str] = []

    def dismissed(dialog: Dialog) -> None:
        problems.append(f"a dialog was opened: {dialog.message}")
        dialog.dismiss()

    def watched(page: Page) -> None:
        page.on("pageerror", lambda error: problems.append(f"an error was thrown: {error}"))
        page.on("dialog", dismissed)
        page.on("console", lambda said: problems.append(said.text) if "Content Security" in said.text else None)

    def opened(**options: Any) -> Page:
        context = browser.new_context(base_url=site_url, **options)
        found.append(context)
        context.set_default_timeout(WAIT_MILLISECONDS)
        context.on("page", watched)
        return context.new_page()

    yield opened
    for context in found:
        context.close()
    assert problems == []


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page()
