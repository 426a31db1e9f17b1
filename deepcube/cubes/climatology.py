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
    ``k(d) = 1 - d / (w + 1)`` of the circular distance ``d`` between seasons::

        mean(s) = sum k(d) * v / sum k(d)
        std(s) ** 2 = sum k(d) * (v - mean(s)) ** 2 / sum k(d)

    over all observations ``v`` with ``d <= w``. The half width ``w`` starts at ``half_width`` and grows, per pixel and
    season, until ``minimum`` observations are in the window.

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
    data = _Observations.of(values)
    distance = _distance(np.arange(seasons)[:, None], np.asarray(season)[None, :], seasons)
    rows = [data.pool(distance[s], seasons // 2, half_width, minimum) for s in range(seasons)]
    mean, std, count = (np.stack(part) for part in zip(*rows, strict=True))
    return Climatology(mean, std, count.astype(np.int64))


def crossfit_climatology(
    values: ArrayLike,
    times: pd.DatetimeIndex,
    season: ArrayLike,
    seasons: int,
    *,
    at: pd.DatetimeIndex | None = None,
    leave_out: pd.Timedelta = YEAR / 2,
    half_width: int = 0,
    minimum: int = 5,
) -> NDArray[np.float64]:
    """Return, at every time of the fit period, the climatology that the rest of the period gives.

    A climatology fitted on a value is closer to it than to any value of a later year, so a model trained on in-sample
    anomalies trusts the climatology too much (target leakage). Leaving out what is near in time gives training rows the
    same out-of-sample climatology that later years have: cross-fitting in blocks of time (Roberts et al., Ecography 40,
    913-929, 2017).

    Parameters
    ----------
    values, season, seasons, half_width, minimum
        As in :func:`fit_climatology`.
    times : pandas.DatetimeIndex, shape (times,)
        Date of each value.
    at : pandas.DatetimeIndex, shape (dates,), optional
        Dates to give the climatology at; those of the values by default. The targets of the last rows of a training
        period lie beyond it, and what is normal there must not know the values just before, which are targets as well.
    leave_out : pandas.Timedelta
        Values no further than this from a time, before or after, are left out there. Half a year leaves out exactly
        one turn of the seasons.

    Returns
    -------
    numpy.ndarray of float64, shape (dates, pixels)
        Mean of the season of each date, without the values around it; NaN where a pixel has no other.
    """
    data = _Observations.of(values)
    number = np.asarray(season)
    wanted = times if at is None else at
    result = np.full((len(wanted), data.valid.shape[1]), np.nan)
    dates, apart = times.to_numpy(), leave_out.to_timedelta64()
    for i, (date, of_date) in enumerate(zip(wanted.to_numpy(), season_of(wanted, seasons), strict=True)):
        distance = _distance(of_date, number, seasons)
        distance[np.abs(dates - date) <= apart] = seasons  # further than any season: in no window
        result[i] = data.pool(distance, seasons // 2, half_width, minimum)[0]
    return result


def _distance(a: ArrayLike, b: ArrayLike, seasons: int) -> NDArray[np.int64]:
    """Return how many seasons lie between two, the short way around the year."""
    apart = np.abs(np.asarray(a) - np.asarray(b))
    return np.minimum(apart, seasons - apart)


@dataclass(frozen=True, eq=False)
class _Observations:
    """Values as departures from the mean of their pixel, which keeps sums of squares from cancelling."""

    valid: NDArray[np.float64]
    departure: NDArray[np.float64]
    squares: NDArray[np.float64]
    centre: NDArray[np.float64]

    @classmethod
    def of(cls, values: ArrayLike) -> "_Observations":
        data = np.asarray(values, dtype=float)
        valid = np.isfinite(data)
        centre = np.where(valid, data, 0.0).sum(axis=0) / np.maximum(valid.sum(axis=0), 1)
        departure = np.where(valid, data - centre, 0.0)
        return cls(valid.astype(float), departure, departure**2, centre)

    def pool(
        self, distance: NDArray[np.int64], widest: int, half_width: int, minimum: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return mean, spread and count of the narrowest window that has enough observations, per pixel.

        With ``A(w)`` the sum over distances up to ``w`` and ``B(w)`` the same sum weighted by the distance, the sum
        under the triangular kernel is ``A(w) - B(w) / (w + 1)``: all widths come from two running sums.
        """
        reach = np.arange(widest + 1)[:, None]
        near = np.flatnonzero(distance <= widest)
        near = near[np.argsort(distance[near], kind="stable")]
        found, starts = np.unique(distance[near], return_index=True)
        sums = [np.zeros((widest + 1, self.valid.shape[1])) for _ in range(3)]
        if len(near):
            for total, part in zip(sums, (self.valid, self.departure, self.squares), strict=True):
                total[found] = np.add.reduceat(part[near], starts, axis=0)
        count = np.cumsum(sums[0], axis=0)
        enough = (count >= np.minimum(minimum, count[-1])) & (reach >= min(half_width, widest))
        width = np.argmax(enough, axis=0)[None, :]
        weight, total, squares = (
            np.take_along_axis(np.cumsum(part, axis=0) - np.cumsum(part * reach, axis=0) / (reach + 1), width, axis=0)[
                0
            ]
            for part in sums
        )
        observed = np.take_along_axis(count, width, axis=0)[0]
        with np.errstate(invalid="ignore", divide="ignore"):
            offset = np.where(observed > 0, total / weight, np.nan)
            spread = np.sqrt(np.maximum(squares / weight - offset**2, 0.0))
        return self.centre + offset, spread, observed
