"""Web Mercator, in fractions of the world: x from 0 at 180 degrees west to 1, y from 0 in the north to 1.

The tiles of a web map are those of OGC's WebMercatorQuad: spherical Mercator of geodetic latitudes (EPSG:3857).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepcube.atlas.errors import RequestError

NORTH = 85.0511287798066
"""Latitude of the upper edge of the world, in degrees."""

DEEPEST = 24
"""Largest zoom of a tile."""


@dataclass(frozen=True)
class Box:
    """A part of the world and the pixels that it is drawn with.

    Attributes
    ----------
    west, north, east, south : float
        Edges in fractions of the world; ``west < east`` and ``north < south``.
    width, height : int
        Pixels.
    """

    west: float
    north: float
    east: float
    south: float
    width: int
    height: int

    def longitudes(self) -> NDArray[np.float64]:
        """Return the longitude of every column's centre, in degrees."""
        step = (self.east - self.west) / self.width
        return np.asarray((self.west + (np.arange(self.width) + 0.5) * step) * 360 - 180, np.float64)

    def latitudes(self) -> NDArray[np.float64]:
        """Return the latitude of every row's centre, in degrees."""
        step = (self.south - self.north) / self.height
        return latitude_of(self.north + (np.arange(self.height) + 0.5) * step)


def latitude_of(y: ArrayLike) -> NDArray[np.float64]:
    """Return latitudes in degrees of fractions of the world counted from the north."""
    return np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * np.asarray(y, dtype=float))))).astype(np.float64)


def world_x(longitude: float) -> float:
    """Return the fraction of the world east of 180 degrees west."""
    return (longitude + 180) / 360


def world_y(latitude: float) -> float:
    """Return the fraction of the world south of its upper edge; latitudes beyond the edges are moved to them."""
    bounded = math.radians(min(max(latitude, -NORTH), NORTH))
    return (1 - math.asinh(math.tan(bounded)) / math.pi) / 2


def tile_box(z: int, x: int, y: int, size: int = 256) -> Box:
    """Return a tile.

    Raises
    ------
    RequestError
        If there is no such tile.
    """
    if not 0 <= z <= DEEPEST or not 0 <= x < 1 << z or not 0 <= y < 1 << z:
        raise RequestError(f"There is no tile {z}/{x}/{y}; expected z from 0 to {DEEPEST}, x and y below 2**z.")
    n = 1 << z
    return Box(x / n, y / n, (x + 1) / n, (y + 1) / n, size, size)
