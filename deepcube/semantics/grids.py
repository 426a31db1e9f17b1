"""Where the cells of a grid lie on Earth, without ever listing all of them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from deepcube.semantics.errors import MappingError
from deepcube.semantics.terms import IriKind, WktKind

_MARGIN = 1e-9  # degrees; candidates are tested exactly afterwards


@lru_cache(maxsize=64)
def _transformers(system: str) -> tuple[Any, Any]:
    """Return transformers to and from longitude and latitude; the grids of a cube share them, for they cost time."""
    import pyproj

    return (
        pyproj.Transformer.from_crs(system, "OGC:CRS84", always_xy=True),
        pyproj.Transformer.from_crs("OGC:CRS84", system, always_xy=True),
    )


class GridAxes:
    """Rows, columns and times of one grid, and the kinds of terms that stand for its things.

    Cells are numbered ``row * columns + column``. Their geometry is the point at their centre, in WGS84 longitude and
    latitude (OGC CRS84).

    Parameters
    ----------
    name : str
        Name of the grid.
    base : str
        What the IRIs of its things begin with.
    y, x : numpy.ndarray of float64, shape (rows,) and (columns,)
        Coordinates of the centres in the coordinate reference system.
    times : numpy.ndarray of datetime64, shape (times,)
        Sorted times in UTC; of length 0 for a static grid.
    crs : pyproj.CRS
        Coordinate reference system.
    """

    def __init__(
        self,
        name: str,
        base: str,
        y: NDArray[np.float64],
        x: NDArray[np.float64],
        times: NDArray[np.datetime64],
        crs: object,
    ) -> None:
        import pyproj

        if crs is None:
            raise MappingError(
                f"Grid {name!r} states no coordinate reference system, so its cells have no geometry. Write one into "
                "the cube as a CF grid mapping."
            )
        self.name, self.base = name, base
        self.y, self.x = np.asarray(y, dtype=np.float64), np.asarray(x, dtype=np.float64)
        self.times = np.asarray(times, dtype="datetime64[us]").astype(np.int64)
        self.shape = (len(self.y), len(self.x))
        self.cells = self.shape[0] * self.shape[1]
        system = pyproj.CRS.from_user_input(crs)
        self.geographic = system.is_geographic
        pair: tuple[Any, Any] = (None, None) if self.geographic else _transformers(system.to_wkt())
        self._to_lonlat, self._from_lonlat = pair
        self._longitude = np.where(self.x > 180, self.x - 360, self.x) + 0.0
        self.cell_kind = IriKind(f"{base}{name}/cell/", self.shape)
        self.geometry_kind = IriKind(f"{base}{name}/cell/", self.shape, "/centre")
        self.wkt_kind = WktKind(self)
        self.instant_kind = IriKind(f"{base}{name}/instant/", (max(1, len(self.times)),))
        self.point_kind = IriKind(f"{base}{name}/point/", (max(1, len(self.times)), *self.shape))

    def observation_kind(self, variable: str, static: bool) -> IriKind:
        """Return the kind of the observations of a variable."""
        shape = self.shape if static else (len(self.times), *self.shape)
        return IriKind(f"{self.base}{self.name}/observation/{quote(variable, safe='')}/", shape)

    def centres(self, cells: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return longitude and latitude of the centres of cells, in degrees.

        Parameters
        ----------
        cells : numpy.ndarray of int64, shape (n,)
            Numbers of the cells.

        Returns
        -------
        longitude, latitude : numpy.ndarray of float64, shape (n,)
        """
        row, column = np.divmod(cells, self.shape[1])
        if self._to_lonlat is None:
            return self._longitude[column], self.y[row] + 0.0
        longitude, latitude = self._to_lonlat.transform(self.x[column], self.y[row])
        return np.asarray(longitude), np.asarray(latitude)

    def cells_within(self, west: float, south: float, east: float, north: float) -> NDArray[np.int64]:
        """Return the cells whose centres may lie in a box of longitude and latitude: all that do, and few others.

        Parameters
        ----------
        west, south, east, north : float
            Degrees.

        Returns
        -------
        numpy.ndarray of int64
            Sorted cells; for a geographic grid exactly those in the box.
        """
        if self.geographic:
            rows = np.flatnonzero((self.y >= south) & (self.y <= north))
            columns = np.flatnonzero((self._longitude >= west) & (self._longitude <= east))
            return (rows[:, None] * self.shape[1] + columns[None, :]).ravel()
        assert self._from_lonlat is not None
        if not np.isfinite([west, south, east, north]).all() or east - west > 90 or north - south > 90:
            return self._exactly_within(np.arange(self.cells), west, south, east, north)
        left, bottom, right, top = self._from_lonlat.transform_bounds(
            west - _MARGIN, south - _MARGIN, east + _MARGIN, north + _MARGIN, densify_pts=101
        )
        if not np.isfinite([left, bottom, right, top]).all():
            return self._exactly_within(np.arange(self.cells), west, south, east, north)
        slack_x, slack_y = _spacing(self.x), _spacing(self.y)
        rows = np.flatnonzero((self.y >= bottom - slack_y) & (self.y <= top + slack_y))
        columns = np.flatnonzero((self.x >= left - slack_x) & (self.x <= right + slack_x))
        return self._exactly_within(
            (rows[:, None] * self.shape[1] + columns[None, :]).ravel(), west, south, east, north
        )

    def _exactly_within(
        self, cells: NDArray[np.int64], west: float, south: float, east: float, north: float
    ) -> NDArray[np.int64]:
        longitude, latitude = self.centres(cells)
        inside = (longitude >= west) & (longitude <= east) & (latitude >= south) & (latitude <= north)
        return cells[inside]

    def bounds(self) -> tuple[float, float, float, float]:
        """Return west, south, east and north of the centres of the outermost cells, in degrees."""
        rows, columns = self.shape
        edge = np.unique(
            np.concatenate(
                [
                    np.arange(columns),
                    (rows - 1) * columns + np.arange(columns),
                    np.arange(rows) * columns,
                    np.arange(rows) * columns + columns - 1,
                ]
            )
        )
        longitude, latitude = self.centres(edge)
        return float(longitude.min()), float(latitude.min()), float(longitude.max()), float(latitude.max())


def _spacing(axis: NDArray[np.float64]) -> float:
    return float(np.abs(np.diff(axis)).max()) if len(axis) > 1 else 1.0
