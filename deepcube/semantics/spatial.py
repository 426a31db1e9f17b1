"""Which cells of a grid stand in a relation to a geometry, or lie within a distance of it."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pyoxigraph as ox
import shapely
from numpy.typing import NDArray

from deepcube.semantics import vocabulary as v
from deepcube.semantics.errors import GeometryError, UnboundedQueryError
from deepcube.semantics.geometry import FAR_RELATIONS, RELATIONS, SWAPPED, distance, distances, parse_geometry
from deepcube.semantics.grids import GridAxes

Cells = NDArray[np.int64]
_PART = 100_000  # footprints that are made at once


class SpatialIndex:
    """Remembers the cells of geometries between queries.

    Parameters
    ----------
    size : int
        Cells that are remembered in all.
    """

    def __init__(self, size: int = 20_000_000) -> None:
        self._size, self._held = size, 0
        self._masks: OrderedDict[tuple[Any, ...], Cells] = OrderedDict()

    def related(
        self,
        grid: GridAxes,
        relation: str,
        cell_first: bool,
        literal: ox.Literal,
        most: int | None,
        area: bool = False,
    ) -> Cells:
        """Return the sorted cells whose centre, or footprint, stands in a topological relation to a geometry.

        Parameters
        ----------
        grid : GridAxes
            Grid of the cells.
        relation : str
            Local name of a ``geof:`` function, such as ``"sfWithin"``.
        cell_first : bool
            Whether the cell is the function's first argument.
        literal : pyoxigraph.Literal
            The geometry; an invalid one has no cells.
        most : int or None
            Cells that may be tested.
        area : bool
            Whether the footprint is meant rather than the centre.

        Raises
        ------
        UnboundedQueryError
            If more cells would have to be tested.
        """
        compute = _related_footprints if area else _related
        return self._remembered(
            (grid, relation, cell_first, literal, area), lambda: compute(grid, relation, cell_first, literal, most)
        )

    def near(
        self,
        grid: GridAxes,
        literal: ox.Literal,
        metres: float,
        or_equal: bool,
        most: int | None,
        area: bool = False,
    ) -> Cells:
        """Return the sorted cells whose centre, or footprint, lies within a distance of a geometry.

        Parameters
        ----------
        grid : GridAxes
            Grid of the cells.
        literal : pyoxigraph.Literal
            The geometry; an invalid or empty one has no cells.
        metres : float
            The distance.
        or_equal : bool
            Whether cells at exactly the distance count.
        most : int or None
            Cells that may be tested.
        area : bool
            Whether the footprint is meant rather than the centre.

        Raises
        ------
        UnboundedQueryError
            If more cells would have to be tested.
        """
        compute = _near_footprints if area else _near
        return self._remembered(
            (grid, "distance", metres, or_equal, literal, area), lambda: compute(grid, literal, metres, or_equal, most)
        )

    def _remembered(self, key: tuple[Any, ...], compute: Callable[[], Cells]) -> Cells:
        held = self._masks.pop(key, None)
        if held is None:
            held = compute()
            self._held += len(held)
        self._masks[key] = held
        while self._held > self._size and len(self._masks) > 1:
            self._held -= len(self._masks.popitem(last=False)[1])
        return held


def _check(count: int, most: int | None, what: str) -> None:
    if most is not None and count > most:
        raise UnboundedQueryError(f"{count:,} cells would have to be tested for {what}, more than {most:,}.", count)


def _related(grid: GridAxes, relation: str, cell_first: bool, literal: ox.Literal, most: int | None) -> Cells:
    try:
        geometry = parse_geometry(literal)
    except GeometryError:
        return np.array([], np.int64)
    if relation in FAR_RELATIONS or geometry.is_empty:
        _check(grid.cells, most, f"geof:{relation}")
        cells = np.arange(grid.cells)
    else:
        cells = grid.cells_within(*geometry.bounds)
        _check(len(cells), most, f"geof:{relation}")
    longitude, latitude = grid.centres(cells)
    shapely.prepare(geometry)
    if (relation, cell_first) in (("sfWithin", True), ("sfContains", False)):
        holds = shapely.contains_xy(geometry, longitude, latitude)
    elif relation == "sfIntersects":
        holds = shapely.intersects_xy(geometry, longitude, latitude)
    else:
        points = shapely.points(longitude, latitude)
        holds = RELATIONS[relation](points, geometry) if cell_first else RELATIONS[relation](geometry, points)
    return np.asarray(cells[np.asarray(holds, dtype=bool)])


def _near(grid: GridAxes, literal: ox.Literal, metres: float, or_equal: bool, most: int | None) -> Cells:
    try:
        geometry = parse_geometry(literal)
    except GeometryError:
        return np.array([], np.int64)
    if geometry.is_empty:
        return np.array([], np.int64)
    cells = grid.cells_within(*_widened(geometry.bounds, metres))
    _check(len(cells), most, "their distance")
    longitude, latitude = grid.centres(cells)
    found = distances(geometry, longitude, latitude)
    return np.asarray(cells[found <= metres if or_equal else found < metres])


def footprints(grid: GridAxes, cells: Cells) -> NDArray[np.object_]:
    """Return the footprints of cells as polygons."""
    rings = grid.corners(cells)
    return np.asarray(shapely.polygons(np.concatenate([rings, rings[:, :1]], axis=1)))


def _related_footprints(
    grid: GridAxes, relation: str, cell_first: bool, literal: ox.Literal, most: int | None
) -> Cells:
    try:
        geometry = parse_geometry(literal)
    except GeometryError:
        return np.array([], np.int64)
    if relation in FAR_RELATIONS or geometry.is_empty:
        _check(grid.cells, most, f"geof:{relation}")
        cells = np.arange(grid.cells)
    else:
        cells = grid.cells_touching(*geometry.bounds)
        _check(len(cells), most, f"geof:{relation}")
    shapely.prepare(geometry)
    if cell_first and relation in SWAPPED:  # so that the prepared geometry comes first
        relation, cell_first = SWAPPED[relation], False
    found = []
    for begin in range(0, len(cells), _PART):
        part = cells[begin : begin + _PART]
        polygons = footprints(grid, part)
        holds = RELATIONS[relation](polygons, geometry) if cell_first else RELATIONS[relation](geometry, polygons)
        found.append(part[np.asarray(holds, dtype=bool)])
    return np.concatenate(found) if found else cells


def _near_footprints(grid: GridAxes, literal: ox.Literal, metres: float, or_equal: bool, most: int | None) -> Cells:
    try:
        geometry = parse_geometry(literal)
    except GeometryError:
        return np.array([], np.int64)
    if geometry.is_empty:
        return np.array([], np.int64)
    cells = grid.cells_touching(*_widened(geometry.bounds, metres))
    _check(len(cells), most, "their distance")
    parts = (footprints(grid, cells[begin : begin + _PART]) for begin in range(0, len(cells), _PART))
    found = np.array([distance(polygon, geometry) for polygons in parts for polygon in polygons], dtype=np.float64)
    return np.asarray(cells[found <= metres if or_equal else found < metres])


def _widened(bounds: tuple[float, ...], metres: float) -> tuple[float, float, float, float]:
    """Return a box of longitude and latitude that holds everything within a distance of another.

    The nearest point of a line or polygon is found in a scaled plane (see ``geometry.distances``), whose distances
    exceed great-circle ones by less than 1 % below 300 km; the box allows for it.
    """
    west, south, east, north = bounds
    angle = math.degrees(max(metres, 0.0) / v.EARTH_RADIUS) * 1.01 + 1e-9
    south, north = max(-90.0, south - angle), min(90.0, north + angle)
    furthest = max(abs(south), abs(north))
    if furthest >= 89.9:
        return -180.0, south, 180.0, north
    wide = angle / math.cos(math.radians(furthest)) * 1.01
    if west - wide < -180 or east + wide > 180:
        return -180.0, south, 180.0, north
    return west - wide, south, east + wide, north
