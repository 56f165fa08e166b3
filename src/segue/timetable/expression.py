"""Cron expressions as text: the five fields, their names and shorthands, and the mistakes in a bad expression.

The syntax and its meaning are those of Debian's cron, as the cronsim library reads them. Expressions that cronsim
accepts but that must be a mistake (a step longer than its field) are refused here. This module handles only wall times,
without a zone.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from segue.errors import ConfigError

if TYPE_CHECKING:
    from cronsim import CronSim

SHORTHANDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_NAMED = {name: value for value, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))} | {
    name: value
    for value, name in enumerate(
        ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"), start=1
    )
}
LONGEST_TEXT = 250  # characters

_ORDER = "minute, hour, day of month, month, day of week"
_EXAMPLE = "for example '0 2 * * *' for 02:00 every day"
_SOME_DAY = date(2000, 1, 1)


class Field(NamedTuple):
    """One of the five fields: its name, the values it takes, and the steps that are not a mistake (None: all).

    In the fields for days a step beyond the field is a known trick: `0 0 1-7 * */7` is the first Sunday of a month,
    because a field that begins with `*` must match as well as the other one.
    """

    name: str
    takes: str
    longest_step: int | None = None


FIELDS = (
    Field("minute", "0-59", 59),
    Field("hour", "0-23", 23),
    Field("day of month", "1-31, L (the last day) and LW (the last weekday)"),
    Field("month", "1-12 and JAN-DEC"),
    Field("day of week", "0-7 (0 and 7 are Sunday), SUN-SAT, 5#2 (the second Friday) and 5L (the last Friday)"),
)


def canonical(text: str) -> str:
    """The expression with shorthands expanded, names in capitals and single spaces; it is not checked further.

    Raises `ConfigError` for an unknown shorthand, or if it does not have five fields.
    """
    words = text.split()
    if len(words) == 1 and words[0].startswith("@"):
        try:
            return SHORTHANDS[words[0].lower()]
        except KeyError:
            known = ", ".join(SHORTHANDS)
            raise ConfigError(
                f"Unknown shorthand {words[0]!r}; shorthands are {known}. For an interval write 'every 15 minutes'."
            ) from None
    if len(text) > LONGEST_TEXT:
        raise ConfigError(
            f"The cron expression {text[:40]!r}... is longer than {LONGEST_TEXT} characters. Split it in two."
        )
    if len(words) != len(FIELDS):
        raise ConfigError(_wrong_count(text, words))
    return " ".join(words).upper()


class Rule(NamedTuple):
    """A parsed expression: the `times` of a matching day, in minutes since midnight, and the fields for the days.

    `follows_real_time` is True if minute or hour is a wildcard (begins with `*`). Such a job depends on the time since
    the last tick; all others depend on the time that the clock shows.
    """

    times: tuple[int, ...]
    days: str
    follows_real_time: bool


@lru_cache(maxsize=1024)
def rule_of(expression: str) -> Rule:
    """Parse a canonical expression. Raises `ConfigError` if a field is invalid, and names it, or if it never fires."""
    if canonical(expression) != expression:
        raise ConfigError(
            f"{expression!r} is not in canonical form. Use parse_timetable, or {canonical(expression)!r}."
        )
    words = expression.split()
    for field, word in zip(FIELDS, words, strict=True):
        _check_field(expression, field, word)
    minute, hour, days = words[0], words[1], " ".join(words[2:])
    if first_day(days, _SOME_DAY) is None:
        raise ConfigError(
            f"The cron expression {expression!r} never fires: no year has such a day. Check day of month, month and "
            "day of week together; '0 0 L * *' is the last day of every month, whatever its length."
        )
    walls = _walls(f"{minute} {hour} * * *", _SOME_DAY)
    assert walls is not None  # all fields were checked
    times = tuple(wall.hour * 60 + wall.minute for wall in takewhile(lambda wall: wall.date() == _SOME_DAY, walls))
    return Rule(times, days, minute.startswith("*") or hour.startswith("*"))


@lru_cache(maxsize=4096)
def first_day(days: str, day: date) -> date | None:
    """The first day from `day` on that an expression's last three fields match; None if fifty years have none."""
    walls = _walls(f"0 0 {days}", day)
    wall = None if walls is None else next(walls, None)
    return None if wall is None else wall.date()


def in_words(expression: str) -> str:
    """The expression in English, such as "at 02:00 every day"."""
    walls = _walls(expression, _SOME_DAY)
    assert walls is not None  # only called with valid expressions
    words = walls.explain()
    return words[0].lower() + words[1:]


def _walls(expression: str, day: date) -> CronSim | None:
    """The matching wall times from the beginning of `day` on; None if cronsim cannot parse the expression."""
    from cronsim import CronSim, CronSimError  # noqa: PLC0415 - takes milliseconds; not every process has schedules

    try:
        return CronSim(expression, datetime.combine(day, time.min) - timedelta(seconds=1))
    except CronSimError:
        return None


def _check_field(expression: str, field: Field, word: str) -> None:
    at_fault = f"The {field.name} {word!r} of the cron expression {expression!r}"
    words = ["*"] * len(FIELDS)
    words[FIELDS.index(field)] = word
    if _walls(" ".join(words), _SOME_DAY) is None:
        raise ConfigError(f"{at_fault} is invalid. {_field_remedy(field, word)}")
    for term in word.split(","):
        span, _, step = term.partition("/")
        first, _, last = span.partition("-")
        if step and last and _value(first) == _value(last):  # cronsim would continue to the end of the field
            raise ConfigError(f"{at_fault} has a step over the one value {span!r}. Write {first!r}, or a longer range.")
        if step and field.longest_step and int(step) > field.longest_step:
            raise ConfigError(
                f"{at_fault} has a step of {step}, longer than the field, which takes {field.takes}. "
                f"Write 'every {step} {field.name}s' if that is what you mean."
            )


def _value(word: str) -> int:
    return _NAMED[word] if word in _NAMED else int(word)


def _field_remedy(field: Field, word: str) -> str:
    takes = f"It takes {field.takes}, * for all, lists 1,3, ranges upward 1-5, steps */2 and 1-5/2."
    if word == "?":
        return f"Write * for any. {takes}"
    if word.endswith("W") and word != "LW":
        return f"The nearest weekday is not supported. {takes}"
    return takes


def _wrong_count(text: str, words: list[str]) -> str:
    if not words:
        return f"The schedule is empty. Write a cron expression, {_EXAMPLE}, or an interval such as 'every 15 minutes'."
    if len(words) == 6:
        hint = f"Without the seconds it is {' '.join(words[1:])!r}; 'every 10 seconds' is an interval."
        return f"The cron expression {text!r} has six fields, but seconds are not supported. {hint}"
    return (
        f"{text!r} is not a schedule: a cron expression has five fields ({_ORDER}), {_EXAMPLE}; this has {len(words)}."
    )
