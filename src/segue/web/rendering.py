"""From data to HTML: the templates, and the few functions that they use. Everything is escaped.

Every time on a page is made by `when` or `ago_of`, and every link by `url`, so that zones and mounted paths are right
everywhere.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import jinja2
import msgspec
from markupsafe import Markup

from segue.client.wording import GLYPHS, HELD, ORDER
from segue.model import short_id
from segue.times import ago, duration
from segue.version import __version__
from segue.web.drawing.graph_svg import in_words
from segue.web.drawing.spark import divided, sparkline
from segue.web.operations import OPERATIONS
from segue.web.paths import path_part
from segue.web.troubles import Trouble, badges_of, troubles_of
from segue.web.zones import UTC_ZONE

if TYPE_CHECKING:
    from segue.web.pages.frame import View

FOLDER = Path(__file__).parent

SHORT = 100
"""Characters of a value that is shown in one line."""

SHOWN = 8192
"""Characters of a value that is shown in a page."""

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
_TAG_OR_CONTROL = re.compile(rf"<(?:textarea|option)\b[^>]*>[^<]*|<[^>]*>|\x1b\[[0-9;]{{0,30}}m|{_CONTROL.pattern}")


@functools.cache
def environment() -> jinja2.Environment:
    """The templates. A name that does not exist is an error, never an empty text."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, auto_reload=False,
    )  # fmt: skip
    made.filters.update(
        short=short_id, duration=duration, glyph=lambda status: GLYPHS.get(str(status), " "),
        last_part=lambda name: name.rpartition(".")[2], rate=rate,
        held=lambda gate: HELD.get(str(gate), f"held by {gate}"),
        as_minute=lambda text: f"{text}T00:00" if _DAY.fullmatch(text) else text,
        capitalize_first=lambda text: text[:1].upper() + text[1:],
    )  # fmt: skip
    made.globals.update(
        version=__version__, quoted=path_part, divided=divided_bar, sparkline=spark, in_order=in_order,
        json_text=json_text, picture=picture,
    )  # fmt: skip
    return made


def rendered(
    template: str, view: View | None, *, title: str, data: Mapping[str, Any], live: str | None = None,
    root: str | None = None,
) -> str:  # fmt: skip
    """A template as HTML. Without a view it is a page for a stranger."""
    tools = _Tools(view, root if root is not None else (view.root if view is not None else ""))
    text = environment().get_template(template).render(
        **data, view=view, title=title, live=live, url=tools.url, static=tools.static, when=tools.when,
        ago_of=tools.ago_of, may=tools.may, here=tools.here, act=tools.act, took=tools.took, troubles=tools.troubles,
        badges=tools.badges,
    )  # fmt: skip
    return without_controls(text)


def without_controls(page: str) -> str:
    """A page whose texts have no character that acts unseen: colours are dropped, and other such characters shown.

    Attributes and fields keep theirs, since forms send them back. Characters that turn the direction of what follows
    would let `invoice\u202efdp.exe` look like a PDF.
    """
    return _TAG_OR_CONTROL.sub(_shown_control, page) if _CONTROL.search(page) else page


def _shown_control(found: re.Match[str]) -> str:
    text = found[0]
    if text[0] == "<":
        return text
    if len(text) > 1:
        return ""
    return chr(0x2400 + ord(text)) if ord(text) < 32 else f"[U+{ord(text):04X}]"


def rate(per_second: float) -> str:
    """How often something happens, in the unit in which the number is not tiny."""
    times, unit = (1, "s") if per_second >= 1 or not per_second else (60, "min")
    if 0 < per_second * times < 1:
        times, unit = 3600, "h"
    number = per_second * times
    return f"{number:,.0f}/{unit}" if number >= 10 or not number else f"{number:.1f}/{unit}"


def linked(path: str, pairs: Iterable[tuple[str, str]]) -> str:
    """A path with a query of these pairs, below the root of the application."""
    query = urlencode(list(pairs))
    return f"{path}?{query}" if query else path


