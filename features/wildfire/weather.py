"""Weather and the Canadian Fire Weather Index on the weather's own grid, day by day.

The index is computed here, from temperature, humidity, wind and rain, whatever the cube has by that name: it is then
defined in the same way for every source, and known for the newest day. Where a cube has no humidity, the dew point is
taken to be the day's minimum temperature (FAO Irrigation and drainage paper 56, Allen et al., 1998, chapter 3,
equation 48): too moist in dry summers, but monotone in what matters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyproj
from numpy.typing import NDArray

from deepcube.cubes import Cube, Grid, ScaleError, TimeAxisError, UnknownVariableError, pixel_cells, regular_step
from deepcube.cubes.features.fireweather import FireWeather
from deepcube.cubes.model import WGS84
from features.wildfire.layout import CODES, HISTORY, LONG, SEASON, WEATHER, quantity_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Read = Callable[[str], Floats]

TMAX = ("era5_max_t2m", "t2m", "tasmax")
TMIN = ("era5_min_t2m", "tasmin")
DEW = ("d2m", "era5_max_d2m")
HUMIDITY = ("rh", "era5_min_rh", "era5_max_rh", "hurs")
RAIN = ("era5_max_tp", "tp", "pr")
WIND = ("wind_speed", "era5_max_wind_speed", "sfcWind")
COMPONENTS = (("era5_max_u10", "era5_min_u10"), ("era5_max_v10", "era5_min_v10"))
GIVEN = ("fwi", "era5_max_fwi")
"""Names of the weather variables in published fire cubes, the preferred first."""

SPACING = 9000.0
"""Distance of weather pixels in metres: finer grids hold interpolated reanalyses and are thinned out to it."""

_BLOCK = 64  # days that the codes are computed for at once
_FAR_OUT = 1e-3  # share of values that may lie out of range, as fill values at coasts do


@dataclass(frozen=True, eq=False)
class Weather:
    """Daily weather, fire weather codes and sums over the whole time of a cube.

    Attributes
    ----------
    times : pandas.DatetimeIndex, shape (time,)
        Days, without gaps.
    values : dict of str to numpy.ndarray of float32, shape (time, y, x)
        By name of the quantity: those with a history, and those without; see :mod:`features.wildfire.layout`.
    cells : numpy.ndarray of int64, shape (y, x)
        Cells of the pixels.
    x, y : numpy.ndarray of float64
        Coordinates of columns and rows.
    crs : pyproj.CRS
        Their reference system.
    agreement : float
        Correlation of our index with the cube's own; NaN where it has none.
    """

    times: pd.DatetimeIndex
    values: dict[str, NDArray[np.float32]]
    cells: Ints
    x: Floats
    y: Floats
    crs: pyproj.CRS
    agreement: float

    def place(self, longitude: Floats, latitude: Floats) -> tuple[Ints, Ints]:
        """Return row and column of the pixel nearest to each point."""
        east, north = pyproj.Transformer.from_crs(WGS84, self.crs, always_xy=True).transform(longitude, latitude)
        return _nearest(self.y, np.asarray(north)), _nearest(self.x, np.asarray(east))

    def rows(self, day: Ints, row: Ints, column: Ints) -> dict[str, Floats]:
        """Return the weather that is known at the end of some days at some pixels.

        Parameters
        ----------
        day, row, column : numpy.ndarray of int64, shape (n,)
            Positions; days at least ``LONG - 1``.

        Returns
        -------
        dict of str to numpy.ndarray of float64, shape (n,)
            Columns of ``wildfire_weather``, but for its keys.
        """
        columns = {
            f"{one.name}_lag_{lag}": self.values[one.name][day - lag, row, column].astype(float)
            for one in WEATHER
            for lag in range(HISTORY)
        }
        columns |= {one.name: self.values[one.name][day, row, column].astype(float) for one in CODES}
        return columns | season_columns(self.times[day])


def season_columns(times: pd.DatetimeIndex) -> dict[str, Floats]:
    """Return sine and cosine of the time of the year."""
    angle = 2 * np.pi * (times.dayofyear.to_numpy() - 1) / 365.25
    return {SEASON[0].name: np.sin(angle), SEASON[1].name: np.cos(angle)}


def find(cube: Cube, names: Sequence[str]) -> str | None:
    """Return the first of some variables that a cube has, None if it has none."""
    return next((name for name in names if name in cube), None)


def read_weather(cube: Cube) -> Weather:
    """Read the weather of a cube and compute the fire weather codes from it.

    Parameters
    ----------
    cube : Cube
        With maximum temperature, rain, and wind (speed, or both components), daily on one grid; humidity, dew point or
        minimum temperature.

    Returns
    -------
    Weather
        On the cube's own weather grid, or on every so many pixels of a grid finer than :data:`SPACING`.

    Raises
    ------
    UnknownVariableError
        If a variable is missing; the message says which and what the cube has.
    TimeAxisError
        If the weather is not daily, or shorter than the sums are long.
    ScaleError
        If values are out of physical range.
    """
    tmax = _require(cube, TMAX, "a maximum temperature")
    grid = cube.grid_of(tmax)
    if regular_step(grid.times) != pd.Timedelta(days=1) or len(grid.times) <= LONG:
        raise TimeAxisError(
            f"Weather of cube {cube.name!r} has {len(grid.times)} times that are not {LONG} or more consecutive days; "
            "expected a daily axis. Bring it to days first, such as view(cube, step='1D')."
        )
    thin = _thin(grid)

    def read(name: str) -> Floats:
        data = cube[name].transpose("time", "y", "x")[:, thin, thin]
        return data.to_numpy().astype(float)

    hot = _celsius(read(tmax))
    cold = _minimum(cube, hot, read)
    humidity = _humidity(cube, hot, cold, read)
    rain_name = _require(cube, RAIN, "rain")
    rain = np.maximum(read(rain_name) * _to_mm(cube, rain_name), 0.0)
    wind = _wind(cube, read)
    times = pd.DatetimeIndex(grid.times).normalize()
    longitude, latitude = (axis[thin, thin] for axis in grid.longitude_latitude())
    values = {"tmax": hot, "tmin": cold, "humidity": humidity, "wind": wind, "rain": rain}
    check_ranges(cube.name, values)
    values |= fire_codes(times, latitude, values)
    values |= {"rain_30d": LONG * _running(rain), "tmax_30d": _running(hot)}
    given = find(cube, GIVEN)
    agreement = _correlation(values["fwi"], read(given)) if given and cube.grid_of(given) is grid else float("nan")
    assert grid.crs is not None  # longitude_latitude() has refused a grid without
    return Weather(
        times=times,
        values={name: array.astype(np.float32) for name, array in values.items()},
        cells=pixel_cells(longitude, latitude)[0],
        x=grid.dataset["x"].to_numpy().astype(float)[thin],
        y=grid.dataset["y"].to_numpy().astype(float)[thin],
        crs=grid.crs,
        agreement=agreement,
    )


def fire_codes(times: pd.DatetimeIndex, latitude: Floats, weather: Mapping[str, Floats]) -> dict[str, Floats]:
    """Compute the codes of the Canadian Forest Fire Weather Index System (van Wagner, 1987) day after day.

    Parameters
    ----------
    times : pandas.DatetimeIndex, shape (time,)
        Consecutive days.
    latitude : numpy.ndarray of float64, shape (y, x)
        Degrees north, for the length of the day.
    weather : mapping of str to numpy.ndarray, shape (time, y, x)
        ``tmax`` (degC), ``humidity`` (%), ``wind`` (m s-1) and ``rain`` (mm).

    Returns
    -------
    dict of str to numpy.ndarray of float64, shape (time, y, x)
        ``ffmc``, ``dmc``, ``dc``, ``isi``, ``bui`` and ``fwi``, from the usual start-up values on the first day.
    """
    state = FireWeather(latitude)
    blocks = []
    for first in range(0, len(times), _BLOCK):
        part = slice(first, first + _BLOCK)
        blocks.append(
            state.advance(
                times[part],
                weather["tmax"][part],
                weather["humidity"][part],
                3.6 * weather["wind"][part],
                weather["rain"][part],
            )
        )
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def check_ranges(source: str, values: Mapping[str, Floats]) -> None:
    """Refuse quantities whose values cannot be what their name says.

    Raises
    ------
    ScaleError
        If more than a thousandth of the known values lies out of the physical range.
    """
    for name, array in values.items():
        quantity = quantity_of(name)
        known = np.asarray(array)[np.isfinite(array)]
        outside = (known < quantity.low) | (known > quantity.high)
        if known.size and outside.mean() > _FAR_OUT:
            raise ScaleError(
                f"{source}: {quantity.text} ranges from {known.min():g} to {known.max():g}; expected {quantity.low:g} "
                f"to {quantity.high:g} {quantity.units}. Check its unit and scale factor."
            )


def relative_humidity(temperature: Floats, dew_point: Floats) -> Floats:
    """Return relative humidity in per cent from temperatures in degrees Celsius (Tetens; FAO 56, equation 11)."""

    def pressure(celsius: Floats) -> Floats:
        return np.asarray(0.6108 * np.exp(17.27 * celsius / (celsius + 237.3)))

    return np.clip(100 * pressure(dew_point) / pressure(temperature), 0.0, 100.0)


def _require(cube: Cube, names: Sequence[str], what: str) -> str:
    found = find(cube, names)
    if found is None:
        raise UnknownVariableError(
            f"Cube {cube.name!r} has no variable for {what}; expected one of {', '.join(names)}. "
            f"It has {', '.join(sorted(cube.variables))}."
        )
    return found


def _thin(grid: Grid) -> slice:
    spacing = min(grid.resolution or (SPACING, SPACING))
    if grid.crs is not None and grid.crs.is_geographic:
        spacing *= 111_000.0
    step = 1 if spacing > SPACING / 2 else round(SPACING / spacing)
    return slice(min(step // 2, min(grid.shape) - 1), None, step)


def _celsius(kelvin: Floats) -> Floats:
    return kelvin - 273.15 if np.nanmedian(kelvin) > 150 else kelvin


def _minimum(cube: Cube, hot: Floats, read: Read) -> Floats:
    name = find(cube, TMIN)
    return _celsius(read(name)) if name else np.full_like(hot, np.nan)


def _humidity(cube: Cube, hot: Floats, cold: Floats, read: Read) -> Floats:
    given, dew = find(cube, HUMIDITY), find(cube, DEW)
    if given:
        values = read(given)
        return 100 * values if np.nanmax(values) <= 1.5 else values
    if dew:
        return relative_humidity(hot, _celsius(read(dew)))
    if not np.isfinite(cold).any():
        _require(cube, (*HUMIDITY, *DEW, *TMIN), "humidity, dew point or minimum temperature")
    return relative_humidity(hot, np.minimum(cold, hot))


def _wind(cube: Cube, read: Read) -> Floats:
    """Return the wind speed, at noon where only the extremes of its components are known: midway between them."""
    speed = find(cube, WIND)
    if speed:
        return read(speed)
    pairs = [[name for name in names if name in cube] for names in COMPONENTS]
    if not all(pairs):
        _require(cube, WIND, "wind, nor both its components era5_max_u10 and era5_max_v10")
    east, north = (np.mean([read(name) for name in names], axis=0) for names in pairs)
    return np.asarray(np.hypot(east, north))


def _to_mm(cube: Cube, name: str) -> float:
    units = cube.variables[name].units.strip().lower()
    return {"mm": 1.0, "kg m-2": 1.0, "mm d-1": 1.0, "mm/d": 1.0, "mm/day": 1.0}.get(units, 1000.0)


def _running(values: Floats) -> Floats:
    """Return the mean of the last :data:`LONG` days, NaN before."""
    total = np.cumsum(np.nan_to_num(values), axis=0)
    mean = np.full_like(values, np.nan)
    mean[LONG - 1 :] = total[LONG - 1 :]
    mean[LONG:] -= total[:-LONG]
    return mean / LONG


def _correlation(ours: Floats, theirs: Floats) -> float:
    known = np.isfinite(ours) & np.isfinite(theirs)
    return float(np.corrcoef(ours[known], theirs[known])[0, 1]) if known.sum() > 1 else float("nan")


def _nearest(axis: Floats, wanted: Floats) -> Ints:
    order = np.argsort(axis)
    ordered = axis[order]
    right = np.clip(np.searchsorted(ordered, wanted), 1, max(len(axis) - 1, 1)) if len(axis) > 1 else wanted * 0
    right = np.asarray(right, dtype=np.int64)
    left = np.maximum(right - 1, 0)
    best = np.where(np.abs(wanted - ordered[left]) <= np.abs(ordered[right] - wanted), left, right)
    return np.asarray(order[best], dtype=np.int64)
