"""Rows of a table by place and time as a layer: predictions of a feature group, drawn on cells of their own size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyproj
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from deepcube.atlas.errors import AtlasError, StoppedError
from deepcube.atlas.layers import Floats, Stop, nobody_left
from deepcube.atlas.placement import Placement
from deepcube.cubes import Variable, cell_centre

MOST_ROWS = 20_000_000
"""Rows of a table that are held in memory."""

_MOST_CELLS = 1_000_000  # of the raster that a table is drawn on
_FINER = 2.0  # pixels of the raster between two neighbouring places
_NEIGHBOURS = 4  # on a square grid, this many lie at one pitch; centres of cells lie a little off it
_REACH = 0.9  # of the pitch, that a place is drawn around itself at most: half a diagonal is 0.71


class TableError(AtlasError):
    """A table that cannot be drawn."""

    status = 400


@dataclass(frozen=True, eq=False)
class Places:
    """The places of a table and the raster that they are drawn on.

    Attributes
    ----------
    keys : numpy.ndarray, shape (places,)
        Key of every place, such as its cell.
    longitude, latitude : numpy.ndarray of float64, shape (places,)
        Where they are, in degrees.
    """

    keys: NDArray[Any]
    longitude: NDArray[np.float64]
    latitude: NDArray[np.float64]

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Places:
        """Return the places of rows: by ``cell_id``, or by ``longitude`` and ``latitude``.

        Raises
        ------
        TableError
            If they have neither.
        """
        if "cell_id" in rows:
            keys = np.unique(rows["cell_id"].to_numpy(np.int64))
            longitude, latitude = cell_centre(keys)
            return cls(keys, longitude, latitude)
        if {"longitude", "latitude"} <= set(rows):
            found = rows[["longitude", "latitude"]].drop_duplicates().to_numpy(float)
            return cls(np.arange(len(found)), found[:, 0], found[:, 1])
        raise TableError(f"Found columns {', '.join(map(str, rows))}; expected cell_id, or longitude and latitude.")

    @cached_property
    def _plane(self) -> NDArray[np.float64]:
        """Places in degrees of latitude, longitudes shrunk by the cosine of the middle latitude."""
        return np.column_stack([self.longitude * self._across, self.latitude])

    @cached_property
    def _across(self) -> float:
        return max(math.cos(math.radians(float(self.latitude.mean()))), 0.05)

    @cached_property
    def _tree(self) -> Any:
        return cKDTree(self._plane)

    @cached_property
    def spacing(self) -> float:
        """Pitch of the grid that the places lie on, more or less, in degrees of latitude."""
        if len(self.keys) < 2:
            return 0.01
        count = min(_NEIGHBOURS, len(self.keys) - 1)
        return max(float(np.median(self._tree.query(self._plane, k=count + 1)[0][:, -1])), 1e-7)

    @cached_property
    def raster(self) -> tuple[Placement, NDArray[np.int64]]:
        """Where the raster lies, and the number of the place that every pixel shows; -1 for none."""
        margin = self.spacing / 2
        south, north = float(self.latitude.min()) - margin, float(self.latitude.max()) + margin
        west, east = (float(edge) for edge in (self.longitude.min(), self.longitude.max()))
        west, east = west - margin / self._across, east + margin / self._across
        step = self.spacing / _FINER
        step *= max(1.0, math.sqrt((north - south) * (east - west) * self._across / step**2 / _MOST_CELLS))
        rows, columns = math.ceil((north - south) / step), math.ceil((east - west) * self._across / step)
        y = north - (np.arange(max(rows, 2)) + 0.5) * (north - south) / max(rows, 2)
        x = west + (np.arange(max(columns, 2)) + 0.5) * (east - west) / max(columns, 2)
        across, down = np.meshgrid(x * self._across, y)
        reach = max(self.spacing * _REACH, step)
        apart, nearest = self._tree.query(np.column_stack([across.ravel(), down.ravel()]), distance_upper_bound=reach)
        index = np.where(np.isfinite(apart), nearest, -1).reshape(across.shape)
        return Placement(x, y, pyproj.CRS.from_epsg(4326)), index


class TableLayer:
    """One column of a table.

    Parameters
    ----------
    variable : Variable
        Its description.
    places : Places
        Where rows lie.
    times : pandas.DatetimeIndex
        Steps.
    values : numpy.ndarray of float32, shape (times, places)
        NaN where there is no row.
    """

    def __init__(self, variable: Variable, places: Places, times: pd.DatetimeIndex, values: Floats) -> None:
        self.variable = variable
        self.attrs: dict[Any, Any] = {}
        self.places = places
        self.values = values
        self.weights: Floats | None = None  # how many cases each value stands for, where some were thinned out
        self._times = times
        self.placement, self._index = places.raster

    @property
    def times(self) -> pd.DatetimeIndex | None:
        """Times of the steps."""
        return self._times

    def place_at(self, row: int, column: int) -> int | None:
        """Return the number of the place that a pixel of the raster shows."""
        found = int(self._index[row, column])
        return None if found < 0 else found

    def read(self, step: int, window: tuple[slice, slice], thin: int = 1, stop: Stop = nobody_left) -> Floats:
        """Return every ``thin``-th pixel of a window of one step, shape (rows, columns); NaN where there is no row."""
        if stop():
            raise StoppedError("the client has left")
        index = self._index[window[0], window[1]][::thin, ::thin]
        return np.where(index < 0, np.float32(np.nan), self.values[step].take(index, mode="clip"))

    def series(self, row: int, column: int, steps: slice, stop: Stop = nobody_left) -> Floats:
        """Return the values of the place that a pixel shows."""
        place = self.place_at(row, column)
        count = len(range(*steps.indices(len(self._times))))
        return np.full(count, np.nan, np.float32) if place is None else self.values[steps, place]


def table_layers(rows: pd.DataFrame, variables: list[Variable], time: str) -> dict[str, TableLayer]:
    """Turn the rows of a table into layers, one for each of some columns.

    Parameters
    ----------
    rows : pandas.DataFrame
        Places, times and values; of several rows of one place and time the last counts.
    variables : list of Variable
        Columns to draw.
    time : str
        Column of the times.

    Returns
    -------
    dict of str to TableLayer
        By the name of the variable.

    Raises
    ------
    TableError
        If there are no rows, too many, or none that say where they are.
    """
    if not 0 < len(rows) <= MOST_ROWS:
        raise TableError(f"Found {len(rows):,} rows; expected 1 to {MOST_ROWS:,}.")
    places = Places.of(rows)
    stamps = pd.DatetimeIndex(pd.to_datetime(rows[time], utc=True)).tz_localize(None)
    times = pd.DatetimeIndex(np.unique(stamps))
    if "cell_id" in rows:
        place = np.searchsorted(places.keys, rows["cell_id"].to_numpy(np.int64))
    else:
        order = pd.MultiIndex.from_arrays([places.longitude, places.latitude])
        place = order.get_indexer(pd.MultiIndex.from_frame(rows[["longitude", "latitude"]].astype(float)))
    step = times.get_indexer(stamps)
    layers = {}
    for variable in variables:
        values = np.full((len(times), len(places.keys)), np.nan, np.float32)
        values[step, place] = rows[variable.name].to_numpy(np.float32)
        layers[variable.name] = TableLayer(variable, places, times, values)
    return layers
