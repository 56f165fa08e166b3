"""What a timeline consists of, how moments become places on it, and the steps that decided how long a run took.

Stretches of time in which nothing ran and nothing waited for a worker are folded: a run that waits three hours for a
person would otherwise show its work as one line of a pixel.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

ENVELOPE_PARTS = 40
FOLDED_WIDTH = 64.0
LEAST_FOLDED_SECONDS = 5.0
BUSY_KINDS = frozenset({"running", "waiting"})


@dataclass(frozen=True, slots=True)
class Piece:
    """What a step did for some time."""

    kind: str  # "waiting" for a worker or a place; "running"; "sleeping": for a time, a message, a person
    start: datetime
    end: datetime | None  # None: until now
    status: str = ""  # how the attempt ended: "failed" for each that was retried


@dataclass(frozen=True, slots=True)
class Row:
    """A step, or a group of steps, which has one piece from its first beginning to its last end.

    Example::

        Row("3", "price", (Piece("waiting", begun, claimed), Piece("running", claimed, None)), status="running")
    """

    id: str
    label: str
    pieces: tuple[Piece, ...]
    status: str
    href: str | None = None
    count: int = 1
    density: tuple[float, ...] = ()  # of a group: how many of its steps ran, in equal parts of its time; the most is 1


@dataclass(frozen=True, slots=True)
class Span:
    """A step that has ended, for `critical_path`."""

    id: str
    ready: datetime | None
    started: datetime
    ended: datetime


def density(spans: Iterable[tuple[datetime, datetime]], parts: int = ENVELOPE_PARTS) -> tuple[float, ...]:
    """How many of these ran in each part of the time from the first start to the last end; the most is 1."""
    known = [(start.timestamp(), max(start, end).timestamp()) for start, end in spans]
    if not known:
        return ()
    begin, over = min(start for start, _ in known), max(end for _, end in known)
    size = (over - begin) / parts
    if size <= 0:
        return (1.0,)
    ran = [0.0] * parts
    for start, end in known:
        first, last = int((start - begin) / size), int((end - begin) / size)
        for part in range(min(first, parts - 1), min(last, parts - 1) + 1):
            low, high = begin + part * size, begin + (part + 1) * size
            ran[part] += max(min(end, high) - max(start, low), 0.0)
    most = max(ran) or 1.0
    return tuple(each / most for each in ran)


def critical_path(spans: Mapping[str, Span], parents: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The steps that decided when the last one ended: before each of them, the parent that ended last."""
    if not spans:
        return ()
    path = [max(spans, key=lambda one: (spans[one].ended, one))]
    while True:
        before = [one for one in parents.get(path[-1], ()) if one in spans and one not in path]
        if not before:
            return tuple(reversed(path))
        path.append(max(before, key=lambda one: (spans[one].ended, one)))


def divided_time(path: Iterable[str], spans: Mapping[str, Span]) -> tuple[float, float]:
    """The seconds that the steps of a critical path waited after their parents ended, and those that they ran."""
    waited = ran = 0.0
    before: datetime | None = None
    for one in path:
        span = spans[one]
        ran += max((span.ended - span.started).total_seconds(), 0.0)
        since = before or span.ready or span.started
        waited += max((span.started - since).total_seconds(), 0.0)
        before = span.ended
    return waited, ran


class Scale:
    """From moments to places: in proportion, but for idle time, whose stretches have a fixed width each."""

    def __init__(self, rows: Iterable[Row], now: datetime, width: float) -> None:
        pieces = [piece for row in rows for piece in row.pieces]
        moments = [each for piece in pieces for each in (piece.start, _end(piece, now))] or [now]
        self.begin, self.end = min(moments), max(moments)
        self.tick_seconds = _ROUND[0]
        busy = sorted((piece.start, _end(piece, now)) for piece in pieces if piece.kind in BUSY_KINDS)
        self.folded = _gaps(busy, self.begin, self.end)
        idle = sum((after - before).total_seconds() for before, after in self.folded)
        seconds = max((self.end - self.begin).total_seconds() - idle, 1e-6)
        each = min(FOLDED_WIDTH, width / 2 / max(len(self.folded), 1))
        self._moments, self._places = [self.begin], [0.0]
        self.per_second = (width - each * len(self.folded)) / seconds
        for before, after in self.folded:
            there = self._places[-1] + (before - self._moments[-1]).total_seconds() * self.per_second
            self._moments += [before, after]
            self._places += [there, there + each]
        last = self._places[-1] + (self.end - self._moments[-1]).total_seconds() * self.per_second
        self._moments.append(self.end)
        self._places.append(last)

    def place(self, moment: datetime) -> float:
        """Where a moment is; moments outside are at the ends."""
        index = bisect_right(self._moments, moment) - 1
        if index < 0:
            return self._places[0]
        if index >= len(self._moments) - 1:
            return self._places[-1]
        whole = (self._moments[index + 1] - self._moments[index]).total_seconds()
        part = (moment - self._moments[index]).total_seconds() / whole if whole > 0 else 0.0
        return self._places[index] + part * (self._places[index + 1] - self._places[index])

    def ticks(self, most: int = 8) -> list[datetime]:
        """Round moments to be written below, none of them in folded time. `text_of` writes them."""
        if most < 1 or self.end <= self.begin:
            return [self.begin]
        wanted = self._places[-1] / self.per_second / most
        size = next((each for each in _ROUND if each >= wanted), _ROUND[-1] * max(1.0, wanted // _ROUND[-1]))
        self.tick_seconds = size
        found: list[datetime] = []
        for start, end in zip(self._moments[::2], self._moments[1::2], strict=True):
            moment = datetime.fromtimestamp(-(-start.timestamp() // size) * size, start.tzinfo)
            while moment <= end and len(found) < 4 * most:
                found.append(moment)
                moment += timedelta(seconds=size)
        return found or [self.begin]

    def text_of(self, moment: datetime, zone: tzinfo) -> str:
        """A tick in words, of which no two are alike: with the day if there are several, with fractions of a second
        if ticks are less than a second apart.
        """
        there, begin, end = moment.astimezone(zone), self.begin.astimezone(zone), self.end.astimezone(zone)
        digits = next((each for each in range(3) if self.tick_seconds >= 10.0**-each), 3)
        fraction = f".{there.microsecond:06}"[: digits + 1] if digits else ""
        return (f"{there:%m-%d} " if begin.date() != end.date() else "") + f"{there:%H:%M:%S}{fraction}"


_ROUND = tuple(
    float(each)
    for each in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900,
                 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2592000)
)  # fmt: skip


def _end(piece: Piece, now: datetime) -> datetime:
    return max(piece.start, piece.end or now)


def _gaps(busy: list[tuple[datetime, datetime]], begin: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """The idle stretches that are longer than all work together: the work would be hard to see beside them."""
    gaps: list[tuple[datetime, datetime]] = []
    until, worked = begin, 0.0
    for start, over in [*busy, (end, end)]:
        if start > until:
            gaps.append((until, start))
        worked += max((over - max(start, until)).total_seconds(), 0.0)
        until = max(until, over)
    least = max(worked, LEAST_FOLDED_SECONDS)
    return [(before, after) for before, after in gaps if (after - before).total_seconds() > least]
