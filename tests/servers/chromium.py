"""Chromium for the tests: found on this machine, and driven by Playwright. Nothing is downloaded for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PACKAGES = ("chromium", "fonts-dejavu-core")

QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
"""The tests may run as root, in a container, and without a network: a browser must try nothing of its own."""


class ChromiumMissingError(RuntimeError):
    """No Chromium is on this machine."""

    def __init__(self) -> None:
        super().__init__(
            "The tests of the web pages need Chromium, and there is none. "
            "Run `make servers` as root on Debian or Ubuntu, or install it (apt-get install chromium)."
        )


def find_program() -> str:
    """Return the path of Chromium; raise `ChromiumMissingError` when there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        raise ChromiumMissingError
    return found


@contextmanager
def running_browser() -> Iterator[Browser]:
    """A browser without windows. Each test opens a context of its own in it, which shares nothing with the others."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_program(), args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


@cache
def axe_source() -> str:
    """The script of axe, which finds what people with assistive tools could not use; for `page.evaluate`."""
    import axe_playwright_python

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
