"""Charts as SVG text: bars, columns and a treemap, without a library.

Promises: every text is escaped; colours and fonts come from the page's style sheet by class; each chart has a title and
a description for readers who cannot see it. Bars and columns are laid out in per cent: they follow the width of the
page while their text keeps its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

BAR_PITCH = 26
BAR_THICKNESS = 16
LABEL_SHARE = 38.0  # per cent of the width that the names of bars may take
LONGEST_BAR_SHARE = 46.0
LONGEST_LABEL = 18  # characters

_GAP = 1.5
_SMALLEST_FONT, _PLAIN_FONT, _LARGEST_FONT = 9.0, 10.5, 22.0
_CHARACTER_WIDTH = 0.58  # of the font's size, on average


@dataclass(frozen=True, slots=True)
class Datum:
    """One value with its name and its tooltip."""

    name: str
    value: int
    note: str = ""
    shade: str = ""  # a class of the style sheet


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in the units of its drawing."""

    x: float
    y: float
    width: float
    height: float


def bars(data: Sequence[Datum], *, title: str, unit: str) -> str:
    """Horizontal bars, one for each datum, the name to the left and the value behind the bar."""
    most = max((datum.value for datum in data), default=0) or 1
    rows = []
    for number, datum in enumerate(data):
        top = number * BAR_PITCH
        middle = top + BAR_PITCH / 2
        width = LONGEST_BAR_SHARE * datum.value / most
        rows.append(
            f"<g>{_tooltip(datum, unit)}"
            f'<text class="name" x="{LABEL_SHARE - 2}%" y="{middle}" text-anchor="end">'
            f"{escape(_shortened(datum.name))}</text>"
            f'<rect class="bar" x="{LABEL_SHARE}%" y="{top + (BAR_PITCH - BAR_THICKNESS) / 2}" width="{width:.2f}%" '
            f'height="{BAR_THICKNESS}" rx="2"/>'
            f'<text class="value" x="{LABEL_SHARE + width + 1.5:.2f}%" y="{middle}">{datum.value:,}</text></g>'
        )
    return _svg("".join(rows), data, title=title, unit=unit, height=len(data) * BAR_PITCH, kind="bars")


def columns(data: Sequence[Datum], *, title: str, unit: str, height: int = 260) -> str:
    """Vertical columns, as in a histogram: the value above, the name below."""
    most = max((datum.value for datum in data), default=0) or 1
    pitch = 100 / max(len(data), 1)
    room_above, room_below = 22, 26
    floor = height - room_below
    parts = []
    for number, datum in enumerate(data):
        tall = (floor - room_above) * datum.value / most
        middle = pitch * (number + 0.5)
        parts.append(
            f"<g>{_tooltip(datum, unit)}"
            f'<rect class="bar" x="{pitch * number + 0.5:.2f}%" y="{floor - tall:.1f}" width="{pitch - 1:.2f}%" '
            f'height="{max(tall, 1):.1f}" rx="2"/>'
            f'<text class="value" x="{middle:.2f}%" y="{floor - tall - 10:.1f}" text-anchor="middle">'
            f"{datum.value:,}</text>"
            f'<text class="name" x="{middle:.2f}%" y="{floor + 15}" text-anchor="middle">'
            f"{escape(datum.name)}</text></g>"
        )
    parts.append(f'<line class="axis" x1="0" x2="100%" y1="{floor}" y2="{floor}"/>')
    return _svg("".join(parts), data, title=title, unit=unit, height=height, kind="columns")


def treemap(data: Sequence[Datum], *, title: str, unit: str, width: int, height: int) -> str:
    """Rectangles with the values as areas, nearly square, from the top left in the given order."""
    ordered = [datum for datum in data if datum.value > 0]
    boxes = squarify([datum.value for datum in ordered], Box(0, 0, width, height))
    cells = [_cell(datum, box, unit) for datum, box in zip(ordered, boxes, strict=True)]
    return (
        f'<svg class="treemap" role="img" viewBox="0 0 {width} {height}" preserveAspectRatio="xMidYMid meet">'
        f"<title>{escape(title)}</title><desc>{_described(ordered, unit)}</desc>{''.join(cells)}</svg>"
    )


