"""Wildfire cubes: which of their variables are what, and the rows that cases become."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepcube.cubes import (
    Cube,
    Grid,
    NoValidDataError,
    TimeAxisError,
    TimeSplit,
    UnknownVariableError,
    open_cube,
    pixel_cells,
    regular_step,
)
from deepcube.cubes.sampling import GridsSampler
from features.wildfire.cases import Cases, choose_cases, year_split
from features.wildfire.land import Land, read_land
from features.wildfire.layout import (
    HISTORY,
    NEIGHBOURHOOD,
    PATCH,
    SURFACE,
    VEGETATION,
    patch_names,
)
from features.wildfire.schema import INPUTS, STATIC_INPUTS, SURFACE_INPUTS, WEATHER_INPUTS
from features.wildfire.weather import Weather, check_ranges, find, read_weather

Floats = NDArray[np.float64]

BURNED = ("burned_areas", "burned_area")
"""Names of the target: 1 where a cell burns by a fire that starts on the date."""

_SEEN = {
    "lst_day": ("LST_Day_1km", "lst_day"),
    "lst_night": ("LST_Night_1km", "lst_night"),
    "ndvi": ("1 km 16 days NDVI", "ndvi"),
    "evi": ("1 km 16 days EVI", "evi"),
    "lai": ("Lai_500m", "lai"),
    "fpar": ("Fpar_500m", "fpar"),
}
_CHUNK = 40_000  # cases whose rows are in memory at once
_BATCH = 4096


@dataclass(frozen=True, eq=False)
class Tables:
    """Rows of the feature groups, with the columns of their schemas."""

    targets: pd.DataFrame
    weather: pd.DataFrame
    surface: pd.DataFrame
    static: pd.DataFrame


@dataclass(frozen=True, eq=False)
class FireCube:
    """A wildfire cube, checked, with its cases chosen.

    Attributes
    ----------
    cube : Cube
        The cube.
    grid : Grid
        Grid of the burned areas: the fire grid.
    weather : Weather
        Weather and fire weather codes.
    land : Land
        What does not change.
    split : TimeSplit
        Periods of the days that forecasts are made on.
    cases : Cases
        Cell-days of all parts.
    """

    cube: Cube
    grid: Grid
    weather: Weather
    land: Land
    split: TimeSplit
    cases: Cases

    @property
    def name(self) -> str:
        """Name of the cube."""
        return self.cube.name

    @property
    def simulated(self) -> bool:
        """Whether it is simulated."""
        return self.cube.simulated

    @cached_property
    def cells(self) -> NDArray[np.int64]:
        """Cells of the fire grid, shape (y, x)."""
        return pixel_cells(*self.grid.longitude_latitude())[0]

    @cached_property
    def place(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and column of the weather pixel of every pixel of the fire grid, shape (y, x) each."""
        return self.weather.place(*self.grid.longitude_latitude())

    @property
    def inputs(self) -> list[str]:
        """Model inputs that the cube has."""
        seen = {name for name, names in _SEEN.items() if find(self.cube, names)}
        absent = {one.name for one in (*SURFACE, *VEGETATION)} - seen
        absent |= {f"{one.name}_lag_{lag}" for one in SURFACE for lag in range(HISTORY) if one.name in absent}
        absent |= set(self.land.absent)
        if "ndvi" in absent:
            absent |= set(patch_names(NEIGHBOURHOOD[-1:]))
        return [name for name in INPUTS if name not in absent]

    def __len__(self) -> int:
        return -(-len(self.cases) // _CHUNK)

    def tables(self) -> Iterator[Tables]:
        """Yield the rows of the cases, some at a time."""
        for first in range(0, len(self.cases), _CHUNK):
            yield self._tables(self.cases.take(slice(first, first + _CHUNK)))

    def _tables(self, cases: Cases) -> Tables:
        time = self.weather.times.to_numpy("datetime64[us]")
        wy, wx = (axis[cases.row, cases.column] for axis in self.place)
        weather_cell = self.weather.cells[wy, wx]
        key = pd.DataFrame({"cube": self.name, "cell_id": self.cells[cases.row, cases.column], "time": time[cases.day]})
        targets = key.assign(
            fire=cases.fire.astype(np.int32),
            weight=cases.weight,
            part=cases.part.astype(object),
            weather_cell=weather_cell,
            row=cases.row.astype(np.int32),
            col=cases.column.astype(np.int32),
        )
        surface = self._surface(cases)
        keep = self._usable(cases, wy, wx)
        pairs = np.unique(np.column_stack([cases.day, wy, wx])[keep], axis=0)
        weather = pd.DataFrame({"cube": self.name, "weather_cell": self.weather.cells[pairs[:, 1], pairs[:, 2]]})
        weather["time"] = time[pairs[:, 0]]
        weather = pd.concat([weather, pd.DataFrame(self.weather.rows(*pairs.T))[WEATHER_INPUTS]], axis=1)
        pixels = np.unique(np.column_stack([cases.row, cases.column])[keep], axis=0)
        return Tables(
            targets[keep].reset_index(drop=True),
            weather,
            pd.concat([key, surface], axis=1)[keep].reset_index(drop=True),
            self._static(pixels[:, 0], pixels[:, 1]),
        )

    def _usable(self, cases: Cases, wy: NDArray[np.int64], wx: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which cases have weather on every day of their history."""
        fwi = self.weather.values["fwi"]
        known = np.ones(len(cases), dtype=bool)
        for lag in range(HISTORY):
            known &= np.isfinite(fwi[cases.day - lag, wy, wx])
        if not known.any():
            raise NoValidDataError(
                f"Weather of cube {self.name!r} is missing in the history of every case; expected temperature, "
                "humidity, wind and rain on all days. Check its fill values."
            )
        return known

    def _static(self, row: NDArray[np.int64], column: NDArray[np.int64]) -> pd.DataFrame:
        longitude, latitude = self.grid.longitude_latitude()
        frame = pd.DataFrame({"cube": self.name, "cell_id": self.cells[row, column]})
        frame["weather_cell"] = self.weather.cells[self.place[0][row, column], self.place[1][row, column]]
        frame["longitude"], frame["latitude"] = longitude[row, column], latitude[row, column]
        return pd.concat([frame, pd.DataFrame(self.land.rows(row, column))[STATIC_INPUTS]], axis=1)

    def _surface(self, cases: Cases) -> pd.DataFrame:
        """Read what satellites see at and around the cases, every product on its own grid."""
        columns = {name: np.full(len(cases), np.nan) for name in SURFACE_INPUTS}
        seen = {name: found for name, names in _SEEN.items() if (found := find(self.cube, names))}
        if not seen:
            return pd.DataFrame(columns)
        longitude, latitude = (axis[cases.row, cases.column] for axis in self.grid.longitude_latitude())
        resolution = self.grid.resolution or (1.0, 1.0)
        sampler = GridsSampler(
            self.cube,
            list(seen.values()),
            (PATCH * resolution[0], PATCH * resolution[1]),
            f"{HISTORY}D",
            self.weather.times[cases.day],
            longitude,
            latitude,
        )
        for batch in sampler.batches(_BATCH):
            for name, variable in seen.items():
                grid = self.cube.grid_of(variable).name
                values = batch.values[grid][:, sampler.variables[grid].index(variable)]
                _fill(columns, batch.index, name, np.asarray(values, dtype=float))
        check_ranges(self.name, {name: values for name, values in columns.items() if np.isfinite(values).any()})
        return pd.DataFrame(columns)


def open_firecube(source: str, name: str) -> FireCube:
    """Open a wildfire cube and choose its cases.

    Parameters
    ----------
    source : str
        Path of a cube with daily burned areas and weather; see :mod:`features.wildfire.weather` and
        :mod:`features.wildfire.land` for the names of variables.
    name : str
        Name of the cube in the feature store.

    Returns
    -------
    FireCube
        The checked cube.

    Raises
    ------
    deepcube.cubes.CubeError
        One of its kinds, for whatever is wrong with the cube.
    """
    cube = open_cube(source, name=name)
    burned = find(cube, BURNED)
    if burned is None:
        raise UnknownVariableError(
            f"Cube {cube.name!r} has no variable {' or '.join(BURNED)}, where fires burn; it has "
            f"{', '.join(sorted(cube.variables))}. Rename the variable of the cube."
        )
    grid = cube.grid_of(burned)
    times = pd.DatetimeIndex(grid.times).normalize()
    if regular_step(times) != pd.Timedelta(days=1):
        raise TimeAxisError(f"Burned areas of cube {cube.name!r} are not daily; expected one map for every day.")
    weather = read_weather(cube)
    if not times.equals(weather.times):
        raise TimeAxisError(
            f"Burned areas of cube {cube.name!r} run from {times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}, weather from "
            f"{weather.times[0]:%Y-%m-%d} to {weather.times[-1]:%Y-%m-%d}; expected the same days."
        )
    land = read_land(cube, grid)
    split = year_split(times)
    data = cube[burned].transpose("time", "y", "x")
    fwi = weather.values["fwi"].reshape(len(times), -1)
    known = np.isfinite(fwi)
    danger = np.where(known, fwi, 0.0).sum(axis=1) / np.where(known.any(axis=1), known.sum(axis=1), np.nan)
    cases = choose_cases(lambda days: data[days].to_numpy(), times, land.land, split, danger=danger)
    return FireCube(cube, grid, weather, land, split, cases)


def _fill(columns: dict[str, Floats], index: NDArray[np.int64], name: str, values: Floats) -> None:
    """Put one variable's patches, shape (cases, time, y, x), into its columns."""
    middle = _middle(values)
    if name in {one.name for one in SURFACE}:
        for lag in range(min(HISTORY, values.shape[1])):
            columns[f"{name}_lag_{lag}"][index] = middle[:, -1 - lag]
        return
    columns[name][index] = _newest(middle)
    if name == "ndvi":
        around = _newest(values.reshape(len(values), values.shape[1], -1).swapaxes(1, 2))
        around = around.reshape(len(values), *values.shape[2:])
        pick = [np.minimum((np.arange(PATCH) + 0.5) * size / PATCH, size - 1).astype(int) for size in around.shape[1:]]
        flat = around[:, pick[0]][:, :, pick[1]].reshape(len(values), -1)
        for position, column in enumerate(patch_names(NEIGHBOURHOOD[-1:])):
            columns[column][index] = flat[:, position]


def _middle(values: Floats) -> Floats:
    """Return the mean over the pixels that make up the cell in the middle, shape (cases, time)."""
    parts = []
    for size in values.shape[2:]:
        width = max(1, round(size / PATCH))
        first = (size - width) // 2
        parts.append(slice(first, first + width))
    cut = values[:, :, parts[0], parts[1]].reshape(*values.shape[:2], -1)
    count = np.isfinite(cut).sum(axis=2)
    return np.where(count > 0, np.nansum(cut, axis=2) / np.maximum(count, 1), np.nan)


def _newest(series: Floats) -> Floats:
    """Return the newest known value along the last axis, NaN where there is none."""
    known = np.isfinite(series)
    last = series.shape[-1] - 1 - np.argmax(known[..., ::-1], axis=-1)
    value = np.take_along_axis(series, last[..., None], axis=-1)[..., 0]
    return np.where(known.any(axis=-1), value, np.nan)
