"""Features of the ground: slope, aspect, position and distance."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, uniform_filter

from deepcube.cubes.features.errors import FeatureError
from deepcube.cubes.features.specs import Feature
from deepcube.cubes.features.tile import METRES_PER_DEGREE, Floats, Tile


@dataclass(frozen=True)
class _Terrain(Feature):
    """A feature of a height.

    Attributes
    ----------
    height : str
        Static variable in m.
    """

    height: str

    @property
    def inputs(self) -> frozenset[str]:
        """Variables that the feature reads."""
        return frozenset({self.height})

    @property
    def halo(self) -> int:
        """Pixels needed around a tile."""
        return 1

    def gradient(self, tile: Tile) -> tuple[Floats, Floats]:
        """Return the rise to the north and to the east, m per m (Horn, Proc. IEEE 69, 14-47, 1981)."""
        z = np.pad(tile.ground(self.height), 1, mode="reflect", reflect_type="odd")  # goes on as it comes to the edge
        down, across = tile.spacing()
        south = (z[2:, :-2] + 2 * z[2:, 1:-1] + z[2:, 2:] - z[:-2, :-2] - 2 * z[:-2, 1:-1] - z[:-2, 2:]) / (8 * down)
        east = (z[:-2, 2:] + 2 * z[1:-1, 2:] + z[2:, 2:] - z[:-2, :-2] - 2 * z[1:-1, :-2] - z[2:, :-2]) / (
            8 * across[:, None]
        )
        north = -south if tile.southward() else south
        return tile.inner(north), tile.inner(east)


@dataclass(frozen=True)
class Slope(_Terrain):
    """Slope in degrees from the horizontal."""

    def compute(self, tile: Tile) -> Floats:
        """Return the slope."""
        return np.degrees(np.arctan(np.hypot(*self.gradient(tile))))


@dataclass(frozen=True)
class Aspect(_Terrain):
    """Direction that the slope faces, degrees clockwise from north, 0 to below 360; missing where it is flat."""

    def compute(self, tile: Tile) -> Floats:
        """Return the aspect."""
        north, east = self.gradient(tile)
        return np.where(np.hypot(north, east) > 0, np.degrees(np.arctan2(-east, -north)) % 360, np.nan)


@dataclass(frozen=True)
class Tpi(Feature):
    """Topographic position index: height less the mean height around (Weiss, ESRI User Conference, 2001).

    Attributes
    ----------
    height : str
        Static variable in m.
    radius : int
        Half side of the square around a pixel, in pixels.
    """

    height: str
    radius: int = 1

    @property
    def inputs(self) -> frozenset[str]:
        """Variables that the feature reads."""
        return frozenset({self.height})

    @property
    def halo(self) -> int:
        """Pixels needed around a tile."""
        return self.radius

    def compute(self, tile: Tile) -> Floats:
        """Return the index in m; at the edge of the cube the square is cut."""
        z = tile.ground(self.height)
        known = np.isfinite(z).astype(float)
        size = 2 * self.radius + 1
        total = uniform_filter(np.nan_to_num(z), size, mode="constant")
        count = uniform_filter(known, size, mode="constant")
        with np.errstate(invalid="ignore", divide="ignore"):
            return tile.inner(np.where(known > 0, z - total / count, np.nan))


@dataclass(frozen=True)
class Distance(Feature):
    """Distance in m to the nearest pixel whose value is one of some, at most ``reach`` pixels away.

    Attributes
    ----------
    variable : str
        Static categorical variable, such as land cover.
    values : tuple of int
        Values to look for.
    reach : int
        Pixels to look at most; farther is reported as ``reach`` pixels, so that tiles need no more than a margin.
    """

    variable: str
    values: tuple[int, ...]
    reach: int = 32

    def __post_init__(self) -> None:
        if self.reach < 1:
            raise FeatureError(f"Found a reach of {self.reach} pixels; expected at least 1.")

    @property
    def inputs(self) -> frozenset[str]:
        """Variables that the feature reads."""
        return frozenset({self.variable})

    @property
    def halo(self) -> int:
        """Pixels needed around a tile."""
        return self.reach

    def compute(self, tile: Tile) -> Floats:
        """Return the distance between pixel centres."""
        found = np.isin(tile.ground(self.variable), self.values)
        down, across = tile.spacing()
        middle = float(np.mean(across))
        if tile.geographic:
            middle = abs(tile.steps[1]) * METRES_PER_DEGREE * float(np.cos(np.deg2rad(tile.middle)))
        limit = self.reach * min(down, middle)
        if not found.any():
            return np.full(tile.shape, limit)
        distance = distance_transform_edt(~found, sampling=(down, middle))
        return np.minimum(tile.inner(np.asarray(distance)), limit)
