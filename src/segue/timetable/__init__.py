"""When a schedule ticks: cron expressions in a time zone, and fixed intervals. No I/O, no clock, no log."""

from segue.timetable.cron import Cron
from segue.timetable.interval import Every
from segue.timetable.parse import parse_timetable
from segue.timetable.timetable import Timetable

__all__ = ["Cron", "Every", "Timetable", "parse_timetable"]
