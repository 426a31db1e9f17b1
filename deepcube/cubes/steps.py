"""A regular time axis: the cube's own, or windows that look backwards from fixed dates.

Step *k* of a composited axis is the end of the window ``(step k-1, step k]``, so nothing that happens after a step is
in it. Steps lie at whole multiples of the step length from 1 January 1970: cubes composited with the same step share
their dates, and a cube that grows keeps them.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepcube.cubes.errors import TimeAxisError

EPOCH = pd.Timestamp("1970-01-01")
"""Date that composited steps are counted from."""

Method = Literal["max", "mean"]
"""How the valid observations of a window become one value."""


@dataclass(frozen=True, eq=False)
class Steps:
    """A regular time axis and where each acquisition of the cube falls on it.

    Attributes
    ----------
    times : pandas.DatetimeIndex, shape (steps,)
        Dates of the steps.
    length : pandas.Timedelta
        Step length; the median one where the cube's own axis is only nearly regular.
    window : numpy.ndarray of int, shape (acquisitions,)
        Step that each acquisition belongs to, ascending; ``len(times)`` for acquisitions after the last complete
        window, which are left out.
    native : bool
        True if the steps are the acquisitions themselves.
    """

    times: pd.DatetimeIndex
    length: pd.Timedelta
    window: NDArray[np.int64]
    native: bool

    def after(self, count: int) -> pd.DatetimeIndex:
        """Return the date ``count`` steps after every step; beyond the end of the axis the step length is added."""
        beyond = [self.times[-1] + self.length * (i + 1) for i in range(count)]
        return pd.DatetimeIndex([*self.times, *beyond][count:])


def regular_step(times: pd.DatetimeIndex, tolerance: float = 0.25) -> pd.Timedelta | None:
    """Return the step of a time axis that is regular, or nearly so.

    Parameters
    ----------
    times : pandas.DatetimeIndex
        Strictly increasing times.
    tolerance : float
        Largest deviation of a step from the median one, as a share of it. The default accepts months, and 16-day
        composites that restart every 1 January; it rejects a missing step.

    Returns
    -------
    pandas.Timedelta or None
        The median step, or None if the axis is irregular or has fewer than two times.
    """
    if len(times) < 2:
        return None
    lengths = np.diff(times.to_numpy("datetime64[ns]").astype(np.int64)).astype(float)
    median = float(np.median(lengths))
    if np.abs(lengths - median).max() > tolerance * median:
        return None
    return pd.Timedelta(int(median), unit="ns")


def native_steps(times: pd.DatetimeIndex) -> Steps:
    """Return the cube's own time axis as steps.

    Raises
    ------
    TimeAxisError
        If the axis is not regular.
    """
    length = regular_step(times)
    if length is None:
        raise TimeAxisError(
            f"{len(times)} times from {times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d} are not a regular axis; "
            "expected steps of equal length. Composite them with window_steps()."
        )
    return Steps(times, length, np.arange(len(times)), native=True)


def window_steps(times: pd.DatetimeIndex, length: pd.Timedelta) -> Steps:
    """Return steps of fixed length that end every window after the observations in it.

    Parameters
    ----------
    times : pandas.DatetimeIndex
        Strictly increasing acquisition times.
    length : pandas.Timedelta
        Step length.

    Returns
    -------
    Steps
        From the first window with an acquisition to the last one that is over when the cube ends.

    Raises
    ------
    TimeAxisError
        If no window is complete.
    """
    number = -(-(times - EPOCH).to_numpy() // length.to_timedelta64())  # ceiling: windows are closed on the right
    first, last = int(number[0]), int((times[-1] - EPOCH) // length)
    if last < first:
        raise TimeAxisError(
            f"The times from {times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d} complete no window of {length}; expected a "
            "longer series."
        )
    labels = EPOCH + length * np.arange(first, last + 1)
    return Steps(pd.DatetimeIndex(labels), length, np.minimum(number - first, last - first + 1), native=False)


def composite(
    values: NDArray[np.floating], steps: Steps, method: Method = "max"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reduce the acquisitions of every window to one value per pixel; windows without a valid one stay NaN.

    Parameters
    ----------
    values : numpy.ndarray of float, shape (acquisitions, ...)
        Observations; NaN where invalid.
    steps : Steps
        Where each acquisition falls.
    method : {"max", "mean"}
        The largest value, which for vegetation indices is the one least touched by residual cloud (maximum value
        composite: Holben, International Journal of Remote Sensing 7, 1417-1434, 1986), or the mean.

    Returns
    -------
    composites : numpy.ndarray of float64, shape (steps, ...)
        One value per step; NaN at gaps.
    valid_fraction : numpy.ndarray of float64, shape (steps, ...)
        Valid share of the acquisitions in the window; 0 where there was none.
    """
    used = steps.window < len(steps.times)
    values = np.asarray(values, dtype=float)[used]
    result = np.full((len(steps.times), *values.shape[1:]), np.nan)
    fraction = np.zeros_like(result)
    if len(values) == 0:
        return result, fraction
    windows, starts, acquisitions = np.unique(steps.window[used], return_index=True, return_counts=True)
    valid = np.isfinite(values)
    count = np.add.reduceat(valid, starts, axis=0, dtype=np.int64)
    shape = (-1, *[1] * (values.ndim - 1))
    fraction[windows] = count / acquisitions.reshape(shape)
    if method == "max":
        result[windows] = np.fmax.reduceat(values, starts, axis=0)
    else:
        total = np.add.reduceat(np.where(valid, values, 0.0), starts, axis=0)
        result[windows] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return result, fraction
