"""Minicubes: all that a cube knows of a place, on one grid and at one step, for forecasts of months ahead.

Where the feature groups hold one row per pixel and date, networks over space and time need blocks. A minicube is one
dataset: NDVI and what is normal, the bands, the weather, the terrain and the land cover, gaps being NaN. The feature
pipeline leaves it in the project's files.
"""

import re
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from deepcube.cubes import (
    TimeSplit,
    composite,
    crossfit_climatology,
    fit_climatology,
    native_steps,
    regular_step,
    season_count,
    season_of,
)
from features.drought.source import NdviSource, read_clear, read_ndvi
from features.drought.weather import find_weather

MINICUBE_FILE = "minicube.nc"
"""Name of the file in the project's ``Resources/drought/<cube>``."""

SIDE = 64
"""Pixels along a side at most; of larger cubes the middle is taken."""

WEATHER = {"rain": "mm", "temperature": "K"}
"""Departures of the weather from normal that a minicube may have, with their units."""

TERRAIN = ("cop_dem", "alos_dem", "srtm_dem", "dem", "elevation", "dem_mean")
"""Names of the height, the preferred first."""

LAND_COVER = ("esawc_lc", "lulc", "land_cover", "lc100")
"""Names of the land cover, the preferred first."""

NO_VEGETATION = (50, 70, 80)
"""Classes of ESA WorldCover without vegetation to forecast: built, snow, water."""

_BAND = re.compile(r"(s2_)?b(0?[2-9]|8a|1[12])$", re.IGNORECASE)
_FINEST = pd.Timedelta(days=5)


def make_minicube(source: NdviSource) -> xr.Dataset:
    """Put everything that a cube knows onto the grid of NDVI and one step.

    Parameters
    ----------
    source : NdviSource
        An opened source.

    Returns
    -------
    xarray.Dataset, dims (time, y, x)
        ``ndvi`` and ``normal``, its climatology of the training years, cross-fitted within them (both unit 1);
        ``band_<name>`` (time, y, x), mean reflectance of the clear acquisitions; ``rain`` and ``temperature`` (time,),
        departures from normal in mm and K, the mean over the minicube; ``elevation`` (y, x) in m; ``land_cover``
        (y, x), classes. NaN where unknown; what the cube lacks is absent. Attributes: ``cube``, ``simulated``,
        ``step_days`` and the dates of the split. Steps are those of the cube if it is regular and no finer than five
        days, else those of the feature groups.
    """
    grid = source.grid
    rows, cols = (_middle(size) for size in grid.shape)
    length = regular_step(grid.times)
    own = length is not None and length >= _FINEST
    steps = native_steps(grid.times) if own else source.steps
    acquired = read_ndvi(source.cube, source.inputs, source.masks, source.scale, rows)
    clear = read_clear(source.cube, source.masks, rows, acquired.shape)[:, :, cols]
    ndvi, _ = composite(acquired[:, :, cols], steps)
    normal = _normal(ndvi, steps.times, steps.length, source.split)
    data: dict[str, Any] = {
        "ndvi": (("time", "y", "x"), ndvi.astype(np.float32), {"units": "1"}),
        "normal": (("time", "y", "x"), normal.astype(np.float32), {"units": "1"}),
    }
    for key, variable in source.cube.variables.items():
        if source.cube.grid_of(key).shape != grid.shape:
            continue
        name = variable.name.lower()
        if _BAND.match(name) and set(variable.dims) == {"time", "y", "x"} and source.cube.grid_of(key) is grid:
            values = source.cube[key].transpose("time", "y", "x").isel(y=rows, x=cols).to_numpy().astype(float)
            seen = composite(np.where(clear, values, np.nan), steps, "mean")[0]
            data[f"band_{name}"] = (("time", "y", "x"), seen.astype(np.float32), {"units": "1"})
        elif name in (*TERRAIN, *LAND_COVER) and set(variable.dims) == {"y", "x"}:
            values = source.cube[key].transpose("y", "x").isel(y=rows, x=cols).to_numpy().astype(np.float32)
            if name in LAND_COVER:
                data.setdefault("land_cover", (("y", "x"), values, {"units": "1", "product": name}))
            else:
                data.setdefault("elevation", (("y", "x"), values, {"units": "m"}))
    weather = find_weather(source.cube, steps, source.split)
    for name, values in (weather.at(grid, rows) if weather else {}).items():
        if name in WEATHER:
            data[name] = ("time", values.mean(axis=1).astype(np.float32), {"units": WEATHER[name]})
    dates = {name: pd.Timestamp(date).isoformat() for name, date in asdict(source.split).items()}
    attrs = {
        "cube": source.cube.name,
        "simulated": str(bool(source.cube.simulated)),
        "step_days": steps.length / pd.Timedelta(days=1),
        **dates,
    }
    coords = {"time": steps.times.to_numpy("datetime64[ns]"), "y": np.arange(rows.start, rows.stop)}
    return xr.Dataset(data, {**coords, "x": np.arange(cols.start, cols.stop)}, attrs)


def split_of(minicube: xr.Dataset) -> TimeSplit:
    """Return the split that a minicube was made with."""
    names = TimeSplit.__dataclass_fields__
    return TimeSplit(**{name: pd.Timestamp(minicube.attrs[name]) for name in names})


def _middle(size: int) -> slice:
    kept = min(size, SIDE)
    return slice((size - kept) // 2, (size - kept) // 2 + kept)


def _normal(ndvi: np.ndarray, times: pd.DatetimeIndex, length: pd.Timedelta, split: TimeSplit) -> np.ndarray:
    """Return the climatology at every step, which no training value knows itself."""
    flat = ndvi.reshape(len(ndvi), -1)
    seasons = season_count(length)
    season, training = season_of(times, seasons), np.asarray(times < split.train_end)
    normal = fit_climatology(flat[training], season[training], seasons).mean[season]
    normal[training] = crossfit_climatology(flat[training], times[training], season[training], seasons)
    return normal.reshape(ndvi.shape)
