"""Features of climate through xclim: SPI, SPEI and the Canadian fire weather codes."""

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from deepcube.cubes.features.errors import FeatureError
from deepcube.cubes.features.fireweather import FireWeather
from deepcube.cubes.features.specs import Feature, Operand, Period, feature_of
from deepcube.cubes.features.tile import Floats, Tile

LARGEST = 3.09
"""Bound of SPI and SPEI: beyond it a distribution of few years says nothing (Guttman, JAWRA 35, 311-322, 1999)."""

OFFSET = 1000.0
"""Millimetres per month added to the water balance so that a gamma distribution from 0 fits it."""

_RATES = {"m": "m/d", "mm": "mm/d", "kg m-2": "mm/d", "kg/m2": "mm/d", "mm d-1": "mm/d", "mm/day": "mm/d"}


@dataclass(frozen=True)
class Spi(Feature):
    """Standardised precipitation index (McKee et al., 8th Conference on Applied Climatology, 1993).

    Monthly totals over the last ``months`` months, fitted per calendar month with a gamma distribution (Thom's
    approximation; zeros apart) and expressed as the normal quantile of equal probability, bounded at +-3.09. On an axis
    finer than monthly, a time has the index of the last month that is over by then.

    Attributes
    ----------
    precipitation : Feature or str
        Total of each step, mm.
    months : int
        Months of the window.
    fit : (str, str)
        Period that the distributions are fitted on, its end excluded: the training period.
    """

    precipitation: Operand
    months: int
    fit: Period

    @property
    def inputs(self) -> frozenset[str]:
        """Variables that the feature reads."""
        return feature_of(self.precipitation).inputs

    def compute(self, tile: Tile) -> Floats:
        """Return the index."""
        return _standardised(tile, feature_of(self.precipitation).over_time(tile), self.months, self.fit, 0.0)


@dataclass(frozen=True)
class Spei(Feature):
    """Standardised precipitation evapotranspiration index (Vicente-Serrano et al., J. Climate 23, 1696-1718, 2010).

    As :class:`Spi`, of precipitation less potential evapotranspiration, with a gamma distribution shifted by
    1000 mm per month.

    Attributes
    ----------
    precipitation, evapotranspiration : Feature or str
        Totals of each step, mm; the second potential.
    months, fit
        As in :class:`Spi`.
    """

    precipitation: Operand
    evapotranspiration: Operand
    months: int
    fit: Period

    @property
    def inputs(self) -> frozenset[str]:
        """Variables that the feature reads."""
        return feature_of(self.precipitation).inputs | feature_of(self.evapotranspiration).inputs

    def compute(self, tile: Tile) -> Floats:
        """Return the index."""
        balance = feature_of(self.precipitation).over_time(tile) - feature_of(self.evapotranspiration).over_time(tile)
        return _standardised(tile, balance, self.months, self.fit, OFFSET)


@dataclass(frozen=True)
class Fwi(Feature):
    """A code of the Canadian Forest Fire Weather Index System (van Wagner, Forestry Technical Report 35, 1987).

    Attributes
    ----------
    temperature, humidity, wind, rain : str
        Variables at local noon on a daily axis, with their units as attributes (such as K, %, m s-1, mm).
    code : {"fwi", "ffmc", "dmc", "dc", "isi", "bui"}
        Which code.
    ffmc, dmc, dc : float
        Codes of the day before the first.
    """

    temperature: str
    humidity: str
    wind: str
    rain: str
    code: Literal["fwi", "ffmc", "dmc", "dc", "isi", "bui"] = "fwi"
    ffmc: float = 85.0
    dmc: float = 6.0
    dc: float = 15.0

    @property
    def inputs(self) -> frozenset[str]:
        """Variables that the feature reads."""
        return frozenset({self.temperature, self.humidity, self.wind, self.rain})

    def compute(self, tile: Tile) -> Floats:
        """Return the code."""
        if tile.step("A fire weather code") != pd.Timedelta(days=1):
            raise FeatureError("Fire weather codes need a daily time axis. Ask for daily steps.")
        inputs = (self.temperature, self.humidity, self.wind, self.rain)
        start = (self.ffmc, self.dmc, self.dc)
        codes: dict[str, Floats] = tile.once(("fwi", inputs, start), lambda: self._codes(tile, inputs))
        return codes[self.code]

    def _codes(self, tile: Tile, inputs: tuple[str, ...]) -> dict[str, Floats]:
        wanted = ("degC", "%", "km/h", "mm/d")
        values = [_converted(tile, name, unit) for name, unit in zip(inputs, wanted, strict=True)]
        _, latitude = tile.place()
        return FireWeather(latitude, self.ffmc, self.dmc, self.dc).advance(tile.times, *values)


