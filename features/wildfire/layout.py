"""What a wildfire model may know, by name: daily histories, states, land, neighbourhood; and how columns are named.

Histories are columns ``<variable>_lag_<days>``, lag 0 being the day that the forecast is made on; the neighbourhood is
``<variable>_at_<row>_<column>``, rows and columns of 1 km counted from the cell, north and west negative. A model is
told its inputs by these names alone, so it serves sources that lack some of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

HISTORY = 10
"""Days of the daily histories, the day of the forecast included (Prapas et al., 2021); sums reach back 30 days."""

LONG = 30
"""Days of the sums and means."""

PATCH = 5
"""Rows and columns of the neighbourhood, in pixels of the cube's fire grid."""


class Quantity(NamedTuple):
    """A quantity with its unit, what it is, and the values it can take."""

    name: str
    units: str
    text: str
    low: float
    high: float


WEATHER = (
    Quantity("tmax", "degC", "maximum air temperature of the day", -60, 60),
    Quantity("tmin", "degC", "minimum air temperature of the day", -70, 50),
    Quantity("humidity", "%", "relative humidity in the afternoon", 0, 100),
    Quantity("wind", "m s-1", "wind speed", 0, 75),
    Quantity("rain", "mm", "rain of the day", 0, 1000),
    Quantity("fwi", "1", "Canadian Fire Weather Index, computed from the four others", 0, 300),
)
"""Daily histories of the weather, on the weather's own grid."""

SURFACE = (
    Quantity("lst_day", "K", "land surface temperature by day; null under clouds", 230, 360),
    Quantity("lst_night", "K", "land surface temperature by night; null under clouds", 220, 340),
)
"""Daily histories of the cell."""

CODES = (
    Quantity("ffmc", "1", "Fine Fuel Moisture Code", 0, 101),
    Quantity("dmc", "1", "Duff Moisture Code", 0, 2000),
    Quantity("dc", "1", "Drought Code", 0, 3000),
    Quantity("isi", "1", "Initial Spread Index", 0, 300),
    Quantity("bui", "1", "Build-up Index", 0, 2000),
    Quantity("rain_30d", "mm", "rain of 30 days up to the day of the forecast", 0, 10000),
    Quantity("tmax_30d", "degC", "mean daily maximum temperature of 30 days up to the day of the forecast", -60, 60),
)
"""State of the fuel and the longer past, on the weather's own grid."""

VEGETATION = (
    Quantity("ndvi", "1", "normalised difference vegetation index, newest composite", -1, 1),
    Quantity("evi", "1", "enhanced vegetation index, newest composite", -1, 1),
    Quantity("lai", "m2 m-2", "leaf area index, newest composite", 0, 12),
    Quantity("fpar", "1", "absorbed share of photosynthetically active radiation, newest composite", 0, 1),
)
"""State of the vegetation, means over the cell."""

SEASON = (
    Quantity("season_sin", "1", "sine of the time of the year", -1, 1),
    Quantity("season_cos", "1", "cosine of the time of the year", -1, 1),
)
"""Time of the year."""

TERRAIN = (
    Quantity("dem", "m", "height", -500, 9000),
    Quantity("slope", "degree", "slope", 0, 90),
    Quantity("northness", "1", "cosine of the aspect: 1 faces north", -1, 1),
    Quantity("eastness", "1", "sine of the aspect: 1 faces east", -1, 1),
)
"""Terrain of the cell."""

HUMAN = (
    Quantity("roads", "km km-2", "length of roads per area, or what the cube has for it", 0, 1e6),
    Quantity("population", "km-2", "persons per area", 0, 1e6),
)
"""Human presence in the cell."""

COVER = {
    "artificial": range(1, 12),
    "arable": range(12, 15),
    "permanent": range(15, 18),
    "pasture": range(18, 19),
    "mixed": range(19, 23),
    "forest": range(23, 26),
    "shrub": range(26, 30),
    "open": range(30, 35),
    "wetland": range(35, 40),
    "water": range(40, 45),
}
"""Ten classes of land cover by the grid codes of CORINE (1 to 44)."""

LAND_COVER = tuple(
    Quantity(f"cover_{name}", "1", f"share of {name} land cover in the neighbourhood", 0, 1) for name in COVER
)
"""Land cover of the neighbourhood."""

BURNABLE = ("pasture", "mixed", "forest", "shrub", "open")
"""Land cover that carries wildfires."""

NEIGHBOURHOOD = (
    Quantity("height_above", "m", "height above the cell", -5000, 5000),
    Quantity("slope", "degree", "slope", 0, 90),
    Quantity("roads", "km km-2", "length of roads per area", 0, 1e6),
    Quantity("people", "1", "logarithm of 1 + persons per square kilometre", 0, 14),
    Quantity("burnable", "1", "share of land cover that carries wildfires", 0, 1),
    Quantity("green", "1", "NDVI, newest composite", -1, 1),
)
"""What convolutional models see around the cell."""

