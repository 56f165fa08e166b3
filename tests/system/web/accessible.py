"""What people with assistive tools could not use on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.servers.chromium import axe_source

if TYPE_CHECKING:
    from playwright.sync_api import Page


def violations(page: Page) -> list[str]:
    """The rules that axe finds broken, each with the first elements that break it. Empty for a good page."""
    page.evaluate(axe_source())
    found = page.evaluate("axe.run()")["violations"]
    return [f"{each['id']}: {each['help']}: {[node['html'][:150] for node in each['nodes'][:3]]}" for each in found]
