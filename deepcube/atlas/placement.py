"""Which row and column of a grid every pixel of a map shows."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from deepcube.atlas.errors import NotThereError
from deepcube.atlas.mercator import NORTH, Box, world_x, world_y
from deepcube.cubes import Grid

_WGS84 = pyproj.CRS.from_epsg(4326)
_MESH = 16  # pixels between the points that are projected exactly; between them positions are interpolated
_KEPT = 64  # boxes whose pixels are remembered
_LARGEST = 2048

Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Pixels:
    """Rows and columns of a grid by the pixels of a map.

    Attributes
    ----------
    rows, columns : numpy.ndarray of int
        Of shape (height,) and (width,) where the axes of the map and the grid are parallel, else (height, width). -1
        beyond the grid.
    """

    rows: Index
    columns: Index

    @property
    def separable(self) -> bool:
        """Whether rows and columns are those of whole lines."""
        return self.rows.ndim == 1

    @property
    def empty(self) -> bool:
        """Whether no pixel lies on the grid."""
        return not ((self.rows >= 0).any() and (self.columns >= 0).any())

    def window(self) -> tuple[slice, slice]:
        """Return the rows and columns that are shown; there is at least one of each."""
        rows, columns = self.rows[self.rows >= 0], self.columns[self.columns >= 0]
        return slice(int(rows.min()), int(rows.max()) + 1), slice(int(columns.min()), int(columns.max()) + 1)

    def pick(self, picture: NDArray[np.uint8], window: tuple[slice, slice], step: int = 1) -> NDArray[np.uint8]:
        """Return the pixels of a map from a window of the grid, of which every ``step``-th row and column is given.

        Parameters
        ----------
        picture : numpy.ndarray of uint8, shape (rows, columns)
            Colour index by row and column of the window.
        window : tuple of slice
            From :meth:`window`.
        step : int
            Rows and columns of the grid between those of the picture.

        Returns
        -------
        numpy.ndarray of uint8, shape (height, width)
            0 beyond the grid.
        """
        rows = np.clip((self.rows - window[0].start) // step, 0, picture.shape[0] - 1)
        columns = np.clip((self.columns - window[1].start) // step, 0, picture.shape[1] - 1)
        if self.separable:
            picked = picture.take(rows, axis=0).take(columns, axis=1)
            picked[self.rows < 0] = 0
            picked[:, self.columns < 0] = 0
            return picked
        picked = picture.ravel().take(rows * picture.shape[1] + columns)
        picked[(self.rows < 0) | (self.columns < 0)] = 0
        return picked


class Placement:
    """Where a grid lies on the map.

    Parameters
    ----------
    x, y : numpy.ndarray of float, shape (columns,) and (rows,)
        Centres of the pixels, in the reference system; monotonic.
    crs : pyproj.CRS
        Reference system.
    """

    def __init__(self, x: NDArray[np.float64], y: NDArray[np.float64], crs: pyproj.CRS) -> None:
        self.crs = crs
        self._x, self._y = _Axis(x), _Axis(y)
        self.geographic = bool(crs.is_geographic)
        self._forward = None if self.geographic else pyproj.Transformer.from_crs(_WGS84, crs, always_xy=True)
        self._kept: OrderedDict[Box, Pixels] = OrderedDict()
        self._lock = threading.Lock()
        self.bounds = self._bounds()

    @classmethod
    def of(cls, grid: Grid) -> Placement:
        """Return the placement of a grid.

        Raises
        ------
        NotThereError
            If the grid has no place on Earth.
        """
        if grid.crs is None:
            raise NotThereError(
                f"Grid {grid.name!r} states no coordinate reference system, so it has no place on the map."
            )
        x, y = (grid.dataset[axis].to_numpy().astype(float) for axis in "xy")
        return cls(x, y, grid.crs)

    def _bounds(self) -> tuple[float, float, float, float]:
        """Return west, south, east and north in degrees; east is beyond 180 for a grid across the dateline."""
        west, east, south, north = self._x.low, self._x.high, self._y.low, self._y.high
        if self.geographic:
            if east - west > 359:
                west, east = -180.0, 180.0
            elif west >= 180:
                west, east = west - 360, east - 360
            return west, max(south, -90.0), east, min(north, 90.0)
        assert self._forward is not None
        edges = np.linspace(0, 1, 21)
        along_x, along_y = west + (east - west) * edges, south + (north - south) * edges
        x = np.concatenate([along_x, along_x, np.full(21, west), np.full(21, east)])
        y = np.concatenate([np.full(21, south), np.full(21, north), along_y, along_y])
        longitude, latitude = self._forward.transform(x, y, direction=pyproj.enums.TransformDirection.INVERSE)
        held = np.isfinite(longitude) & np.isfinite(latitude)
        if not held.any():
            raise NotThereError(f"The grid's coordinates have no place in {self.crs.name}.")
        longitude, latitude = longitude[held], latitude[held]
        if np.ptp(longitude) > 180:  # across the dateline
            longitude = np.where(longitude < 0, longitude + 360, longitude)
        return float(longitude.min()), float(latitude.min()), float(longitude.max()), float(latitude.max())

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self._y.centres), len(self._x.centres)

    def full_box(self) -> Box:
        """Return the whole grid with about one pixel or more a cell, at most 2048 each way."""
        west, south, east, north = self.bounds
        left, right, top, bottom = world_x(west), world_x(east), world_y(north), world_y(south)
        rows, columns = self.shape
        if self.geographic:
            width = columns
            middle = np.clip(self._y.centres, -NORTH, NORTH)
            # A row of a grid in degrees is lowest in Mercator where the latitude is closest to the equator.
            lowest = abs(world_y(0.0) - world_y(self._y.step)) if len(middle) > 1 else bottom - top
            closest = float(np.abs(middle).min())
            lowest /= max(np.cos(np.radians(closest)), 0.05)
            height = int(np.ceil((bottom - top) / lowest)) if lowest > 0 else rows
        else:
            width, height = int(columns * 1.4), int(rows * 1.4)  # a rotated grid needs finer pixels to show every cell
        grown = 2 if max(width, height) <= 700 else 1
        width, height = max(1, width * grown), max(1, height * grown)
        return Box(left, top, right, bottom, min(width, _LARGEST), min(height, _LARGEST))

    def pixels(self, box: Box) -> Pixels:
        """Return the row and column that every pixel of a part of the map shows: the cell that holds its centre."""
        with self._lock:
            kept = self._kept.get(box)
            if kept is not None:
                self._kept.move_to_end(box)
                return kept
        found = self._separable(box) if self.geographic else self._warped(box)
        with self._lock:
            self._kept[box] = found
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found

    @property
    def falling_x(self) -> bool:
        """Whether columns go from east to west."""
        return self._x.falling

    @property
    def falling_y(self) -> bool:
        """Whether rows go from north to south."""
        return self._y.falling

    def window(self, bounds: tuple[float, float, float, float]) -> tuple[slice, slice]:
        """Return the rows and columns that may lie in west, south, east and north, in degrees; none where they do not.

        Of a grid that is not in degrees, it is the smallest window around the bounds.
        """
        west, south, east, north = bounds
        edges = np.linspace(0, 1, 65)
        x, y = np.meshgrid(west + (east - west) * edges, np.clip(south + (north - south) * edges, -90, 90))
        if self._forward is not None:
            x, y = self._forward.transform(x, y)
        else:
            x = np.clip(x, self._x.low, np.nextafter(self._x.high, -np.inf)) if self._x.low >= -180 else self._turned(x)
        y = np.asarray(y)
        if self.geographic:
            y = np.clip(y, self._y.low, np.nextafter(self._y.high, -np.inf))
        rows, columns = self._y.at(y.ravel()), self._x.at(np.asarray(x).ravel())
        held = (rows >= 0) & (columns >= 0)
        if not held.any() or self._apart(bounds):
            return slice(0, 0), slice(0, 0)
        rows, columns = rows[held], columns[held]
        return slice(int(rows.min()), int(rows.max()) + 1), slice(int(columns.min()), int(columns.max()) + 1)

    def _apart(self, bounds: tuple[float, float, float, float]) -> bool:
        west, south, east, north = self.bounds
        return bounds[0] >= east or bounds[2] <= west or bounds[1] >= north or bounds[3] <= south

    def cell(self, longitude: float, latitude: float) -> tuple[int, int] | None:
        """Return the row and column of the cell that holds a place; None beyond the grid."""
        x: Any = np.array([longitude])
        y: Any = np.array([latitude])
        if self._forward is not None:
            x, y = self._forward.transform(x, y)
        else:
            x = self._turned(x)
        row, column = int(self._y.at(y)[0]), int(self._x.at(x)[0])
        return (row, column) if row >= 0 and column >= 0 else None

    def centre(self, row: int, column: int) -> tuple[float, float]:
        """Return longitude and latitude of a cell's centre."""
        x, y = float(self._x.centres[column]), float(self._y.centres[row])
        if self._forward is not None:
            x, y = self._forward.transform(x, y, direction=pyproj.enums.TransformDirection.INVERSE)
        return (x + 180) % 360 - 180, y

    def outline(self, row: int, column: int) -> list[list[float]]:
        """Return the corners of a cell as a closed ring of longitudes and latitudes."""
        left, right = self._x.edges(column)
        bottom, top = self._y.edges(row)
        x, y = np.array([left, right, right, left, left]), np.array([bottom, bottom, top, top, bottom])
        if self._forward is not None:
            x, y = self._forward.transform(x, y, direction=pyproj.enums.TransformDirection.INVERSE)
        return [[float(a), float(b)] for a, b in zip(x, y, strict=True)]

    def _turned(self, longitude: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return longitudes on the turn that the grid counts in, such as 0 to 360."""
        return self._x.low + (longitude - self._x.low) % 360

    def _separable(self, box: Box) -> Pixels:
        return Pixels(self._y.at(box.latitudes()), self._x.at(self._turned(box.longitudes())))

    def _warped(self, box: Box) -> Pixels:
        assert self._forward is not None
        across = np.append(np.arange(0, box.width, _MESH), box.width - 1)
        down = np.append(np.arange(0, box.height, _MESH), box.height - 1)
        longitude, latitude = np.meshgrid(box.longitudes()[across], box.latitudes()[down])
        x, y = self._forward.transform(longitude, latitude)
        rows = self._y.at(_spread(np.asarray(y), down, across, box))
        columns = self._x.at(_spread(np.asarray(x), down, across, box))
        return Pixels(rows, columns)


def _spread(mesh: NDArray[np.float64], down: Index, across: Index, box: Box) -> NDArray[np.float64]:
    """Interpolate a coarse mesh linearly to every pixel."""
    wide = np.stack([np.interp(np.arange(box.width), across, line) for line in mesh])
    position = np.arange(box.height)
    upper = np.clip(np.searchsorted(down, position, side="right") - 1, 0, max(len(down) - 2, 0))
    lower = np.minimum(upper + 1, len(down) - 1)
    span = np.maximum(down[lower] - down[upper], 1)
    share = ((position - down[upper]) / span)[:, None]
    return np.asarray(wide[upper] * (1 - share) + wide[lower] * share)


class _Axis:
    """Centres of rows or columns, and the edges between them, half way to the next."""

    def __init__(self, centres: NDArray[np.float64]) -> None:
        self.centres = centres
        self.falling = len(centres) > 1 and centres[0] > centres[-1]
        rising = centres[::-1] if self.falling else centres
        if len(rising) > 1:
            middles = (rising[1:] + rising[:-1]) / 2
            self._edges = np.concatenate([[2 * rising[0] - middles[0]], middles, [2 * rising[-1] - middles[-1]]])
        else:  # a single line: its width is not known; about a kilometre in metres, a hundredth in degrees
            half = 0.005 if abs(rising[0]) <= 360 else 500.0
            self._edges = np.array([rising[0] - half, rising[0] + half])
        steps = np.diff(self._edges)
        self.step = float(np.median(steps))
        self._regular = bool(np.allclose(steps, self.step, rtol=1e-3, atol=0))
        self.low, self.high = float(self._edges[0]), float(self._edges[-1])

    def at(self, values: NDArray[np.float64]) -> Index:
        """Return the line that each value lies in, -1 beyond the first and last edge and for no number."""
        with np.errstate(invalid="ignore"):
            inside = (values >= self.low) & (values < self.high)
        if self._regular:
            scaled = (values - self.low) * ((len(self._edges) - 1) / (self.high - self.low))
            position = np.where(inside, scaled, 0).astype(np.intp)
            np.minimum(position, len(self._edges) - 2, out=position)
        else:
            position = np.searchsorted(self._edges, np.where(inside, values, self.low), side="right") - 1
        if self.falling:
            position = len(self.centres) - 1 - position
        position[~inside] = -1
        return position

    def edges(self, line: int) -> tuple[float, float]:
        """Return the lower and the upper edge of a line."""
        place = len(self.centres) - 1 - line if self.falling else line
        return float(self._edges[place]), float(self._edges[place + 1])
