"""A hierarchical, equal-area cell identifier for points, pixels and polygons.

Cells are those of HEALPix in the *nested* numbering (Górski et al., The Astrophysical Journal 622, 2005): twelve base
cells of equal area, each split into four equal parts per level, down to level 29 (about 12 mm). They are laid out on
the WGS84 ellipsoid, with the authalic latitude in place of the geodetic one, so that the cells of a level have equal
area on the ellipsoid and not just on a sphere. Longitudes and latitudes are geodetic WGS84 degrees throughout.

An identifier is one positive ``int64`` that carries its own level, so cells of different levels never collide and a
feature group may mix them. It is the *zuniq* form of the HEALPix working group: with ``n`` the nested number at level
``l`` and ``s = 2 * (29 - l)``::

    id = (2 * n + 1) << s

The lowest set bit marks the level; the bits above it spell the path from the base cell. Sorting by id therefore sorts
along the space-filling curve whatever the levels, and a cell contains another exactly if the other's id lies within
:func:`descendant_range`. Feature groups of different resolution join on ``parent(cell_id, level)``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import healpix_geo.nested as healpix
import numpy as np
import pyproj
from numpy.typing import ArrayLike, NDArray

from deepcube.cubes.errors import CellError

MAX_LEVEL = 29
"""Finest level."""

ELLIPSOID = "WGS84"
"""Reference ellipsoid of the cells."""

EARTH_AREA = 510_065_621_724_089.0
"""Surface of the WGS84 ellipsoid in square metres (NGA.STND.0036)."""

Cells = NDArray[np.int64]
"""Cell identifiers."""


def cell_area(level: int) -> float:
    """Return the area of every cell of a level, in square metres."""
    return EARTH_AREA / (12 * 4 ** _check_level(level))


def cell_at(longitude: ArrayLike, latitude: ArrayLike, level: int) -> Cells:
    """Return the cells that contain points.

    Parameters
    ----------
    longitude, latitude : array-like of float, same shape
        Geodetic WGS84 degrees; longitudes of any turn (-180..180, 0..360), latitudes -90 to 90.
    level : int
        Level of the cells, 0 to 29.

    Returns
    -------
    numpy.ndarray of int64, the shape of the input
        Cell identifiers.

    Raises
    ------
    CellError
        If a coordinate is not finite, a latitude is beyond a pole, or the level does not exist.
    """
    lon, lat = np.broadcast_arrays(np.asarray(longitude, dtype=float), np.asarray(latitude, dtype=float))
    bad = ~np.isfinite(lon) | ~(np.abs(lat) <= 90)
    if bad.any():
        raise CellError(
            f"Found {int(bad.sum())} points without a place on Earth, first longitude {lon[bad][0]}, latitude "
            f"{lat[bad][0]}; expected finite degrees with latitudes from -90 to 90. Transform them to WGS84 first."
        )
    number = healpix.lonlat_to_healpix(lon.ravel(), lat.ravel(), _check_level(level), ellipsoid=ELLIPSOID)
    return _encode(number.astype(np.int64), level).reshape(lon.shape)


def cell_centre(cells: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the centres of cells.

    Parameters
    ----------
    cells : array-like of int64
        Cell identifiers, of any levels.

    Returns
    -------
    longitude, latitude : numpy.ndarray of float64, the shape of the input
        Geodetic WGS84 degrees, longitudes from -180 to below 180.
    """
    ids = _check_cells(cells)
    levels = cell_level(ids)
    lon, lat = np.empty(ids.shape), np.empty(ids.shape)
    for level in np.unique(levels):
        here = levels == level
        number = _decode(ids[here]).astype(np.uint64)
        lon[here], lat[here] = healpix.healpix_to_lonlat(number, int(level), ellipsoid=ELLIPSOID)
    return (lon + 180) % 360 - 180, lat


def cell_level(cells: ArrayLike) -> NDArray[np.int64]:
    """Return the level of each cell, 0 to 29."""
    return MAX_LEVEL - _shift(_check_cells(cells)) // 2


def parent(cells: ArrayLike, level: int) -> Cells:
    """Return the cells of a coarser level that contain the given cells.

    Parameters
    ----------
    cells : array-like of int64
        Cell identifiers, of any levels.
    level : int
        Level of the result; a cell already at that level is its own parent.

    Returns
    -------
    numpy.ndarray of int64, the shape of the input
        Cell identifiers of that level.

    Raises
    ------
    CellError
        If a cell is coarser than the level.
    """
    ids = _check_cells(cells)
    if (cell_level(ids) < _check_level(level)).any():
        raise CellError(
            f"Found a cell of level {int(cell_level(ids).min())} and was asked for its parent at level {level}; "
            "a parent is coarser than its cells. Use children() to refine."
        )
    shift = 2 * (MAX_LEVEL - level)
    return (((ids >> (shift + 1)) << 1) | 1) << shift


