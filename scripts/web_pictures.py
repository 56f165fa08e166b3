"""Takes pictures of the web pages, in light and dark: `make screenshots`. They are in build/pictures, and not stored.

A worker fills a small database with what `scripts.web_story` has; Chromium opens the pages. The site of the
documentation shows the pictures that are there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scripts import web_story
from segue import Segue
from segue.errors import SegueError
from segue.model import StepStatus
from segue.web.serve import served_locally
from tests.servers.chromium import running_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "build" / "pictures"
SIZE = {"width": 1200, "height": 760}
SETTLES_WITHIN = 60
"""Seconds that the worker has to come to the middle of its work."""


def fill(segue: Segue) -> dict[str, str]:
    """Start what the pictures show; returns the path of each page."""
    segue.upgrade()
    nights = [f"2026-11-{number}" for number in (28, 29, 30)]
    failed = [segue.start(web_story.nightly, night, key=night).id for night in nights][1]
    for number in range(101, 106):
        segue.start(web_story.order, number, key=f"order-{number}", metadata={"customer": number % 3})
    for customer in (42, 43):
        segue.start(web_story.call, customer, tags=["calls"])
    drawn = segue.start(web_story.thumbnails, 120, tags=["images"])
    return {
        "now": "/", "runs": "/runs", "run": f"/runs/{failed}", "graph": f"/runs/{failed}/graph",
        "timeline": f"/runs/{drawn.id}/timeline", "step": f"/runs/{failed}/steps/load[7]", "errors": "/errors",
        "approvals": "/approvals", "schedules": "/schedules", "queues": "/queues",
    }  # fmt: skip


@contextmanager
def working(url: str) -> Iterator[None]:
    """A worker beside the pages."""
    words = ["worker", "-A", "scripts.web_story", "--queue", "default,images", "-c", "4", "--log-level", "error"]
    settings = {"SEGUE_DATABASE_URL": url, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-m", "segue", *words], cwd=ROOT, env=os.environ | settings)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def wait_until_busy(segue: Segue) -> None:
    """Until all that can end has ended, and the thumbnails are half-way."""
    deadline = time.monotonic() + SETTLES_WITHIN
    while time.monotonic() < deadline:
        nightly = segue.runs(workflow="shop.nightly")
        [drawn] = segue.runs(workflow="shop.thumbnails")
        done = segue.get(drawn.id).counts().get(StepStatus.SUCCEEDED, 0)
        if all(run.finished_at for run in nightly) and done >= 8:
            return
        time.sleep(0.5)
    raise SegueError("the worker did not come so far in time")


def take(browser: Browser, address: str, paths: dict[str, str]) -> list[Path]:
    """A picture of each page in each colour scheme."""
    taken = []
    for scheme in ("light", "dark"):
        context = browser.new_context(
            base_url=address, color_scheme=scheme, viewport=SIZE, timezone_id="Europe/Paris", locale="en-GB"
        )  # fmt: skip
        page = context.new_page()
        for name, path in paths.items():
            page.goto(path)
            page.wait_for_timeout(400)  # for what is fetched after the page
            taken.append(PICTURES / f"{name}-{scheme}.png")
            page.screenshot(path=taken[-1])
        context.close()
    return taken


if __name__ == "__main__":
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        url = f"sqlite:///{place}/shop.db"
        with Segue(url) as segue:
            paths = fill(segue)
            with working(url):
                wait_until_busy(segue)
                with served_locally(segue) as address, running_browser() as browser:
                    for file in take(browser, address.rstrip("/"), paths):
                        print(file.relative_to(ROOT))
