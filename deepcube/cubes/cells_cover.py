"""Between cells and areas: outlines of cells, sets of cells of mixed levels, neighbours, and the cells of a table.

Feature groups of different resolution join on ``parent(cell_id, level)`` (see :mod:`deepcube.cubes.cells`). This module
adds what areas need: a district as few cells of mixed levels, the outline of a cell for a map, what lies next to it.
"""

from typing import Any

import healpix_geo.nested as healpix
import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepcube.cubes.cells import (
    ELLIPSOID,
    Cells,
    cell_level,
    children,
    descendant_range,
    parent,
    polygon_cells,
)
from deepcube.cubes.errors import CellError


def cell_polygons(cells: ArrayLike, *, points: int = 1) -> NDArray[np.float64]:
    """Return the outlines of cells.

    Parameters
    ----------
    cells : array-like of int64, shape (n,)
        Cell identifiers, of any levels.
    points : int
        Corners and further points along every side; the sides are curves, so more points follow them better.

    Returns
    -------
    numpy.ndarray of float64, shape (n, 4 * points, 2)
        Longitude and latitude in degrees, counter-clockwise from the southern corner. Longitudes of a cell differ by
        less than 180 degrees; a cell across the dateline has some beyond 180.

    Raises
    ------
    CellError
        If there are fewer than one point a side.
    """
    if points < 1:
        raise CellError(f"Found {points} points a side; expected at least 1.")
    ids = np.asarray(cells, dtype=np.int64).reshape(-1)
    levels = cell_level(ids)
    outline = np.empty((len(ids), 4 * points, 2))
    for level in np.unique(levels):
        here = levels == level
        numbers = _number(ids[here], int(level)).astype(np.uint64)
        longitude, latitude = healpix.vertices(numbers, int(level), ellipsoid=ELLIPSOID, step=points)
        outline[here] = np.stack([longitude, latitude], axis=-1)
    first = outline[:, :1, 0]
    outline[..., 0] = first + (outline[..., 0] - first + 180) % 360 - 180
    outline[..., 0] -= 360 * np.round(outline[..., 0].mean(axis=1, keepdims=True) / 360)
    return outline


def cell_features(cells: ArrayLike, *, points: int = 1) -> dict[str, Any]:
    """Return cells as a GeoJSON feature collection (RFC 7946) with the property ``cell_id`` as text.

    The identifier is text because readers of JSON in JavaScript round numbers beyond 2**53.
    """
    ids = np.asarray(cells, dtype=np.int64).reshape(-1)
    features = []
    for cell, outline in zip(ids.tolist(), cell_polygons(ids, points=points).tolist(), strict=True):
        geometry = {"type": "Polygon", "coordinates": [[*outline, outline[0]]]}
        features.append({"type": "Feature", "properties": {"cell_id": str(cell)}, "geometry": geometry})
    return {"type": "FeatureCollection", "features": features}


def compact(cells: ArrayLike) -> Cells:
    """Return the fewest cells that cover the same area: four cells with one parent become it, inner cells vanish.

    Parameters
    ----------
    cells : array-like of int64
        Cell identifiers, of any levels.

    Returns
    -------
    numpy.ndarray of int64
        Ascending identifiers of cells that do not overlap; equal areas give equal results.
    """
    ids = _outermost(np.unique(np.asarray(cells, dtype=np.int64).reshape(-1)))
    for level in range(29, 0, -1):
        levels = cell_level(ids)
        here = ids[levels == level]
        if len(here) < 4:
            continue
        parents, count = np.unique(parent(here, level - 1), return_counts=True)
        whole = parents[count == 4]
        if len(whole):
            merged = np.isin(parent(here, level - 1), whole)
            ids = np.concatenate([ids[levels != level], here[~merged], whole])
    return np.sort(ids)