def children(cells: ArrayLike, level: int) -> Cells:
    """Return the cells of a finer level inside each cell.

    Parameters
    ----------
    cells : array-like of int64, shape (n,)
        Cell identifiers, all of one level.
    level : int
        Level of the result.

    Returns
    -------
    numpy.ndarray of int64, shape (n, 4 ** (level - level of the cells))
        Cell identifiers of that level, in ascending order within each row.

    Raises
    ------
    CellError
        If the cells differ in level or are finer than the level.
    """
    ids = _check_cells(cells).reshape(-1)
    levels = np.unique(cell_level(ids))
    if len(levels) > 1 or (len(levels) == 1 and levels[0] > _check_level(level)):
        raise CellError(
            f"Found cells of levels {levels.tolist()} and was asked for children at level {level}; expected cells of "
            "one coarser level. Group them by cell_level() first."
        )
    depth = level - int(levels[0]) if len(levels) else 0
    return _encode((_decode(ids)[:, None] << (2 * depth)) + np.arange(4**depth), level)


def descendant_range(cells: ArrayLike) -> tuple[Cells, Cells]:
    """Return the smallest and the largest identifier of anything inside each cell, itself included.

    A cell ``a`` contains a cell ``b`` exactly if ``low(a) <= b <= high(a)``: a range condition that any SQL engine can
    join on without knowing HEALPix.
    """
    ids = _check_cells(cells)
    span = (np.int64(1) << _shift(ids)) - 1
    return ids - span, ids + span


def polygon_cells(polygon: Any, level: int) -> tuple[Cells, NDArray[np.bool_]]:
    """Return the cells that a polygon touches.

    Parameters
    ----------
    polygon : array-like of float, shape (n, 2), or GeoJSON-like mapping
        Longitudes and latitudes of one ring in WGS84 degrees, or a ``Polygon`` or ``MultiPolygon`` geometry, holes
        included. Edges are great circles; the orientation of a ring does not matter; a ring spans less than a
        hemisphere.
    level : int
        Level of the cells.

    Returns
    -------
    cells : numpy.ndarray of int64, shape (k,)
        Ascending identifiers of all cells that share at least a point with the polygon.
    inside : numpy.ndarray of bool, shape (k,)
        True where the whole cell lies inside.

    Raises
    ------
    CellError
        If the geometry is no polygon or a ring has fewer than three corners.
    """
    covered: dict[int, bool] = {}
    for exterior, *holes in _polygons(polygon):
        part = _ring_cells(exterior, level)
        for hole in holes:
            for cell, whole in _ring_cells(hole, level).items():
                if whole:
                    part.pop(cell, None)
                elif cell in part:
                    part[cell] = False
        for cell, whole in part.items():
            covered[cell] = covered.get(cell, False) or whole
    cells = np.array(sorted(covered), dtype=np.int64)
    return cells, np.array([covered[cell] for cell in cells.tolist()], dtype=bool)


def level_for_spacing(metres: float) -> int:
    """Return the coarsest level whose cells are no larger than a square pixel.

    Parameters
    ----------
    metres : float
        Pixel spacing in metres.

    Returns
    -------
    int
        The level.

    Raises
    ------
    CellError
        If the spacing is not positive, or finer than the finest cells.
    """
    if not metres > 0:
        raise CellError(f"Found a pixel spacing of {metres} m; expected a positive length.")
    for level in range(MAX_LEVEL + 1):
        if cell_area(level) <= metres**2:
            return level
    raise CellError(f"Found a pixel spacing of {metres} m; the finest cells have a side of about 12 mm.")


def pixel_cells(longitude: ArrayLike, latitude: ArrayLike, level: int | None = None) -> tuple[Cells, int]:
    """Return one cell per pixel such that no two pixels share a cell.

    Parameters
    ----------
    longitude, latitude : array-like of float, shape (y, x)
        Pixel centres in WGS84 degrees.
    level : int, optional
        Level to use. Without it, the coarsest one whose cells have at most half the side of the closest pixels'
        spacing: no HEALPix cell is wider than twice its side, so pixels that far apart cannot meet in one. The level
        thus depends on the pixel size only and tiles of one product share it.

    Returns
    -------
    cells : numpy.ndarray of int64, shape (y, x)
        Cell identifiers, all distinct.
    level : int
        Their level.

    Raises
    ------
    CellError
        If two pixels share a cell, because the given level is too coarse or their centres coincide.
    """
    lon, lat = np.atleast_2d(np.asarray(longitude, dtype=float), np.asarray(latitude, dtype=float))
    chosen = grid_level(lon, lat) if level is None else level
    cells = cell_at(lon, lat, chosen)
    distinct = len(np.unique(cells))
    if distinct < cells.size:
        raise CellError(
            f"{cells.size} pixels fall into {distinct} cells of level {chosen}; expected a cell for every pixel. "
            + ("Check the x and y axes of the grid." if level is None else "Use a finer level, or leave it out.")
        )
    return cells, chosen


