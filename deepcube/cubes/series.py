"""Functions of a series per pixel that look backwards (or, for targets, explicitly forwards)."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""Values of shape (times, pixels); NaN at gaps."""


def lagged(values: Floats, steps: int) -> Floats:
    """Return the value a number of steps earlier; NaN before the series starts.

    Parameters
    ----------
    values : numpy.ndarray of float64, shape (times, ...)
        Series on a regular axis.
    steps : int
        Non-negative lag.

    Returns
    -------
    numpy.ndarray of float64, the shape of the input
        ``result[t] = values[t - steps]``.
    """
    result = np.full_like(values, np.nan)
    if steps < len(values):
        result[steps:] = values[: len(values) - steps]
    return result


def ahead(values: Floats, steps: int) -> Floats:
    """Return the value a number of steps later, for targets only; NaN beyond the end of the series.

    Parameters
    ----------
    values : numpy.ndarray of float64, shape (times, ...)
        Series on a regular axis.
    steps : int
        Positive horizon.

    Returns
    -------
    numpy.ndarray of float64, the shape of the input
        ``result[t] = values[t + steps]``.
    """
    result = np.full_like(values, np.nan)
    if steps < len(values):
        result[: len(values) - steps] = values[steps:]
    return result


def last_observed(values: Floats) -> tuple[Floats, Floats]:
    """Return the last valid value up to each time, and its age.

    Parameters
    ----------
    values : numpy.ndarray of float64, shape (times, ...)
        Series on a regular axis; NaN at gaps.

    Returns
    -------
    value, age : numpy.ndarray of float64, the shape of the input
        The value and its age in steps, 0 where the time itself is valid; both NaN before the first valid value.
    """
    position = np.arange(len(values)).reshape(-1, *[1] * (values.ndim - 1))
    last = np.maximum.accumulate(np.where(np.isfinite(values), position, -1), axis=0)
    value = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    return np.where(last < 0, np.nan, value), np.where(last < 0, np.nan, (position - last).astype(float))