PLACES = [
    (row, column) for row in range(-(PATCH // 2), PATCH // 2 + 1) for column in range(-(PATCH // 2), PATCH // 2 + 1)
]


def lagged_names(quantities: Sequence[Quantity], history: int = HISTORY) -> list[str]:
    """Return the names of daily histories, by variable and then by lag."""
    return [f"{one.name}_lag_{lag}" for one in quantities for lag in range(history)]


def patch_names(quantities: Sequence[Quantity] = NEIGHBOURHOOD) -> list[str]:
    """Return the names of the neighbourhood, by variable, row and column."""
    return [f"{one.name}_at_{_signed(row)}_{_signed(column)}" for one in quantities for row, column in PLACES]


def plain_names(*quantities: Sequence[Quantity]) -> list[str]:
    """Return the names of quantities without history."""
    return [one.name for some in quantities for one in some]


_QUANTITIES = {
    one.name: one for some in (WEATHER, SURFACE, CODES, VEGETATION, SEASON, TERRAIN, HUMAN, LAND_COVER) for one in some
}
_AROUND = {one.name: one for one in NEIGHBOURHOOD}
_LAGGED = re.compile(r"(?P<name>.+)_lag_(?P<lag>\d+)$")
_PLACED = re.compile(r"(?P<name>.+)_at_[pm]?\d+_[pm]?\d+$")


def quantity_of(column: str) -> Quantity:
    """Return the quantity that a column holds.

    Raises
    ------
    KeyError
        If it is no model input.
    """
    placed, lagged = _PLACED.match(column), _LAGGED.match(column)
    if placed:
        return _AROUND[placed["name"]]
    return _QUANTITIES[lagged["name"] if lagged else column]


def units_of(columns: Sequence[str]) -> dict[str, str]:
    """Return the unit of every column."""
    return {name: quantity_of(name).units for name in columns}


GROUPS = {
    "weather": (*plain_names(WEATHER[:-1]), "rain_30d", "tmax_30d"),
    "fire weather codes": ("fwi", *plain_names(CODES[:5])),
    "surface temperature": tuple(plain_names(SURFACE)),
    "vegetation": (*plain_names(VEGETATION), "green"),
    "season": tuple(plain_names(SEASON)),
    "terrain": (*plain_names(TERRAIN), "height_above"),
    "human presence": (*plain_names(HUMAN), "people"),
    "land cover": (*plain_names(LAND_COVER), "burnable"),
}
"""Groups of variables, for ablation and for explanations that people read."""


def group_of(column: str) -> str:
    """Return the group of variables that a column belongs to."""
    name = quantity_of(column).name
    return next(group for group, names in GROUPS.items() if name in names)


@dataclass(frozen=True)
class Layout:
    """Which of a model's inputs are histories, neighbourhood and context.

    Attributes
    ----------
    names : tuple of str
        All inputs, in order.
    """

    names: tuple[str, ...]

    @property
    def dynamic(self) -> list[str]:
        """Variables with a daily history."""
        return list(dict.fromkeys(found["name"] for found in map(_LAGGED.match, self.names) if found))

    @property
    def history(self) -> int:
        """Days of history; 0 without any."""
        return 1 + max((int(found["lag"]) for found in map(_LAGGED.match, self.names) if found), default=-1)

    @property
    def neighbours(self) -> list[str]:
        """Variables of the neighbourhood."""
        return list(dict.fromkeys(found["name"] for found in map(_PLACED.match, self.names) if found))

    def series(self) -> list[list[int]]:
        """Return the positions of the histories: a list per day, oldest first, of one position per variable."""
        place = {name: position for position, name in enumerate(self.names)}
        return [[place[f"{name}_lag_{lag}"] for name in self.dynamic] for lag in reversed(range(self.history))]

    def patches(self) -> list[int]:
        """Return the positions of the neighbourhood by row, column and variable."""
        place = {name: position for position, name in enumerate(self.names)}
        return [
            place[f"{name}_at_{_signed(row)}_{_signed(column)}"] for row, column in PLACES for name in self.neighbours
        ]

    def context(self) -> list[int]:
        """Return the positions of everything else."""
        return [i for i, name in enumerate(self.names) if not _LAGGED.match(name) and not _PLACED.match(name)]

    def table(self) -> list[int]:
        """Return the positions of everything but the neighbourhood."""
        return [i for i, name in enumerate(self.names) if not _PLACED.match(name)]

    def changing(self) -> list[str]:
        """Return the inputs that change from day to day at a place."""
        still = {*plain_names(TERRAIN, HUMAN, LAND_COVER), *plain_names(NEIGHBOURHOOD[:-1])}  # all but green
        return [name for name in self.names if quantity_of(name).name not in still]


def _signed(number: int) -> str:
    """Write a number as a part of a column's name: m1, 0, p1."""
    return f"{'m' if number < 0 else 'p' if number > 0 else ''}{abs(number)}"