def grid_level(longitude: ArrayLike, latitude: ArrayLike) -> int:
    """Return the level that :func:`pixel_cells` takes by default, without computing the cells.

    Parameters
    ----------
    longitude, latitude : array-like of float, shape (y, x)
        Pixel centres in WGS84 degrees, or some neighbouring rows of them: those where the pixels are closest decide.

    Returns
    -------
    int
        The coarsest level whose cells have at most half the side of the closest pixels' spacing.

    Raises
    ------
    CellError
        If neighbours coincide.
    """
    lon, lat = np.atleast_2d(np.asarray(longitude, dtype=float), np.asarray(latitude, dtype=float))
    return level_for_spacing(_closest(lon, lat) / 2)


def _closest(longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> float:
    """Return the smallest distance in metres between pixels that are neighbours in a row or column."""
    geod = pyproj.Geod(ellps=ELLIPSOID)
    distances = [
        geod.inv(longitude[here], latitude[here], longitude[there], latitude[there])[2]
        for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1]))
    ]
    found = np.concatenate([np.ravel(distance) for distance in distances])
    if found.size and not (np.isfinite(found).all() and found.min() > 0):
        raise CellError("Found neighbouring pixels with the same or no centre; check the x and y axes of the grid.")
    return float(found.min()) if found.size else 1.0  # a single pixel: any level tells it apart


def _encode(number: NDArray[np.int64], level: int) -> Cells:
    return ((number << 1) | 1) << (2 * (MAX_LEVEL - level))


def _decode(cells: Cells) -> NDArray[np.int64]:
    return cells >> (_shift(cells) + 1)


def _shift(cells: Cells) -> NDArray[np.int64]:
    """Return the position of the lowest set bit; a power of two is exact in float64."""
    return np.log2((cells & -cells).astype(np.float64)).astype(np.int64)


def _check_level(level: int) -> int:
    if not 0 <= level <= MAX_LEVEL:
        raise CellError(f"Found level {level}; cells have levels 0 to {MAX_LEVEL}.")
    return int(level)


def _check_cells(cells: ArrayLike) -> Cells:
    array = np.asarray(cells)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise CellError(f"Found cell identifiers of dtype {array.dtype}; expected int64.")
    ids = array.astype(np.int64)
    bad = ids <= 0
    if not bad.any():
        shift = _shift(ids)
        bad = (shift % 2 == 1) | (shift > 2 * MAX_LEVEL) | (ids >= np.int64(12) << np.int64(2 * MAX_LEVEL + 1))
    if bad.any():
        raise CellError(f"Found {ids[bad][0]}, which identifies no cell; expected ids made by cell_at() and its kin.")
    return ids


def _polygons(polygon: Any) -> list[Sequence[Any]]:
    """Return polygons as lists of rings, the exterior first."""
    if not isinstance(polygon, Mapping):
        return [[polygon]]
    if polygon.get("type") == "Polygon":
        return [polygon["coordinates"]]
    if polygon.get("type") == "MultiPolygon":
        return list(polygon["coordinates"])
    raise CellError(f"Found a geometry of type {polygon.get('type')!r}; expected Polygon or MultiPolygon.")


def _ring_cells(ring: Any, level: int) -> dict[int, bool]:
    corners = np.asarray(ring, dtype=float)[:, :2]
    if len(corners) > 1 and np.array_equal(corners[0], corners[-1]):
        corners = corners[:-1]
    if len(np.unique(corners, axis=0)) < 3 or not np.isfinite(corners).all() or (np.abs(corners[:, 1]) > 90).any():
        raise CellError(
            f"Found a ring of {len(corners)} corners; expected at least three distinct corners in WGS84 degrees."
        )
    numbers, _, inside = healpix.polygon_coverage(
        np.ascontiguousarray(corners), _check_level(level), ellipsoid=ELLIPSOID, flat=True
    )
    return dict(zip(_encode(numbers.astype(np.int64), level).tolist(), inside.tolist(), strict=True))
