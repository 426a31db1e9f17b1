"""Weather that a drought forecast may know: rain and temperature of a coarser, daily grid at the steps of NDVI.

Weather keeps its own grid until it is needed: it is summed or averaged over each step of NDVI where it lies, compared
there with its climatology of the training period, and only the departures are carried to the pixels of NDVI.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from deepcube.cubes import (
    Cube,
    Grid,
    Steps,
    TimeSplit,
    Variable,
    crossfit_climatology,
    fit_climatology,
    regular_step,
    season_count,
    season_of,
)
from deepcube.cubes.features import Spi, Tile
from deepcube.cubes.views import Raster, view
from deepcube.cubes.views.period import aggregate
from features.drought.schema import SPI_MONTHS

Floats = NDArray[np.float64]

RAIN = ("era5_tp", "tp", "era5_max_tp", "precipitation", "rainfall", "rain", "rr", "pr")
"""Names of rain that adds up, the preferred first."""

TEMPERATURE = ("era5_t2m", "t2m", "temperature_2m", "tas", "tg", "temperature")
"""Names of mean air temperature, the preferred first."""

_TO_MM = {"m": 1000.0, "m of water equivalent": 1000.0, "cm": 10.0, "inches": 25.4}
_LEAST = 0.8  # share of a step's days that a mean temperature needs; a sum of rain needs all

_LONGEST = pd.Timedelta(days=16)  # of which months can be made
_LEAST_YEARS = pd.Timedelta(days=3 * 365)  # of training, below which a distribution by month says nothing


@dataclass(frozen=True, eq=False)
class Weather:
    """Departures of the weather from normal at every step of NDVI, on the weather's own grids.

    Attributes
    ----------
    anomalies : dict of str to Grid
        ``rain`` (mm, sum over the step) and ``temperature`` (K, mean over the step), each where the
        cube has it: a grid with one variable of that name, dimensions (time, y, x), NaN where unknown.
    spi : dict of str to Grid
        ``spi_1``, ``spi_3`` and ``spi_6`` (unit 1), where the cube has daily rain over three training years and more.
    """

    anomalies: dict[str, Grid]
    spi: dict[str, Grid] = field(default_factory=dict)

    def at(self, grid: Grid, rows: slice) -> dict[str, Floats]:
        """Return the departures and indices at some rows of a finer grid.

        Parameters
        ----------
        grid : Grid
            The grid of NDVI.
        rows : slice
            Rows wanted.

        Returns
        -------
        dict of str to numpy.ndarray of float64, shape (steps, cells)
            Bilinear between the pixels of the weather; 0, that is normal, where the weather is unknown.
        """
        # A lone row has no height, so it is looked up together with a neighbour.
        first = max(0, min(rows.start, grid.shape[0] - 2))
        held = slice(first, max(rows.stop, first + 2))
        target = Raster.of(replace(grid, dataset=grid.dataset.isel(y=held)))
        found = {}
        for name, anomaly in (self.anomalies | self.spi).items():
            moved = view(Cube(name, (anomaly,), ""), grid=target, least=0.0)
            values = moved[name].transpose("time", "y", "x").to_numpy().astype(float)
            values = values[:, rows.start - first : rows.stop - first]
            found[name] = np.nan_to_num(values.reshape(len(values), -1), nan=0.0)
        return found


def find_weather(cube: Cube, steps: Steps, split: TimeSplit) -> Weather | None:
    """Find rain and temperature in a cube and compare them with their climatology.

    Parameters
    ----------
    cube : Cube
        A cube of any grids.
    steps : Steps
        Steps of NDVI.
    split : TimeSplit
        Its periods; the climatology is fitted on the training period only, and cross-fitted within it (see
        :func:`deepcube.cubes.crossfit_climatology`).

    Returns
    -------
    Weather or None
        None if the cube has neither as a raster at steps of at most half those of NDVI, with values in all seasons of
        the training period.
    """
    anomalies, spi = {}, {}
    for name, names, sums in (("rain", RAIN, True), ("temperature", TEMPERATURE, False)):
        variable = _choose(cube, names, sums, steps)
        anomaly = None if variable is None else _anomaly(cube, variable, steps, split)
        if anomaly is not None and variable is not None:
            grid = cube.grid_of(_key(cube, variable))
            dataset = anomaly.to_dataset(name=name)
            anomalies[name] = Grid(grid.name, dataset, grid.crs)
            if name == "rain":
                spi = _standardised(cube, variable, steps, split)
    return Weather(anomalies, spi) if anomalies else None


def _choose(cube: Cube, names: Sequence[str], sums: bool, steps: Steps) -> Variable | None:
    """Return the first variable of these names that adds up or averages as it should, fine enough in time."""
    for name in names:
        for key, variable in cube.variables.items():
            if variable.name.lower() != name or set(variable.dims) != {"time", "y", "x"}:
                continue
            if variable.kind != "continuous" or variable.accumulates != sums:
                continue
            own = regular_step(cube.grid_of(key).times)
            if own is not None and own <= steps.length / 2:
                return variable
    return None


def _key(cube: Cube, variable: Variable) -> str:
    """Return the name, qualified where several grids share it, that a cube knows a variable by."""
    return next(key for key, one in cube.variables.items() if one is variable)


def _anomaly(cube: Cube, variable: Variable, steps: Steps, split: TimeSplit) -> xr.DataArray | None:
    """Return the departure of every step from normal, dims (time, y, x); None without a climatology."""
    key = _key(cube, variable)
    data = cube[key].transpose("time", "y", "x")
    values = aggregate(data.load(), variable, *_windows(cube.grid_of(key).times, steps), _LEAST)
    flat = values.to_numpy().astype(float).reshape(len(steps.times), -1)
    seasons = season_count(steps.length)
    season, training = season_of(steps.times, seasons), split.select(steps.times, "train")
    normal = fit_climatology(flat[training], season[training], seasons).mean[season]
    normal[training] = crossfit_climatology(flat[training], steps.times[training], season[training], seasons)
    if not np.isfinite(normal).any():
        return None
    factor = _TO_MM.get(variable.units.strip().lower(), 1.0) if variable.accumulates else 1.0
    return values.copy(data=factor * (flat - normal).reshape(values.shape))


def _standardised(cube: Cube, variable: Variable, steps: Steps, split: TimeSplit) -> dict[str, Grid]:
    """Return standardised precipitation of the last month that is over at each step, on the weather's own grid."""
    grid = cube.grid_of(_key(cube, variable))
    times, own = grid.times, regular_step(grid.times)
    start, end = max(times[0], split.train_start), split.train_end
    if own is None or own > _LONGEST or end - start < _LEAST_YEARS:
        return {}
    rain = cube[_key(cube, variable)].transpose("time", "y", "x").load()
    factor = _TO_MM.get(variable.units.strip().lower(), 1.0)
    values = rain.to_numpy().astype(float) * factor
    shape = values.shape[1:]
    held = xr.Dataset({"rain": (("time", "y", "x"), values, {"units": "mm"})}, {"time": times})
    tile = Tile(held, slice(0, shape[0]), slice(0, shape[1]), False, (1.0, 1.0), 0.0, lambda: _nowhere(shape))
    latest = (times + own).searchsorted(steps.times, side="right") - 1  # a day is known when it is over
    found = {}
    for name, months in ((f"spi_{months}", months) for months in SPI_MONTHS):
        index = Spi("rain", months, (str(start.date()), str(end.date()))).compute(tile)
        at = np.where((latest >= 0)[:, None, None], index[np.maximum(latest, 0)], np.nan)
        data = rain.isel(time=slice(0, 1), drop=True)
        placed = xr.DataArray(at, dims=("time", "y", "x"), coords={"time": steps.times, "y": data["y"], "x": data["x"]})
        found[name] = Grid(grid.name, placed.to_dataset(name=name), grid.crs)
    return found


def _nowhere(shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Return coordinates for features that ask for none."""
    return np.zeros(shape), np.zeros(shape)


def _windows(times: pd.DatetimeIndex, steps: Steps) -> tuple[Steps, NDArray[np.int64]]:
    """Return in which step of NDVI each time of the weather is first known, and how many times a step has.

    A value dated to a day is known when that day is over, so a forecast made on a day does not know its weather.
    """
    own = regular_step(times)
    assert own is not None
    known = times + own
    window = np.asarray(steps.times.searchsorted(known, side="left"), dtype=np.int64)
    window[known <= steps.times[0] - steps.length] = len(steps.times)
    lengths = np.diff(np.concatenate([[(steps.times[0] - steps.length).value], steps.times.as_unit("ns").asi8]))
    expected = np.maximum(np.rint(lengths / own.value).astype(np.int64), 1)
    return Steps(steps.times, steps.length, window, native=False), expected