def expand(cells: ArrayLike, level: int) -> Cells:
    """Return the cells of one level that cover the same area as cells of that level or coarser ones.

    Returns
    -------
    numpy.ndarray of int64
        Ascending identifiers, each once.

    Raises
    ------
    CellError
        If a cell is finer than the level.
    """
    ids = np.unique(np.asarray(cells, dtype=np.int64).reshape(-1))
    levels = cell_level(ids)
    parts = [children(ids[levels == each], level).reshape(-1) for each in np.unique(levels)]
    return np.unique(np.concatenate(parts)) if parts else ids


def cover(polygon: Any, level: int) -> tuple[Cells, Cells]:
    """Return few cells of mixed levels that cover a polygon.

    Parameters
    ----------
    polygon : array-like or GeoJSON-like mapping
        As in :func:`deepcube.cubes.cells.polygon_cells`; a shapely geometry by its ``__geo_interface__``.
    level : int
        Finest level: how closely the edge is followed.

    Returns
    -------
    inside : numpy.ndarray of int64
        Cells of mixed levels wholly inside.
    edge : numpy.ndarray of int64
        Cells of the finest level that the edge crosses.

    Notes
    -----
    ``low <= cell_id <= high`` with :func:`deepcube.cubes.cells.descendant_range` of these cells selects the rows of a
    feature group that lie in the polygon, for whichever level the group has.
    """
    shape = getattr(polygon, "__geo_interface__", polygon)
    cells, whole = polygon_cells(shape, level)
    return compact(cells[whole]), cells[~whole]


def contains(areas: ArrayLike, cells: ArrayLike) -> NDArray[np.bool_]:
    """Return which cells lie in the area that other cells cover.

    Parameters
    ----------
    areas : array-like of int64
        Cells of any levels that make up the area.
    cells : array-like of int64, shape (n,)
        Cells to look up.

    Returns
    -------
    numpy.ndarray of bool, shape (n,)
        True for cells of the area and for what lies inside one of them.
    """
    outer = _outermost(np.unique(np.asarray(areas, dtype=np.int64).reshape(-1)))
    ids = np.asarray(cells, dtype=np.int64)
    if not len(outer):
        return np.zeros(ids.shape, dtype=bool)
    low, high = descendant_range(outer)
    place = np.searchsorted(low, ids, side="right") - 1
    return (place >= 0) & (ids <= high[np.maximum(place, 0)])


def neighbours(cells: ArrayLike, rings: int = 1) -> Cells:
    """Return the cells around each cell, on its level.

    Parameters
    ----------
    cells : array-like of int64, shape (n,)
        Cells of one level.
    rings : int
        Rings of neighbours.

    Returns
    -------
    numpy.ndarray of int64, shape (n, (2 * rings + 1) ** 2)
        The cell and its neighbours; -1 where a corner of the sphere has one fewer.

    Raises
    ------
    CellError
        If the cells differ in level, or the rings reach around the sphere.
    """
    ids = np.asarray(cells, dtype=np.int64).reshape(-1)
    levels = np.unique(cell_level(ids))
    if len(levels) != 1:
        raise CellError(
            f"Found cells of levels {levels.tolist()}; expected one level. Group them by cell_level() first."
        )
    level = int(levels[0])
    if not 0 <= rings <= 2**level // 2:
        raise CellError(f"Found {rings} rings on level {level}; expected 0 to {2**level // 2}, half a base cell.")
    found = healpix.kth_neighbourhood(_number(ids, level).astype(np.uint64), level, rings).astype(np.int64)
    return np.where(found >= 0, _identifier(np.maximum(found, 0), level), -1)


def _outermost(ids: Cells) -> Cells:
    """Return ascending cells without those that lie in another one."""
    if not len(ids):
        return ids
    low, high = descendant_range(ids)
    order = np.lexsort((-high, low))
    reach = np.maximum.accumulate(high[order])
    inner = np.concatenate([[False], high[order][1:] <= reach[:-1]])
    return np.sort(ids[order][~inner])


def _number(ids: Cells, level: int) -> NDArray[np.int64]:
    return ids >> (2 * (29 - level) + 1)


def _identifier(number: NDArray[np.int64], level: int) -> Cells:
    return ((number << 1) | 1) << (2 * (29 - level))
