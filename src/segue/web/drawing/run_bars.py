"""The last runs of a workflow as bars: how long each took, and how it ended. Each is a link to its run."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from segue.client.wording import GLYPHS
from segue.times import duration
from segue.web.drawing.svg import Svg

HEIGHT, STEP = 96.0, 10.0
FEWEST = 40
"""So many bars have room; fewer stand at the left, and do not become broad."""

LEAST = 3.0
"""A bar that can be seen and pressed, however short its run was."""


class Bar(msgspec.Struct, frozen=True):
    """A run."""

    href: str
    status: str
    seconds: float | None  # None: it has not begun
    name: str


def run_bars(bars: Sequence[Bar], *, label: str) -> str:
    """The bars, the oldest run at the left; the tallest is the longest. `label` says it in words.

    Example::

        run_bars([Bar("/runs/1", "failed", 3.2, "2026-11-20")], label="the last run: failed")
    """
    most = max((bar.seconds for bar in bars if bar.seconds is not None), default=0.0) or 1.0
    svg = Svg()
    frame = f"0 0 {STEP * max(len(bars), FEWEST):g} {HEIGHT:g}"
    with svg.inside(
        "svg", class_="run-bars", viewBox=frame, preserveAspectRatio="none", role="group", aria_label=label
    ):  # fmt: skip
        x = 0.0
        for bar in bars:
            height = LEAST if bar.seconds is None else max(HEIGHT * bar.seconds / most, LEAST)
            took = "not begun" if bar.seconds is None else duration(bar.seconds)
            says = f"{bar.name}: {GLYPHS.get(bar.status, '')} {bar.status}, {took}"
            with svg.inside("a", href=bar.href, aria_label=says):
                svg.title(says)
                svg.leaf("rect", x=x, y=0, width=STEP, height=HEIGHT, class_="ground")
                svg.leaf("rect", x=x + 1, y=HEIGHT - height, width=STEP - 2, height=height, class_=f"is-{bar.status}")
            x += STEP
    return svg.written()
