"""Checks that turn a damaged or unusual cube into one clear error instead of a wrong number later."""

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from deepcube.cubes.errors import NotACubeError, NoValidDataError, TimeAxisError


def check_times(times: pd.DatetimeIndex, where: str) -> None:
    """Raise unless times are known, strictly increasing and distinct.

    Parameters
    ----------
    times : pandas.DatetimeIndex
        Time axis in file order.
    where : str
        The file or grid, for the message.

    Raises
    ------
    TimeAxisError
        The message names the first offending dates.
    """
    if len(times) == 0:
        raise TimeAxisError(f"{where} has a time axis without any time; expected at least one.")
    unknown = np.flatnonzero(times.isna())
    if len(unknown):
        raise TimeAxisError(
            f"{where} has {len(unknown)} unknown times, the first at position {unknown[0]}; expected a date for every "
            "step. Drop or date these steps."
        )
    repeated = times[times.duplicated()].unique()
    if len(repeated):
        shown = ", ".join(_stamp(time) for time in repeated[:5])
        raise TimeAxisError(
            f"{where} has {len(repeated)} times that occur more than once ({shown}); expected distinct times. Merge "
            "or drop the duplicates first."
        )
    steps = np.diff(times.asi8)
    if (steps <= 0).any():
        i = int(np.argmax(steps <= 0))
        raise TimeAxisError(
            f"{where} has unsorted times: {_stamp(times[i])} at position {i} comes before {_stamp(times[i + 1])}; "
            "expected increasing times. Sort the cube by time first."
        )


def check_axis(values: ArrayLike, name: str, where: str) -> None:
    """Raise unless a spatial axis is finite and strictly increasing or decreasing.

    Parameters
    ----------
    values : array-like of float, shape (n,)
        Coordinates of the rows or columns.
    name : {"y", "x"}
        Name of the axis.
    where : str
        The file or grid, for the message.

    Raises
    ------
    NotACubeError
        If not.
    """
    axis = np.asarray(values, dtype=float)
    if axis.ndim != 1 or axis.size == 0 or not np.isfinite(axis).all():
        raise NotACubeError(f"{where} has a {name} axis that is empty or not finite; expected one number per pixel.")
    steps = np.diff(axis)
    if not ((steps > 0).all() or (steps < 0).all()):
        i = int(np.argmax(np.sign(steps) != np.sign(steps[0])) if steps[0] else 0)
        raise NotACubeError(
            f"{where} has a {name} axis that is not monotonic: {axis[i]} is followed by {axis[i + 1]} at position {i}; "
            "expected strictly increasing or decreasing coordinates."
        )


def check_dataset(dataset: xr.Dataset, where: str) -> None:
    """Check the axes of a dataset with dimensions ``(time, y, x)``.

    Raises
    ------
    TimeAxisError, NotACubeError
        See :func:`check_times` and :func:`check_axis`.
    """
    for axis in ("y", "x"):
        check_axis(dataset[axis].to_numpy(), axis, where)
    if "time" in dataset.dims:
        check_times(pd.DatetimeIndex(dataset["time"].to_index()), where)


def check_points(dataset: xr.Dataset, where: str) -> None:
    """Check the places and times of a table of points.

    Raises
    ------
    NotACubeError
        If a point has no place.
    TimeAxisError
        See :func:`check_times`.
    """
    places = np.stack([dataset[axis].to_numpy().astype(float) for axis in ("y", "x")])
    lost = int((~np.isfinite(places)).any(axis=0).sum())
    if lost or places.size == 0:
        raise NotACubeError(f"{where} has {lost} of {places.shape[1]} points without a place; drop these first.")
    if "time" in dataset.dims:
        check_times(pd.DatetimeIndex(dataset["time"].to_index()), where)


def check_valid(count: int, name: str, where: str) -> None:
    """Raise if a variable has no valid value at all.

    Parameters
    ----------
    count : int
        Number of valid values found.
    name : str
        Name of the variable.
    where : str
        The cube, for the message.

    Raises
    ------
    NoValidDataError
        If the count is zero.
    """
    if count == 0:
        raise NoValidDataError(
            f"{where} has no valid value of {name}: every pixel is a gap at every time. Check the mask, the fill value "
            "and the scale factor of the file."
        )


def _stamp(time: pd.Timestamp) -> str:
    return time.strftime("%Y-%m-%d") if time == time.normalize() else time.isoformat(sep=" ", timespec="seconds")