def squarify(values: Sequence[int], area: Box) -> list[Box]:
    """Divide `area` among positive values; the parts are nearly square if the values descend."""
    scale = area.width * area.height / (sum(values) or 1)
    sizes = [value * scale for value in values]
    boxes: list[Box] = []
    first = 0
    while first < len(sizes):
        side = min(area.width, area.height)
        end = first + 1
        while end < len(sizes) and _worst(sizes[first : end + 1], side) <= _worst(sizes[first:end], side):
            end += 1
        row, area = _lay(sizes[first:end], area)
        boxes.extend(row)
        first = end
    return boxes


def _worst(sizes: Sequence[float], side: float) -> float:
    """How far the worst part of a row along `side` is from a square."""
    if side <= 0:
        return 0.0
    thickness = sum(sizes) / side
    return max(max(thickness * thickness / size, size / (thickness * thickness)) for size in sizes)


def _lay(sizes: Sequence[float], area: Box) -> tuple[list[Box], Box]:
    """Fill a row along the shorter side of `area`; returns it and the rest of the area."""
    total = sum(sizes)
    boxes: list[Box] = []
    if area.width >= area.height:
        thickness = total / area.height if area.height else 0.0
        y = area.y
        for size in sizes:
            boxes.append(Box(area.x, y, thickness, size / thickness))
            y += size / thickness
        return boxes, Box(area.x + thickness, area.y, max(area.width - thickness, 0.0), area.height)
    thickness = total / area.width if area.width else 0.0
    x = area.x
    for size in sizes:
        boxes.append(Box(x, area.y, size / thickness, thickness))
        x += size / thickness
    return boxes, Box(area.x, area.y + thickness, area.width, max(area.height - thickness, 0.0))


def _cell(datum: Datum, box: Box, unit: str) -> str:
    x, y = box.x + _GAP, box.y + _GAP
    width, height = max(box.width - 2 * _GAP, 0.5), max(box.height - 2 * _GAP, 0.5)
    return (
        f"<g>{_tooltip(datum, unit)}"
        f'<rect class="cell {datum.shade}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="3"/>'
        f"{_words(datum, box)}</g>"
    )


def _words(datum: Datum, box: Box) -> str:
    """The name of a cell: as large as its area allows, and omitted if it would be unreadable."""
    fitting = (box.width - 14) / (max(len(datum.name), 4) * _CHARACTER_WIDTH)
    font = min((box.width * box.height) ** 0.5 / 7, fitting, _LARGEST_FONT)
    font = max(font, min(fitting, _PLAIN_FONT))
    if font < _SMALLEST_FONT or box.height < font * 1.9:
        return ""
    x, y = box.x + 8, box.y + font + 7
    name = f'<text x="{x:.1f}" y="{y:.1f}" style="font-size:{font:.1f}px">{escape(datum.name)}</text>'
    if box.height < font * 3.2:
        return name
    small = max(font * 0.68, _SMALLEST_FONT)
    below = y + font * 0.95 + 3
    value = f'<text class="small" x="{x:.1f}" y="{below:.1f}" style="font-size:{small:.1f}px">{datum.value:,}</text>'
    return name + value


def _svg(content: str, data: Sequence[Datum], *, title: str, unit: str, height: float, kind: str) -> str:
    return (
        f'<svg class="{kind}" role="img" width="100%" height="{height}">'
        f"<title>{escape(title)}</title><desc>{_described(data, unit)}</desc>{content}</svg>"
    )


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_LABEL else "…" + name[1 - LONGEST_LABEL :]


def _described(data: Sequence[Datum], unit: str) -> str:
    return escape("; ".join(f"{datum.name}: {datum.value:,} {unit}" for datum in data))


def _tooltip(datum: Datum, unit: str) -> str:
    return f"<title>{escape(datum.note or f'{datum.name}: {datum.value:,} {unit}')}</title>"
