"""Rows of a table as points: each where it lies, at each time the newest one of every place.

Unlike the cells of a grid, points keep their own places, times and rows: interferograms come when the satellite passes,
each volcano on days of its own, and several of them may lie at one place.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepcube.atlas.errors import RequestError, StoppedError
from deepcube.atlas.layers import Floats, Stop, nobody_left
from deepcube.atlas.mercator import Box
from deepcube.atlas.placement import Pixels, Placement
from deepcube.cubes import Variable

MOST_POINTS = 200_000
"""Rows of a layer of points, all of which are sent to the page."""

_NEAR = 0.02  # degrees from a place that still mean it
_MARGIN = 0.5  # degrees around points, for a view of all
_AS_POINTS = "This layer is drawn as points; ask for them with /api/points."


class PointPlacement(Placement):
    """Places that form no grid: as many rows, of one column.

    Parameters
    ----------
    longitude, latitude : numpy.ndarray of float64, shape (places,)
        Where they are, in degrees.
    """

    def __init__(self, longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> None:
        # Not the grid's own: there are no axes.
        self.longitude = longitude
        self.latitude = latitude
        west, east = float(longitude.min()), float(longitude.max())
        south, north = float(latitude.min()), float(latitude.max())
        self.bounds = (west - _MARGIN, max(south - _MARGIN, -90.0), east + _MARGIN, min(north + _MARGIN, 90.0))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of places, and 1."""
        return len(self.longitude), 1

    @property
    def falling_x(self) -> bool:
        """Points have no columns."""
        return False

    @property
    def falling_y(self) -> bool:
        """Points have no rows."""
        return False

    def full_box(self) -> Box:
        """Refuse: points are no picture.

        Raises
        ------
        RequestError
            Always.
        """
        raise RequestError(_AS_POINTS)

    def pixels(self, box: Box) -> Pixels:
        """Refuse: points are no picture.

        Raises
        ------
        RequestError
            Always.
        """
        raise RequestError(_AS_POINTS)

    def window(self, bounds: tuple[float, float, float, float]) -> tuple[slice, slice]:
        """Return all places, wherever they lie."""
        return slice(0, len(self.longitude)), slice(0, 1)

    def cell(self, longitude: float, latitude: float) -> tuple[int, int] | None:
        """Return the place that is meant, as a row, and 0; None where there is none nearby."""
        across = np.abs((self.longitude - longitude + 180) % 360 - 180) * math.cos(math.radians(latitude))
        apart = np.hypot(across, self.latitude - latitude)
        nearest = int(apart.argmin())
        return (nearest, 0) if apart[nearest] <= _NEAR else None

    def centre(self, row: int, column: int) -> tuple[float, float]:
        """Return longitude and latitude of a place."""
        return float(self.longitude[row]), float(self.latitude[row])

    def outline(self, row: int, column: int) -> list[list[float]]:
        """Return no outline: a point has none."""
        return []


