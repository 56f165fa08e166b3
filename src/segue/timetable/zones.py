"""Time zones by name, and the wall time in a zone at a real moment.

Real moments are aware datetimes in UTC. Wall times are naive datetimes: what people in the zone read off their clocks.
When clocks are put forward some wall times are skipped; when they are put back some come twice. The functions here
handle any size of shift (half an hour on Lord Howe, a whole day on Samoa) at any time of day.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from segue.errors import ConfigError

# Names that a machine may know, but that differ between machines, or count leap seconds.
_PRIVATE_NAMES = frozenset({"localtime", "posixrules", "Factory"})
_PRIVATE_FOLDERS = ("posix/", "right/")

_SECOND = timedelta(seconds=1)


@lru_cache(maxsize=256)
def zone_named(name: str) -> tzinfo:
    """The time zone of this IANA name. Raises `ConfigError` for an unknown name, and suggests the nearest known one.

    Example::

        zone_named("Europe/Paris")
    """
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - takes milliseconds, and not every process has schedules

    if name not in _PRIVATE_NAMES and not name.startswith(_PRIVATE_FOLDERS):
        try:
            return ZoneInfo(name)
        except (LookupError, ValueError, OSError):  # unknown; not a path inside the database; a folder of it
            pass
    raise ConfigError(f"The time zone {name!r} is unknown. {_remedy(name)}")


def _remedy(name: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only when there is an error to explain
    from zoneinfo import available_timezones  # noqa: PLC0415

    known = {zone.casefold(): zone for zone in available_timezones() - _PRIVATE_NAMES}
    wanted = name.strip().replace(" ", "_").casefold()
    if wanted in known:
        return f"Did you mean {known[wanted]!r}?"
    if "/" not in name and (name.isupper() or any(sign in name for sign in "+-0123456789")):
        return "Abbreviations and offsets do not say when clocks change. Write a place, such as 'Europe/Paris'."
    cities = {zone.rpartition("/")[2]: zone for zone in sorted(known)}
    near = get_close_matches(wanted, known, n=1, cutoff=0.75) or [
        cities[city] for city in get_close_matches(wanted.rpartition("/")[2], cities, n=1, cutoff=0.8)
    ]
    if near:
        return f"Did you mean {known[near[0]]!r}?"
    return "Write a name of the IANA database, such as 'UTC', 'Europe/Paris' or 'America/New_York'."


def wall_time(moment: datetime, zone: tzinfo) -> datetime:
    """What a wall clock shows at this moment (naive)."""
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def moments_showing(wall: datetime, zone: tzinfo) -> tuple[datetime, ...]:
    """The moments at which the clock shows this time: usually one, two if it is put back over it, none if it skips."""
    first = wall.replace(tzinfo=zone).astimezone(UTC)
    second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if first == second:
        return (first,)
    return (first, second) if first < second else ()


def first_reaching(wall: datetime, zone: tzinfo) -> datetime:
    """The first moment at which the clock shows this wall time or, if it is skipped, a later one."""
    shown = moments_showing(wall, zone)
    return shown[0] if shown else end_of_gap(wall, zone)


def end_of_gap(wall: datetime, zone: tzinfo) -> datetime:
    """The moment at which the clock is put forward over this skipped wall time."""
    early = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    late = wall.replace(tzinfo=zone).astimezone(UTC)
    return first_change(early, late, zone)


def offset_at(moment: datetime, zone: tzinfo) -> timedelta:
    """How far the clocks of the zone are ahead of UTC."""
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def first_change(early: datetime, late: datetime, zone: tzinfo) -> datetime:
    """The moment in (early, late] at which clocks change. The period must contain exactly one change."""
    before = offset_at(early, zone)
    low, high = 0, -((early - late) // _SECOND)
    while high - low > 1:
        middle = (low + high) // 2
        if offset_at(early + middle * _SECOND, zone) == before:
            low = middle
        else:
            high = middle
    return (early + high * _SECOND).replace(microsecond=0)
