"""The pixels that a view is to have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from deepcube.cubes.conventions import parse_crs
from deepcube.cubes.errors import MissingCrsError, ViewError
from deepcube.cubes.model import WGS84, Grid

Region = tuple[float, float, float, float]
"""West, south, east and north in WGS84 degrees; west > east is a region across the dateline."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Raster:
    """Rows and columns of a rectilinear grid.

    Attributes
    ----------
    y, x : numpy.ndarray of float
        Centres of rows and columns, ascending or descending.
    crs : pyproj.CRS or None
        Their coordinate reference system.
    """

    y: Floats
    x: Floats
    crs: pyproj.CRS | None

    @classmethod
    def of(cls, grid: Grid) -> Raster:
        """Return the pixels of a grid.

        Raises
        ------
        ViewError
            If the grid is a table of points.
        """
        if grid.points:
            raise ViewError(f"Grid {grid.name!r} is a table of points, which has no rows and columns to regrid.")
        return cls(grid.dataset["y"].to_numpy().astype(float), grid.dataset["x"].to_numpy().astype(float), grid.crs)

    @classmethod
    def regular(cls, bounds: Region, resolution: float | tuple[float, float], crs: Any = "EPSG:4326") -> Raster:
        """Return square or rectangular pixels that fill a rectangle, rows from north to south.

        Parameters
        ----------
        bounds : tuple of float
            West, south, east and north edge in units of the CRS; in degrees west > east goes across the dateline, and
            longitudes then count on beyond 180.
        resolution : float or tuple of float
            Height and width of a pixel in units of the CRS.
        crs : any that pyproj understands
            Coordinate reference system.
        """
        west, south, east, north = bounds
        system = parse_crs(crs)
        dy, dx = resolution if isinstance(resolution, tuple) else (resolution, resolution)
        if system.is_geographic and west > east:
            east += 360.0
        if not (dy > 0 and dx > 0 and east - west >= dx / 2 and north - south >= dy / 2):
            raise ViewError(f"Found bounds {bounds} and pixels of {dy} x {dx}; expected at least one whole pixel.")
        rows, columns = round((north - south) / dy), round((east - west) / dx)
        y = np.asarray(north - dy * (np.arange(rows) + 0.5), dtype=np.float64)
        return cls(y, np.asarray(west + dx * (np.arange(columns) + 0.5), dtype=np.float64), system)


def edges(centres: Floats) -> Floats:
    """Return the edges of pixels from their centres: half-way between, and as far out as in at both ends."""
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def crop(grid: Grid, region: Region) -> Grid:
    """Return the part of a grid whose pixel centres lie in a region.

    Parameters
    ----------
    grid : Grid
        The grid; a projected one is cut to the rectangle that encloses the region.
    region : tuple of float
        West, south, east, north in WGS84 degrees.

    Raises
    ------
    MissingCrsError
        If the place of the grid is unknown.
    ViewError
        If no pixel lies in the region, or the region is none.
    """
    from dataclasses import replace

    west, south, east, north = region
    if south >= north or not np.isfinite(region).all():
        raise ViewError(f"Found the region {region}; expected west, south, east, north in degrees, south below north.")
    if grid.crs is None:
        raise MissingCrsError(f"Grid {grid.name!r} has no coordinate reference system; pass crs= to open_cube().")
    data = grid.dataset
    x, y = data["x"].to_numpy().astype(float), data["y"].to_numpy().astype(float)
    if grid.crs.is_geographic:
        width = (east - west) % 360.0 or 360.0
        shifted = west + (x - west) % 360.0
        columns = np.flatnonzero(shifted <= west + width)
        if not grid.points:
            columns = columns[np.argsort(shifted[columns], kind="stable")]
            columns = columns if len(x) < 2 or x[1] > x[0] else columns[::-1]
        across = not grid.points and len(columns) > 1 and np.abs(np.diff(x[columns])).max() > 180.0
    else:
        bounds = pyproj.Transformer.from_crs(WGS84, grid.crs, always_xy=True).transform_bounds(*region, densify_pts=51)
        shifted, across = x, False
        columns = np.flatnonzero((x >= bounds[0]) & (x <= bounds[2]))
        south, north = bounds[1], bounds[3]
    rows = np.flatnonzero((y >= south) & (y <= north))
    if grid.points:
        kept = np.intersect1d(rows, columns)
        data = data.isel(point=kept)
    else:
        data = data.isel(y=rows, x=columns)
        data = data.assign_coords(x=shifted[columns]) if across else data
    if 0 in data.sizes.values():
        raise ViewError(f"No pixel of grid {grid.name!r}, extent {grid.extent}, lies in {region}.")
    return replace(grid, dataset=data, stored=None)
