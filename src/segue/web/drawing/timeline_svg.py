"""A timeline as SVG: waiting is hatched, running solid, sleeping dotted, each attempt a piece of its own.

Times are in the time zone of the reader.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, tzinfo

from segue.client.wording import GLYPHS, counted
from segue.times import duration
from segue.web.drawing.svg import Svg, cut
from segue.web.drawing.timeline import Piece, Row, Scale

LABELS = 220.0
BARS = 760.0
ROW = 26.0
TOP = 30.0
LEAST = 2.0  # a piece that was too short can be seen nevertheless
MOST_ROWS = 200
HATCH = 7.0


def timeline_svg(
    rows: Sequence[Row], *, now: datetime, zone: tzinfo, critical: Collection[str] = (),
    label: str = "The timeline of the run",
) -> str:  # fmt: skip
    """The picture of a timeline, with MOST_ROWS rows at most. `critical` has the ids on the critical path.

    Example::

        timeline_svg(rows, now=now, zone=ZoneInfo("Europe/Paris"), critical=critical_path(spans, parents))
    """
    rows = rows[:MOST_ROWS]
    scale = Scale(rows, now, BARS)
    height = TOP + ROW * len(rows) + 8
    svg = Svg()
    with svg.inside(
        "svg", class_="timeline", viewBox=f"0 0 {LABELS + BARS + 10:g} {height:g}", width=LABELS + BARS + 10,
        height=height, role="group", aria_label=f"{label}: {counted(len(rows), 'row')}",
    ):  # fmt: skip
        _axis(svg, scale, height, zone)
        for index, row in enumerate(rows):
            _row(svg, row, TOP + ROW * index, scale, now, row.id in critical)
    return svg.written()


def _axis(svg: Svg, scale: Scale, height: float, zone: tzinfo) -> None:
    free = 0.0
    for moment in scale.ticks():
        x = LABELS + scale.place(moment)
        if x < free:
            continue
        svg.leaf("line", x1=x, y1=TOP - 8, x2=x, y2=height - 4, class_="tick")
        text = cut(scale.text_of(moment, zone), 24)
        free = x + 7.5 * len(text) + 10
        if free <= LABELS + BARS + 20:  # it would not fit
            svg.text(text, x=x + 3, y=14, class_="dim")
    for before, after in scale.folded:
        x, end = LABELS + scale.place(before), LABELS + scale.place(after)
        with svg.inside("g", class_="idle"):
            text = f"⋯ {duration((after - before).total_seconds())} ⋯"
            svg.title(f"nothing ran for {duration((after - before).total_seconds())}")
            svg.leaf("rect", x=x, y=TOP - 8, width=end - x, height=height - TOP + 4)
            svg.text(text, x=x + 2, y=TOP - 2, class_="dim")


def _row(svg: Svg, row: Row, y: float, scale: Scale, now: datetime, is_critical: bool) -> None:
    said = f"{row.label}{f' ×{row.count:,}' if row.count > 1 else ''}, {row.status}: {_in_words(row, now)}"
    if is_critical:
        said += "; on the critical path"
    link = {"href": row.href} if row.href else {"role": "img"}
    with svg.inside(
        "a" if row.href else "g", class_=f"row{' is-critical' if is_critical else ''}", aria_label=said, **link
    ):
        svg.title(said)
        svg.leaf("rect", x=0, y=y, width=LABELS + BARS + 10, height=ROW, class_="ground")
        name = f"{cut(row.label, 22)}{f' ×{row.count:,}' if row.count > 1 else ''}"
        svg.text(f"{GLYPHS.get(row.status, ' ')} {name}", x=4, y=y + 17, class_=f"is-{row.status}")
        for piece in row.pieces:
            _piece(svg, piece, row, y + 5, scale, now)


def _piece(svg: Svg, piece: Piece, row: Row, y: float, scale: Scale, now: datetime) -> None:
    end = max(piece.start, piece.end or now)
    x = LABELS + scale.place(piece.start)
    width = max(LABELS + scale.place(end) - x, LEAST)
    status = piece.status or row.status
    height = ROW - 10
    if piece.kind == "running" and row.density:
        with svg.inside("g", class_=f"piece is-running is-envelope of-{status}"):
            svg.leaf("rect", x=x, y=y, width=width, height=height, class_="around")
            part = width / len(row.density)
            for index, share in enumerate(row.density):
                if share > 0:
                    tall = max(height * min(share, 1.0), 1.0)
                    svg.leaf("rect", x=x + index * part, y=y + height - tall, width=part, height=tall)
        return
    with svg.inside("g", class_=f"piece is-{piece.kind} of-{status}"):
        svg.leaf("rect", x=x, y=y, width=width, height=height, rx=2 if piece.kind == "running" else 0)
        if piece.kind == "waiting":
            _hatch(svg, x, y, width, height)


def _hatch(svg: Svg, x: float, y: float, width: float, height: float) -> None:
    """Slanting lines, as one path: without an id that another picture of the page might have."""
    path: list[str] = []
    at = x
    while at < x + width and len(path) < 200:
        over = min(at + HATCH, x + width)
        path.append(f"M{at:.1f} {y + height:.1f}L{over:.1f} {y + height * (1 - (over - at) / HATCH):.1f}")
        at += HATCH
    svg.leaf("path", d="".join(path), class_="hatch")


def _in_words(row: Row, now: datetime) -> str:
    spent: dict[str, float] = {}
    for piece in row.pieces:
        seconds = (max(piece.start, piece.end or now) - piece.start).total_seconds()
        spent[piece.kind] = spent.get(piece.kind, 0.0) + seconds
    words = {"waiting": "waited", "running": "ran", "sleeping": "slept"}
    parts = [f"{words.get(kind, kind)} {duration(seconds)}" for kind, seconds in spent.items()]
    attempts = sum(piece.kind == "running" for piece in row.pieces)
    if attempts > 1 and row.count == 1:
        parts.append(counted(attempts, "attempt"))
    return ", ".join(parts) or "has not begun"
