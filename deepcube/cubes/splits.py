"""Splits of a time axis into training, validation and test periods without leakage."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from deepcube.cubes.errors import TimeAxisError

YEAR = pd.Timedelta(days=365.2425)
"""Mean length of a year of the Gregorian calendar."""


@dataclass(frozen=True)
class TimeSplit:
    """Three periods of forecast origins, in order, that share no origin and no forecast target.

    Every period holds the origins ``start <= time < end``. An end lies one second after the last origin of its period,
    so that a reader that treats the end as inclusive selects the same rows.

    Attributes
    ----------
    train_start, train_end : pandas.Timestamp
        Period to train on, and to fit every climatology and normalisation on.
    validation_start, validation_end : pandas.Timestamp
        Period for early stopping and the choice of hyperparameters.
    test_start, test_end : pandas.Timestamp
        Period that scores are reported for.
    """

    train_start: pd.Timestamp
    train_end: pd.Timestamp
    validation_start: pd.Timestamp
    validation_end: pd.Timestamp
    test_start: pd.Timestamp
    test_end: pd.Timestamp

    def isoformat(self) -> dict[str, str]:
        """Return the six dates as ISO 8601 strings, for JSON."""
        return {name: date.isoformat() for name, date in asdict(self).items()}

    def select(self, times: Any, part: str) -> np.ndarray:
        """Return which times belong to one part.

        Parameters
        ----------
        times : array-like of datetime64, shape (n,)
            Forecast origins.
        part : {"train", "validation", "test"}
            The part to select.

        Returns
        -------
        numpy.ndarray of bool, shape (n,)
            True for the origins of that part.
        """
        index = pd.DatetimeIndex(times)
        start, end = getattr(self, f"{part}_start"), getattr(self, f"{part}_end")
        return np.asarray((index >= start) & (index < end))


def held_out_years(span: pd.Timedelta) -> tuple[float, float]:
    """Return how much of a series to hold out for validation and for testing.

    Parameters
    ----------
    span : pandas.Timedelta
        Time between the first and the last origin.

    Returns
    -------
    tuple of float
        Years of validation and years of test. From ten years on one and two whole years; from five years on one and
        one, so that each part sees every season once; below five years a fifth of the series each.
    """
    years = span / YEAR
    if years >= 10:
        return 1.0, 2.0
    if years >= 5:
        return 1.0, 1.0
    return years / 5, years / 5


def time_split(times: Any, embargo: int) -> TimeSplit:
    """Split forecast origins in time: training first, then validation, then test at the end.

    The last ``embargo`` origins before each boundary belong to no part: their forecast targets would fall into the
    following part (the purging and embargo of López de Prado, Advances in Financial Machine Learning, 2018, chapter 7).

    Parameters
    ----------
    times : array-like of datetime64, shape (n,)
        All forecast origins, in any order; duplicates count once.
    embargo : int
        Longest forecast horizon, in steps of the time axis.

    Returns
    -------
    TimeSplit
        The three periods.

    Raises
    ------
    TimeAxisError
        If the axis is too short to leave at least two origins in every part.
    """
    axis = pd.DatetimeIndex(np.unique(np.asarray(pd.DatetimeIndex(times))))
    if len(axis) < 2:
        raise TimeAxisError(f"A time split needs a time axis; found {len(axis)} distinct times, expected at least 2.")
    validation_years, test_years = held_out_years(axis[-1] - axis[0])
    test_first = int(axis.searchsorted(axis[-1] - test_years * YEAR, side="right"))
    validation_first = int(axis.searchsorted(axis[-1] - (test_years + validation_years) * YEAR, side="right"))
    bounds = [(0, validation_first - embargo), (validation_first, test_first - embargo), (test_first, len(axis))]
    for name, (first, stop) in zip(("training", "validation", "test"), bounds, strict=True):
        if stop - first < 2:
            raise TimeAxisError(
                f"{len(axis)} steps from {axis[0]:%Y-%m-%d} to {axis[-1]:%Y-%m-%d} leave {max(stop - first, 0)} "
                f"forecast origins for {name} after an embargo of {embargo} steps; expected at least 2. "
                "Use a longer series."
            )
    second = pd.Timedelta(seconds=1)
    dates = [date for first, stop in bounds for date in (axis[first], axis[stop - 1] + second)]
    return TimeSplit(*dates)