class _Tools:
    """What templates call."""

    def __init__(self, view: View | None, root: str) -> None:
        self._view, self._root = view, root

    def url(self, path: str, /, **query: Any) -> str:
        """A link to a path of this application. Query values that are None or empty are left out."""
        given = [(name, each) for name, value in query.items() for each in _several(value)]
        return self._root + path + (f"?{urlencode(given)}" if given else "")

    def here(self, **changed: Any) -> str:
        """This page with some of its query changed; None removes a value."""
        assert self._view is not None
        path, _, query = self._view.here.partition("?")
        kept = [(name, value) for name, value in parse_qsl(query) if name not in changed]
        given = kept + [(name, each) for name, value in changed.items() for each in _several(value)]
        return self._root + path + (f"?{urlencode(given)}" if given else "")

    def act(self, path: str, /) -> str:
        """Where a form that does the operation at this path of the API is sent."""
        return f"{self._root}/act{path}"

    def static(self, name: str) -> str:
        """A link to a file of ours, which changes with the file."""
        return f"{self._root}/static/{name}?v={file_version(name)}"

    def when(self, moment: datetime | None) -> Markup:
        """A moment in the zone of the person, and in UTC for machines and for the mouse."""
        if moment is None:
            return Markup("–")
        zone = self._view.zone if self._view is not None else UTC_ZONE
        there, exact = moment.astimezone(zone), moment.astimezone(UTC)
        is_today = self._view is not None and self._view.now.astimezone(zone).date() == there.date()
        text = f"{there:%H:%M:%S}" if is_today else f"{there:%Y-%m-%d %H:%M:%S}"
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            exact.isoformat(timespec="milliseconds"), f"{exact:%Y-%m-%d %H:%M:%S} UTC · {there:%H:%M:%S %Z}", text
        )

    def ago_of(self, moment: datetime | None) -> Markup:
        """How long ago a moment is, with the moment for the mouse."""
        if moment is None or self._view is None:
            return Markup("–")
        there = moment.astimezone(self._view.zone)
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            moment.astimezone(UTC).isoformat(timespec="milliseconds"), f"{there:%Y-%m-%d %H:%M:%S %Z}",
            ago(moment, self._view.now),
        )  # fmt: skip

    def took(self, begun: datetime | None, ended: datetime | None) -> str:
        """How long something lasted, or lasts until now; clocks may differ, so never less than nothing."""
        if begun is None or self._view is None:
            return "–"
        return duration(max(((ended or self._view.now) - begun).total_seconds(), 0.0))

    def troubles(self) -> Sequence[Trouble]:
        """What is wrong with the whole installation."""
        return () if self._view is None else troubles_of(self._view.call, self._view.now)

    def badges(self) -> Mapping[str, tuple[str, str]]:
        """The counts in the menu."""
        return {} if self._view is None else badges_of(self._view.call)

    def may(self, name: str) -> bool:
        """Whether the person may do an operation."""
        return self._view is not None and name in OPERATIONS and self._view.call.may(name)


def divided_bar(counts: Mapping[Any, int]) -> Markup:
    """A small bar, divided by status."""
    named = {str(status): count for status, count in counts.items()}
    return Markup(divided(named, label=in_words(named)))


def spark(values: Sequence[float | None], *, label: str, status: str = "") -> Markup:
    """Small bars, for how a number went."""
    return Markup(sparkline(values, label=label, status=status))


def picture(svg: str) -> Markup:
    """A picture that `segue.web.drawing` has written."""
    return Markup(svg)


def in_order(counts: Mapping[Any, int]) -> list[tuple[str, int]]:
    """Statuses with their counts, in the order in which people read them, without those that are not there."""
    named = {str(status): count for status, count in counts.items() if count}
    return [(status, named[status]) for status in (*ORDER, *sorted(named.keys() - set(ORDER))) if status in named]


class JsonText(msgspec.Struct, frozen=True):
    """A JSON value as a text to show."""

    text: str
    lines: int
    is_cut: bool
    says: str  # how much it is

    @property
    def is_short(self) -> bool:
        """Whether it fits in a line."""
        return self.lines == 1 and len(self.text) <= SHORT

    @property
    def first(self) -> str:
        """The beginning, in one line."""
        line = " ".join(self.text[:400].split())
        return line if len(line) <= SHORT else line[:SHORT] + "…"


def json_text(value: Any) -> JsonText:
    """A JSON value as people read it, with all digits of its numbers; at most SHOWN characters of it."""
    plain = msgspec.json.encode(value).decode("utf-8", "replace")
    if len(plain) <= SHORT:
        return JsonText(plain, 1, False, "")
    whole = msgspec.json.format(plain, indent=2)
    text = whole[:SHOWN] + ("…" if len(whole) > SHOWN else "")
    return JsonText(text, text.count("\n") + 1, len(whole) > SHOWN, f"{len(plain):,} characters")


@functools.cache
def file_version(name: str) -> str:
    """A short digest of a static file."""
    return hashlib.blake2b((FOLDER / "static" / name).read_bytes(), digest_size=6).hexdigest()


def _several(value: Any) -> list[str]:
    if value is None or value == "":
        return []
    return [str(each) for each in value] if isinstance(value, (list, tuple)) else [str(value)]
