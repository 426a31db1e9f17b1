"""Where the cells of a grid lie on Earth, without ever listing all of them."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from deepcube.semantics.errors import MappingError, UnsupportedQueryError
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

    Cells are numbered ``row * columns + column``. Their geometry is the point at their centre, their footprint the
    quadrilateral between edges midway to the next centres, both in WGS84 longitude and latitude (OGC CRS84).

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
        self.footprint_kind = IriKind(f"{base}{name}/cell/", self.shape, "/footprint")
        self.wkt_kind, self.area_kind = WktKind(self), WktKind(self, area=True)
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

    @cached_property
    def _edges(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper edge of every row, shape (rows, 2), and of every column, shape (columns, 2)."""
        return _axis_edges(self.y, self.name), _axis_edges(self.x, self.name)

    def corners(self, cells: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the corners of the footprints of cells, counter-clockwise in the coordinate reference system.

        Parameters
        ----------
        cells : numpy.ndarray of int64, shape (n,)
            Numbers of the cells.

        Returns
        -------
        numpy.ndarray of float64, shape (n, 4, 2)
            Longitude and latitude in degrees: the corner of the least coordinates first. A footprint on the 180th
            meridian goes beyond it rather than around the Earth; none goes beyond a pole.

        Raises
        ------
        UnsupportedQueryError
            If the grid has one row or one column only, whose width nothing tells.
        """
        rows, columns = self._edges
        row, column = np.divmod(cells, self.shape[1])
        x = columns[column][:, [0, 1, 1, 0]]
        y = rows[row][:, [0, 0, 1, 1]]
        if self._to_lonlat is None:
            turned = (self._longitude - self.x)[column]
            x, y = np.where(turned[:, None] == 0, x, x - 360) + 0.0, np.clip(y, -90.0, 90.0) + 0.0
        else:
            x, y = self._to_lonlat.transform(x, y)
        return np.stack([x, y], axis=-1)

    def cells_touching(self, west: float, south: float, east: float, north: float) -> NDArray[np.int64]:
        """Return the cells whose footprints may meet a box of longitude and latitude: all that do, and few others.

        Parameters
        ----------
        west, south, east, north : float
            Degrees.
        """
        if not self.geographic:
            return self._candidates(west, south, east, north, 2.0)
        rows, columns = self._edges
        columns = columns - np.where(self.x > 180, 360.0, 0.0)[:, None]
        low = np.flatnonzero((rows[:, 1] >= south - _MARGIN) & (rows[:, 0] <= north + _MARGIN))
        across = np.flatnonzero((columns[:, 1] >= west - _MARGIN) & (columns[:, 0] <= east + _MARGIN))
        return (low[:, None] * self.shape[1] + across[None, :]).ravel()

    def cells_within(self, west: float, south: float, east: float, north: float) -> NDArray[np.int64]:
        """Return the cells whose centres lie in a box of longitude and latitude.

        Parameters
        ----------
        west, south, east, north : float
            Degrees.

        Returns
        -------
        numpy.ndarray of int64
            Sorted cells.
        """
        if self.geographic:
            rows = np.flatnonzero((self.y >= south) & (self.y <= north))
            columns = np.flatnonzero((self._longitude >= west) & (self._longitude <= east))
            return (rows[:, None] * self.shape[1] + columns[None, :]).ravel()
        return self._exactly_within(self._candidates(west, south, east, north, 1.0), west, south, east, north)

    def _candidates(self, west: float, south: float, east: float, north: float, slack: float) -> NDArray[np.int64]:
        """Return cells of a projected grid that may lie in a box of degrees, or ``slack`` cells beside it."""
        assert self._from_lonlat is not None
        if not np.isfinite([west, south, east, north]).all() or east - west > 90 or north - south > 90:
            return np.arange(self.cells)
        left, bottom, right, top = self._from_lonlat.transform_bounds(
            west - _MARGIN, south - _MARGIN, east + _MARGIN, north + _MARGIN, densify_pts=101
        )
        if not np.isfinite([left, bottom, right, top]).all():
            return np.arange(self.cells)
        slack_x, slack_y = slack * _spacing(self.x), slack * _spacing(self.y)
        rows = np.flatnonzero((self.y >= bottom - slack_y) & (self.y <= top + slack_y))
        columns = np.flatnonzero((self.x >= left - slack_x) & (self.x <= right + slack_x))
        return (rows[:, None] * self.shape[1] + columns[None, :]).ravel()

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


def _axis_edges(axis: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Return lower and upper edge of every cell of an axis: midway between centres, and as far on the outer sides."""
    if len(axis) < 2:
        raise UnsupportedQueryError(
            f"Grid {name!r} has one row or one column only, so nothing tells how wide its cells are: they have no "
            "dcube:hasFootprint. Ask for their centres (geo:hasGeometry)."
        )
    middle = (axis[:-1] + axis[1:]) / 2
    edges = np.concatenate([[axis[0] - (middle[0] - axis[0])], middle, [axis[-1] + (axis[-1] - middle[-1])]])
    pairs = np.stack([edges[:-1], edges[1:]], axis=-1)
    return np.asarray(np.sort(pairs, axis=-1))


def _spacing(axis: NDArray[np.float64]) -> float:
    return float(np.abs(np.diff(axis)).max()) if len(axis) > 1 else 1.0
