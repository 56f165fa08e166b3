"""Timelines and small bars: places in the order of moments, folded idle time, the critical path, and sound markup."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from segue.web.drawing.spark import divided, sparkline
from segue.web.drawing.timeline import Piece, Row, Scale, Span, critical_path, density, divided_time
from segue.web.drawing.timeline_svg import MOST_ROWS, timeline_svg

START = datetime(2026, 11, 29, 14, 2, 11, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


moments = st.floats(-1e6, 1e6).map(at)
pieces = st.builds(
    Piece, st.sampled_from(("waiting", "running", "sleeping", "odd")), moments, st.none() | moments,
    st.sampled_from(("", "failed", "lost")),
)  # fmt: skip
texts = st.sampled_from(("", "load", "<b>", "名", "\x00"))
shares = st.lists(st.floats(0, 1), max_size=4).map(tuple)
rows = st.lists(
    st.builds(
        Row, texts, texts, st.lists(pieces, max_size=4).map(tuple), st.just("running"),
        count=st.integers(1, 9), density=shares,
    ),
    max_size=6,
)  # fmt: skip


@given(rows, moments, st.lists(moments, max_size=6))
def test_later_is_never_further_left(found: list[Row], now: datetime, asked: list[datetime]) -> None:
    scale = Scale(found, now, 700)
    places = [scale.place(moment) for moment in sorted(asked)]
    assert all(-1e-6 <= place <= 700 + 1e-3 for place in places)
    assert all(one <= other + 1e-6 for one, other in pairwise(places))
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 60
    days = (scale.end - scale.begin).days
    words = {scale.text_of(tick, UTC) for tick in ticks}
    assert len(words) == len(ticks) or days > 300  # the year is not written
    ElementTree.fromstring(timeline_svg(found, now=now, zone=UTC, critical={""}))


def test_idle_time_is_folded_and_work_gets_the_width() -> None:
    found = [
        Row("0", "list", (Piece("running", at(0), at(4)),), "succeeded"),
        Row("1", "approve", (Piece("sleeping", at(4), at(10_804)),), "succeeded"),
        Row("2", "print", (Piece("waiting", at(10_804), at(10_805)), Piece("running", at(10_805), at(10_808))), "lost"),
    ]  # fmt: skip
    scale = Scale(found, at(20_000), 700)
    assert scale.folded == [(at(4), at(10_804))]
    assert scale.place(at(4)) > 250
    assert "⋯ 3 h 00 min ⋯" in timeline_svg(found, now=at(20_000), zone=UTC)


def test_ticks_are_written_so_that_they_differ() -> None:
    def texts(seconds: float) -> list[str]:
        scale = Scale([Row("0", "a", (Piece("running", at(0), at(seconds)),), "succeeded")], at(seconds), 700)
        return [scale.text_of(tick, UTC) for tick in scale.ticks()]

    assert texts(1.2)[:2] == ["14:02:11.0", "14:02:11.2"]
    assert texts(0.012)[:2] == ["14:02:11.000", "14:02:11.002"]
    assert texts(40)[:2] == ["14:02:15", "14:02:20"]
    assert texts(86400 * 3)[:2] == ["11-30 00:00:00", "11-30 12:00:00"]


def test_time_in_which_a_step_waits_for_a_worker_is_not_idle() -> None:
    found = [Row("0", "a", (Piece("waiting", at(0), at(9_000)), Piece("running", at(9_000), at(9_001))), "running")]
    assert Scale(found, at(9_001), 700).folded == []


def test_each_attempt_is_a_piece_and_rows_say_what_they_show() -> None:
    pieces = (Piece("running", at(0), at(1), "failed"), Piece("sleeping", at(1), at(3)), Piece("running", at(3), None))
    svg = timeline_svg(
        [Row("3", "load <b>", pieces, "running", href="/runs/7/steps/3")], now=at(5), zone=UTC, critical={"3"}
    )
    said = "load &lt;b&gt;, running: ran 3.0 s, slept 2.0 s, 2 attempts; on the critical path"
    assert f'aria-label="{said}" href="/runs/7/steps/3"' in svg
    assert svg.count('class="piece is-running of-failed"') == 1
    assert svg.count('class="piece is-running of-running"') == 1


def test_many_rows_are_bounded() -> None:
    many = [Row(str(number), "a", (Piece("running", at(0), at(1)),), "succeeded") for number in range(5000)]
    assert timeline_svg(many, now=at(1), zone=UTC).count('class="row"') == MOST_ROWS


def test_the_critical_path_follows_the_parent_that_ended_last() -> None:
    spans = {
        "list": Span("list", at(0), at(0), at(1)),
        "price": Span("price", at(1), at(3), at(6)),
        "mail": Span("mail", at(1), at(1), at(2)),
        "add": Span("add", at(6), at(6.5), at(8)),
    }
    parents = {"price": ["list"], "mail": ["list"], "add": ["mail", "price"]}
    path = critical_path(spans, parents)
    assert path == ("list", "price", "add")
    assert divided_time(path, spans) == (2.5, 5.5)
    assert critical_path({}, {}) == ()
    assert critical_path(spans, {"add": ["add", "price"], "price": ["add"]}) == ("price", "add")  # a damaged graph


def test_the_density_of_a_group_shows_when_many_ran() -> None:
    found = density([(at(0), at(10)), (at(5), at(10))], parts=10)
    assert found == (0.5,) * 5 + (1.0,) * 5
    assert density([]) == ()
    assert density([(at(1), at(1))]) == (1.0,)
    assert density([(at(2), at(1))]) == (1.0,)  # clocks differ


@given(st.lists(st.none() | st.floats(-1e9, 1e9), max_size=70), st.sampled_from(("", '<b>"', "\ud800")))
def test_bars_are_sound(values: list[float | None], label: str) -> None:
    for svg in (sparkline(values, label=label), divided({"failed": 1, "succeeded": 10_000, label: 2}, label=label)):
        for rect in ElementTree.fromstring(svg).iter("rect"):
            assert float(rect.attrib["width"]) > 0
            assert float(rect.attrib["height"]) > 0
            assert float(rect.attrib["x"]) + float(rect.attrib["width"]) <= 121
