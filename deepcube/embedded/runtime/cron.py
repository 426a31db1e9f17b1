"""Cron expressions in the syntax of Quartz, which Hopsworks uses for schedules.

Six or seven fields: seconds, minutes, hours, day of month, month, day of week, and, if given, year. ``*`` any, ``?``
no matter (one of the two day fields), ``a-b``, ``a/step``, ``a,b``; names of months and days; in the day of month
``L`` (last), ``L-n``, ``15W`` (the working day nearest), ``LW``; in the day of week (1 = Sunday) ``6L`` (last Friday)
and ``6#3`` (third Friday). Syntax: https://www.quartz-scheduler.org/documentation/quartz-2.3.0/tutorials/crontrigger.html
"""

from __future__ import annotations

import calendar
import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from deepcube.embedded.errors import bad_request

_MONTHS = {name: number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {name: number for number, name in enumerate(("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"), start=1)}
_YEARS = (1970, 2199)
_LOOK_AHEAD_YEARS = 100
_WEEKDAYS = 5
# Each span holds few enough fires, as the shorter ones before it held none.
_LOOK_BACK = (
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
    timedelta(days=32),
    timedelta(days=400),
    timedelta(days=3653),
)

_OF_MONTH = re.compile(r"L(-(\d{1,2}))?|LW|(\d{1,2})W")
_OF_WEEK = re.compile(r"(\w+)L|(\w+)#([1-5])")

DayRule = Callable[[date], bool]


@dataclass(frozen=True)
class Cron:
    """A parsed expression.

    Attributes
    ----------
    text : str
        The expression.
    seconds, minutes, hours, months, years : tuple of int
        Allowed values, ascending.
    day : callable
        Whether a date is one of its days.
    """

    text: str
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: tuple[int, ...]
    years: tuple[int, ...]
    day: DayRule

    def after(self, moment: datetime) -> datetime | None:
        """Return the first time after a moment at which it fires, UTC; None if there is none in a hundred years."""
        start = moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        day = start.date()
        last = date(min(day.year + _LOOK_AHEAD_YEARS, _YEARS[1]), 12, 31)
        while day <= last:
            if day.year not in self.years:
                day = date(day.year + 1, 1, 1)
            elif day.month not in self.months:
                day = (day.replace(day=1) + timedelta(days=31)).replace(day=1)
            else:
                at = self._time_of(day, start) if self.day(day) else None
                if at is not None:
                    return at
                day += timedelta(days=1)
        return None

    def before(self, moment: datetime) -> datetime | None:
        """Return the last time before a moment at which it fired, UTC; None if there is none in ten years."""
        for span in _LOOK_BACK:
            found, at = None, self.after(moment - span)
            while at is not None and at < moment:
                found, at = at, self.after(at)
            if found is not None:
                return found
        return None

    def _time_of(self, day: date, start: datetime) -> datetime | None:
        """Return the first time of a day, not before the start."""
        if day > start.date():
            return datetime(day.year, day.month, day.day, self.hours[0], self.minutes[0], self.seconds[0], tzinfo=UTC)
        for hour in self.hours[bisect_left(self.hours, start.hour) :]:
            first_minute = start.minute if hour == start.hour else 0
            for minute in self.minutes[bisect_left(self.minutes, first_minute) :]:
                same_minute = hour == start.hour and minute == start.minute
                left = self.seconds[bisect_left(self.seconds, start.second if same_minute else 0) :]
                if left:
                    return datetime(day.year, day.month, day.day, hour, minute, left[0], tzinfo=UTC)
        return None


def parse(text: str) -> Cron:
    """Parse a Quartz cron expression.

    Raises
    ------
    ApiError
        If it is none; the message says which field is wrong.
    """
    fields = text.upper().split()
    if len(fields) not in (6, 7):
        raise bad_request(
            f"the cron expression {text!r} has {len(fields)} fields; Quartz has six (seconds, minutes, hours, "
            "day of month, month, day of week) or seven (year)"
        )
    seconds, minutes, hours, of_month, months, of_week = fields[:6]
    if (of_month == "?") == (of_week == "?"):
        raise bad_request(f"the cron expression {text!r} needs ? in exactly one of day of month and day of week")
    names = {name.upper(): number for name, number in _MONTHS.items()}
    return Cron(
        text,
        _values(seconds, 0, 59, "seconds"),
        _values(minutes, 0, 59, "minutes"),
        _values(hours, 0, 23, "hours"),
        _values(months, 1, 12, "month", names),
        _values(fields[6] if len(fields) > 6 else "*", *_YEARS, "year"),
        _week_rule(of_week) if of_month == "?" else _month_rule(of_month),
    )


def _number(text: str, low: int, high: int, field: str, names: dict[str, int]) -> int:
    value = names.get(text, int(text) if text.isdecimal() else -1)
    if not low <= value <= high:
        raise bad_request(f"{text!r} is not a {field} of a cron expression ({low} to {high})")
    return value


def _values(text: str, low: int, high: int, field: str, names: dict[str, int] | None = None) -> tuple[int, ...]:
    """Return the values that a field allows."""
    allowed: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, 1, high, f"step of {field}", {}) if slash else 1
        first_text, dash, last_text = span.partition("-")
        if span == "*":
            first, last = low, high
        else:
            first = _number(first_text, low, high, field, names or {})
            last = _number(last_text, low, high, field, names or {}) if dash else high if slash else first
        if last < first:  # around the end, such as FRI-MON or 22-2
            allowed |= {
                low + (first - low + i) % (high - low + 1) for i in range(0, last + high - low + 2 - first, step)
            }
        else:
            allowed |= set(range(first, last + 1, step))
    return tuple(sorted(allowed))


def _month_rule(text: str) -> DayRule:
    """Return the rule of a day-of-month field."""
    if not _OF_MONTH.fullmatch(text):
        days = set(_values(text, 1, 31, "day of month"))
        return lambda day: day.day in days
    if text == "LW":
        return lambda day: day == _nearest_weekday(day.year, day.month, _length(day))
    if text.endswith("W"):
        number = _number(text[:-1], 1, 31, "day of month", {})
        return lambda day: number <= _length(day) and day == _nearest_weekday(day.year, day.month, number)
    before = int(text[2:] or 0)
    return lambda day: day.day == _length(day) - before


def _week_rule(text: str) -> DayRule:
    """Return the rule of a day-of-week field; Sunday is 1."""
    names = {name.upper(): number for name, number in _DAYS.items()}
    special = _OF_WEEK.fullmatch(text)
    if text == "L":
        return lambda day: _day_of_week(day) == _DAYS["Sat"]
    if special is None:
        days = set(_values(text, 1, 7, "day of week", names))
        return lambda day: _day_of_week(day) in days
    if special[1] is not None:
        wanted = _number(special[1], 1, 7, "day of week", names)
        return lambda day: _day_of_week(day) == wanted and day.day > _length(day) - 7
    wanted, nth = _number(special[2], 1, 7, "day of week", names), int(special[3])
    return lambda day: _day_of_week(day) == wanted and (day.day - 1) // 7 + 1 == nth


def _day_of_week(day: date) -> int:
    return day.isoweekday() % 7 + 1


def _length(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def _nearest_weekday(year: int, month: int, number: int) -> date:
    """Return the working day nearest to a day, within its month."""
    day = date(year, month, number)
    if day.isoweekday() <= _WEEKDAYS:
        return day
    is_saturday = day.isoweekday() == _WEEKDAYS + 1
    if is_saturday:
        return day - timedelta(days=1) if number > 1 else day + timedelta(days=2)
    return day + timedelta(days=1) if number < _length(day) else day - timedelta(days=2)