class PointLayer:
    """One column of a table whose rows are points.

    Parameters
    ----------
    variable : Variable
        Its description.
    table : pandas.DataFrame
        Rows with ``longitude``, ``latitude`` and the column.
    times : pandas.Series
        Time of every row.
    symbol : {"circle", "triangle"}
        How the points are drawn.

    Raises
    ------
    RequestError
        If there are no rows, or too many.
    """

    def __init__(self, variable: Variable, table: pd.DataFrame, times: pd.Series, symbol: str = "circle") -> None:
        if not 0 < len(table) <= MOST_POINTS:
            raise RequestError(f"Found {len(table):,} rows; expected 1 to {MOST_POINTS:,}.")
        self.variable = variable
        self.attrs: dict[Any, Any] = {}
        self.symbol = symbol
        order = np.lexsort([table[variable.name].to_numpy(float), pd.DatetimeIndex(times).asi8])
        self.table = table.iloc[order]
        stamps = pd.DatetimeIndex(times).take(order)
        self._times = pd.DatetimeIndex(np.unique(stamps))
        self.step = np.asarray(self._times.get_indexer(stamps))
        places = pd.MultiIndex.from_frame(self.table[["longitude", "latitude"]].astype(float))
        found = places.drop_duplicates()
        self.place = np.asarray(found.get_indexer(places))
        longitude, latitude = (found.get_level_values(axis).to_numpy(float) for axis in (0, 1))
        self.placement: Placement = PointPlacement(longitude, latitude)
        self.values = self.table[variable.name].to_numpy(np.float32)

    @property
    def times(self) -> pd.DatetimeIndex:
        """Times of the rows."""
        return self._times

    def rows_at(self, place: int, step: int) -> NDArray[np.intp]:
        """Return the positions of the rows of a place until a step, the newest and of these the greatest last."""
        return np.flatnonzero((self.place == place) & (self.step <= step))

    def read(self, step: int, window: tuple[slice, slice], thin: int = 1, stop: Stop = nobody_left) -> Floats:
        """Return the newest value of every place until a step, shape (places, 1); NaN where there is none yet."""
        if stop():
            raise StoppedError("the client has left")
        values = np.full(self.placement.shape, np.nan, np.float32)
        until = self.step <= step
        values[self.place[until], 0] = self.values[until]  # in the order of time: the newest is written last
        return values[window[0], window[1]][::thin, ::thin]

    def series(self, row: int, column: int, steps: slice, stop: Stop = nobody_left) -> Floats:
        """Return the values of a place at some steps, NaN where there is no row; of several, the greatest."""
        values = np.full(len(self._times), np.nan, np.float32)
        here = self.place == row
        values[self.step[here]] = self.values[here]
        return values[steps]

    def describe(self) -> dict[str, Any]:
        """Return all points as a page draws them.

        Returns
        -------
        dict
            ``places``: longitude, latitude and name of each; ``rows``: place, step and value of each, in the order of
            time.
        """
        names = self.table["place_name"].to_numpy() if "place_name" in self.table else np.full(len(self.table), "")
        first = np.unique(self.place, return_index=True)[1]
        places = [
            [x, y, str(names[row])]
            for (x, y), row in zip((self.placement.centre(place, 0) for place in range(len(first))), first, strict=True)
        ]
        rows = [
            [int(place), int(step), float(f"{value:.6g}")]
            for place, step, value in zip(self.place, self.step, self.values, strict=True)
            if math.isfinite(value)
        ]
        return {"places": places, "rows": rows, "symbol": self.symbol}

    def features(self, step: int, bounds: tuple[float, float, float, float] | None) -> list[dict[str, Any]]:
        """Return what a step shows as GeoJSON features (RFC 7946), within bounds in degrees if those are given."""
        found: list[dict[str, Any]] = []
        values = self.read(step, (slice(None), slice(None)))[:, 0]
        west, south, east, north = bounds or (-180.0, -90.0, 180.0, 90.0)
        for place in np.flatnonzero(np.isfinite(values)):
            x, y = self.placement.centre(int(place), 0)
            if not (south <= y <= north and (x - west) % 360 <= east - west):
                continue
            row = self.rows_at(int(place), step)[-1]
            properties = {
                "variable": self.variable.name,
                "units": self.variable.units,
                "time": str(self._times[self.step[row]].isoformat()),
                "value": float(f"{float(values[place]):.7g}"),
                "place": str(self.table["place_name"].iloc[row]) if "place_name" in self.table else "",
            }
            geometry = {"type": "Point", "coordinates": [round(x, 6), round(y, 6)]}
            found.append({"type": "Feature", "properties": properties, "geometry": geometry})
        return found


def told(row: pd.Series, left_out: set[str], titles: dict[str, str]) -> list[list[Any]]:
    """Return what else a row tells: title and value of every column that people can read.

    Parameters
    ----------
    row : pandas.Series
        A row.
    left_out : set of str
        Columns that are told of elsewhere, or to nobody.
    titles : dict of str to str
        Names of columns for people.
    """
    found: list[list[Any]] = []
    for name, title in titles.items():
        value = row.get(name)
        missing = value is None or isinstance(value, bytes) or (isinstance(value, float) and math.isnan(value))
        if missing or value is pd.NaT or name in left_out:
            continue
        if isinstance(value, str):
            if value and not value.startswith("{"):
                found.append([title, value])
        elif isinstance(value, pd.Timestamp):
            found.append([title, value.strftime("%Y-%m-%d")])
        elif isinstance(value, int | float | np.integer | np.floating):
            found.append([title, float(f"{float(value):.6g}")])
    return found


def stored_explanation(text: Any) -> dict[str, Any] | None:
    """Read an explanation that was stored with a row; None where it holds none."""
    try:
        found = json.loads(text) if isinstance(text, str) and len(text) < 1 << 20 else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("largest"), dict):
        return None
    largest = {str(name): value for name, value in found["largest"].items() if isinstance(value, int | float)}
    return {
        "method": str(found.get("method", "")),
        "baseline": str(found.get("baseline", "")),
        "units": "1",
        "base_value": None,
        "attributions": largest,
        "completeness_error": found.get("error"),
    }
