"""What is normal for the season, fitted on a stated period, and how far observations are from it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from deepcube.cubes.splits import YEAR


@dataclass(frozen=True, eq=False)
class Climatology:
    """Seasonal statistics per pixel.

    Attributes
    ----------
    mean, std : numpy.ndarray of float64, shape (seasons, pixels)
        Mean and standard deviation; NaN for a pixel that was never observed in the fit period.
    observations : numpy.ndarray of int64, shape (seasons, pixels)
        Observations that each was computed from.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    observations: NDArray[np.int64]


def season_count(step: pd.Timedelta) -> int:
    """Return how many seasons a year has: one per started step, such as 23 of 16 days, 37 of 10 days, 12 of a month."""
    return max(1, int(np.ceil(YEAR / step)))


def year_fraction(times: pd.DatetimeIndex) -> NDArray[np.float64]:
    """Return the position of times in their calendar year, from 0 on 1 January to below 1, leap years included."""
    start = pd.DatetimeIndex([pd.Timestamp(year=year, month=1, day=1) for year in times.year])
    days = np.where(times.is_leap_year, 366, 365)
    return np.asarray((times - start) / pd.Timedelta(days=1)) / days


def season_of(times: pd.DatetimeIndex, seasons: int) -> NDArray[np.int64]:
    """Return the season of each time: the bin of the year whose centre is nearest.

    Parameters
    ----------
    times : pandas.DatetimeIndex
        Dates.
    seasons : int
        Number of bins; bin *b* is centred on the fraction ``b / seasons`` of the year and bin 0 on 1 January, so that
        dates that recur every year fall into the middle of a bin and not on its edge.

    Returns
    -------
    numpy.ndarray of int64, shape (n,)
        Bins from 0 to ``seasons - 1``.
    """
    return np.rint(year_fraction(times) * seasons).astype(np.int64) % seasons


def fit_climatology(
    values: ArrayLike, season: ArrayLike, seasons: int, *, half_width: int = 0, minimum: int = 5
) -> Climatology:
    """Fit the mean and spread of every season, pooling neighbouring seasons where observations are few.

    Pooling a window of neighbouring seasons over all years is the usual way to estimate a climatology of short steps
    from few years (Hobday et al., Progress in Oceanography 141, 227-238, 2016, for days). With the triangular kernel
    ``k(d) = 1 - |d| / (w + 1)`` over the circular distance ``d`` in seasons::

        mean(s) = sum_d k(d) * sum(s + d) / sum_d k(d) * count(s + d)
        std(s) ** 2 = sum_d k(d) * sum((v - mean) ** 2) / sum_d k(d) * count(s + d)

    The half width ``w`` starts at ``half_width`` and grows, per pixel and season, until ``minimum`` observations are
    in the window.

    Parameters
    ----------
    values : array-like of float, shape (times, pixels)
        Observations **of the fit period only**; NaN at gaps.
    season : array-like of int, shape (times,)
        Season of each time.
    seasons : int
        Number of seasons in the year.
    half_width : int
        Smallest half width of the window, in seasons.
    minimum : int
        Fewest observations in a window, as far as the pixel has that many at all.

    Returns
    -------
    Climatology
        One row per season.
    """
    data = np.asarray(values, dtype=float)
    valid = np.isfinite(data)
    observed = np.maximum(valid.sum(axis=0), 1)
    centre = np.where(valid, data, 0.0).sum(axis=0) / observed  # sums of squares about the centre cancel less
    departure = np.where(valid, data - centre, 0.0)
    membership = np.zeros((seasons, len(data)))
    membership[np.asarray(season, dtype=np.int64), np.arange(len(data))] = 1.0
    sums = [membership @ part for part in (valid.astype(float), departure, departure**2)]

    wanted = np.minimum(minimum, valid.sum(axis=0))
    mean, std = np.full((2, seasons, data.shape[1]), np.nan)
    observations = np.zeros((seasons, data.shape[1]), dtype=np.int64)
    open_ = np.ones_like(mean, dtype=bool)
    for width in range(min(half_width, seasons // 2), seasons // 2 + 1):
        weight, total, squares = (_pool(part, width, triangular=True) for part in sums)
        count = np.rint(_pool(sums[0], width, triangular=False)).astype(np.int64)
        done = open_ & (count >= wanted) & (count > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            offset = total / weight
            spread = np.sqrt(np.maximum(squares / weight - offset**2, 0.0))
        mean[done], std[done], observations[done] = (centre + offset)[done], spread[done], count[done]
        open_ &= ~done
        if not open_.any():
            break
    return Climatology(mean, std, observations)


def _pool(sums: NDArray[np.float64], half_width: int, triangular: bool) -> NDArray[np.float64]:
    """Add up neighbouring seasons around the year, each season at most once."""
    seasons = len(sums)
    pooled = np.zeros_like(sums)
    for distance in range(-half_width, half_width + 1):
        if distance == half_width and seasons == 2 * half_width:
            continue  # opposite ends of the year are the same season
        weight = 1 - abs(distance) / (half_width + 1) if triangular else 1.0
        pooled += weight * np.roll(sums, -distance, axis=0)
    return pooled
