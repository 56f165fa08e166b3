"""Small pictures that stand in a line of a table: how a number went, and how steps are divided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from segue.client.wording import ORDER
from segue.web.drawing.svg import Svg

WIDTH, HEIGHT = 120.0, 22.0


def sparkline(values: Sequence[float | None], *, label: str, status: str = "", top: float | None = None) -> str:
    """A bar for each value, from the oldest to the newest; None where nothing is known. `label` says it in words.

    Example::

        sparkline([0, 4, 2, 9], label="steps per minute in the last hour: 9 now, 15 in all", status="succeeded")
    """
    known = [value for value in values if value is not None]
    most = max([top or 0.0, *known]) or 1.0
    step = WIDTH / max(len(values), 1)
    svg = Svg()
    with svg.inside("svg", class_="spark", **_frame(label)):
        svg.title(label)
        for index, value in enumerate(values):
            if value is None:
                continue
            height = max(HEIGHT * min(max(value, 0.0) / most, 1.0), 1.0)  # zero is a line: something was measured
            svg.leaf(
                "rect", x=index * step, y=HEIGHT - height, width=max(step - 1, 0.5), height=height,
                class_=f"is-{status}" if status and value > 0 else "bar" if value > 0 else "none",
            )  # fmt: skip
    return svg.written()


def divided(counts: Mapping[str, int], *, label: str) -> str:
    """A bar that is divided by status."""
    svg = Svg()
    with svg.inside("svg", class_="spark is-divided", **_frame(label)):
        svg.title(label)
        stacked(svg, counts, x=0, y=6, width=WIDTH, height=10)
    return svg.written()


def stacked(svg: Svg, counts: Mapping[str, int], *, x: float, y: float, width: float, height: float) -> None:
    """The bar itself, in a picture that is being written. A status that is there can be seen, however seldom it is."""
    found = [
        (status, counts[status]) for status in (*ORDER, *sorted(set(counts) - set(ORDER))) if counts.get(status, 0) > 0
    ]
    total = sum(count for _, count in found)
    least = min(2.0, width / max(len(found), 1))
    free = width - least * len(found)
    for status, count in found:
        part = least + free * count / total
        svg.leaf("rect", x=x, y=y, width=part, height=height, class_=f"part is-{status}")
        x += part


def _frame(label: str) -> dict[str, str | float]:
    return {
        "viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}",
        "width": WIDTH,
        "height": HEIGHT,
        "role": "img",
        "aria_label": label,
    }
