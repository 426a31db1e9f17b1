"""Dates written into names of files and bands."""

import re
from datetime import datetime

import pandas as pd

_SEPARATED = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d\d)(?P<gap>[-._/:]?)(?P<month>0[1-9]|1[0-2])(?P=gap)(?P<day>0[1-9]|[12]\d|3[01])"
    r"(?:[T_ -](?P<hour>[01]\d|2[0-3]):?(?P<minute>[0-5]\d):?(?P<second>[0-5]\d)?Z?)?(?!\d)"
)
_FIELDS = ("year", "month", "day", "hour", "minute", "second")
_ORDINAL = re.compile(r"(?<!\d)(?P<year>(?:19|20)\d\d)(?P<ordinal>00[1-9]|0[1-9]\d|[12]\d\d|3[0-5]\d|36[0-6])(?!\d)")


def find_date(text: str) -> tuple[pd.Timestamp, str] | None:
    """Find the first date in a name.

    Parameters
    ----------
    text : str
        A band name, tag or file name, such as ``X2000.02.18``, ``NDVI_2020-05-01``, ``S2A_20190708T092031`` or
        ``MOD13Q1.A2000049`` (year and day of the year).

    Returns
    -------
    (pandas.Timestamp, str) or None
        The date (UTC, without time zone) and the text without it and without the separators around it; None if there
        is no date.

    Examples
    --------
    >>> find_date("NDVI_2020-05-01")
    (Timestamp('2020-05-01 00:00:00'), 'NDVI')
    >>> find_date("X2000.02.18")
    (Timestamp('2000-02-18 00:00:00'), 'X')
    """
    match = _SEPARATED.search(text)
    if match:
        year, month, day, hour, minute, second = (int(field or 0) for field in match.group(*_FIELDS))
        try:
            return pd.Timestamp(datetime(year, month, day, hour, minute, second)), _without(text, match)
        except ValueError:  # a day that the month does not have: not a date after all
            return None
    match = _ORDINAL.search(text)
    if match:
        date = pd.Timestamp(year=int(match["year"]), month=1, day=1) + pd.Timedelta(days=int(match["ordinal"]) - 1)
        return (date, _without(text, match)) if date.year == int(match["year"]) else None
    return None


def _without(text: str, match: re.Match[str]) -> str:
    before, after = text[: match.start()].rstrip("-._/ "), text[match.end() :].lstrip("-._/ ")
    return f"{before}_{after}".strip("_")