def _converted(tile: Tile, name: str, unit: str) -> Floats:
    """Return a variable in a unit; totals of a day count as rates per day."""
    from xclim.core.units import convert_units_to  # loads numba: seconds

    stated = str(tile.variable(name).attrs.get("units", ""))
    if not stated:
        raise FeatureError(f"Variable {name!r} has no units; expected some that convert to {unit}. Set its attribute.")
    data = xr.DataArray(tile.series(name), dims=("time", "y", "x"), attrs={"units": _RATES.get(stated, stated)})
    try:
        converted: Floats = convert_units_to(data, unit).to_numpy()
    except Exception as error:  # pint has many
        raise FeatureError(f"Variable {name!r} has units {stated!r}, which are not {unit}: {error}") from error
    return converted


def _standardised(tile: Tile, values: Floats, months: int, fit: Period, offset: float) -> Floats:
    """Return the standardised index of values of shape (time, y, x) on the tile's own times."""
    from xclim.indices import standardized_precipitation_evapotranspiration_index as spei  # loads numba: seconds
    from xclim.indices import standardized_precipitation_index as spi

    starts, complete, totals = monthly_totals(tile.times, values)
    inside = (starts >= pd.Timestamp(fit[0])) & (starts < pd.Timestamp(fit[1]))
    if not inside.any():
        tile.period(fit, "A standardised index")
        raise FeatureError(f"The period {fit[0]} to {fit[1]} holds no whole month. Choose a longer one.")
    flat = totals.reshape(len(totals), -1) + offset
    known = np.isfinite(flat[inside]).any(axis=0)
    index = np.full(flat.shape, np.nan)
    if known.any():
        data = xr.DataArray(
            flat[:, known], dims=("time", "pixel"), coords={"time": starts}, attrs={"units": "mm/month"}
        )
        first, last = starts[inside][0], starts[inside][-1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # months that are missing everywhere
            found = (spei if offset else spi)(
                data,
                freq=None,
                window=months,
                dist="gamma",
                method="APP",
                fitkwargs={"floc": 0},
                cal_start=str(first.date()),
                cal_end=str(last.date()),
            )
        index[:, known] = np.clip(found.transpose("time", "pixel").to_numpy(), -LARGEST, LARGEST)
    return _on_times(index.reshape(totals.shape), complete)


def monthly_totals(
    times: pd.DatetimeIndex, values: Floats
) -> tuple[pd.DatetimeIndex, np.ndarray[tuple[int], np.dtype[np.int64]], Floats]:
    """Return the totals of whole months.

    Parameters
    ----------
    times : pandas.DatetimeIndex
        Monthly, or of a regular step of at most 16 days whose values are totals *up to* the time.
    values : numpy.ndarray of float64, shape (time, ...)
        Totals of each step.

    Returns
    -------
    starts : pandas.DatetimeIndex
        First day of every month from the first to the last one, without a gap.
    latest : numpy.ndarray of int64, shape (time,)
        Position of the last month that is over at each time, -1 for none; on a monthly axis the month itself.
    totals : numpy.ndarray of float64, shape (month, ...)
        Total of each month; NaN where a step is missing or the month is not wholly covered.
    """
    month = times.to_period("M")
    periods = pd.period_range(month[0], month[-1], freq="M")
    number = month.astype("int64").to_numpy() - periods[0].ordinal
    monthly = len(np.unique(number)) == len(times)
    totals = np.zeros((len(periods), *values.shape[1:]))
    np.add.at(totals, number, values)
    count = np.bincount(number, minlength=len(periods))
    totals[count == 0] = np.nan
    if monthly:
        return periods.to_timestamp(), number, totals
    step = np.median(np.diff(times.to_numpy()))
    if step > np.timedelta64(16, "D"):
        raise FeatureError("Standardised indices need monthly values or steps of at most 16 days. Aggregate the cube.")
    if times[0] - step >= periods[0].start_time:  # the first month began before the cube
        totals[0] = np.nan
    if times[-1] + step <= periods[-1].end_time:  # the last one is not over
        totals[-1] = np.nan
    return periods.to_timestamp(), number - 1 + _closes(times, step), totals


def _closes(times: pd.DatetimeIndex, step: np.timedelta64) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return 1 where a time is the last of its month, so that the month is over when its total is known."""
    return np.asarray((times + step).to_period("M") != times.to_period("M"), dtype=np.int64)


def _on_times(index: Floats, latest: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Floats:
    values = index[np.maximum(latest, 0)]
    return np.where((latest >= 0).reshape(-1, *[1] * (index.ndim - 1)), values, np.nan)
