"""What does not change in a wildfire cube: terrain, roads, people, land cover; at each pixel and around it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepcube.cubes import Cube, Grid, UnknownVariableError
from features.wildfire.layout import (
    BURNABLE,
    COVER,
    HUMAN,
    LAND_COVER,
    NEIGHBOURHOOD,
    PATCH,
    PLACES,
    TERRAIN,
    patch_names,
    plain_names,
)
from features.wildfire.weather import check_ranges, find

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HEIGHT = ("dem_mean", "dem")
SLOPE = ("slope_mean", "slope")
ASPECT = ("aspect_mean", "aspect")
ROADS = ("roads_density_2020", "roads_density", "roads_distance")
_POPULATION = re.compile(r"population(_density)?(_(?P<year>\d{4}))?$")
_CORINE = re.compile(r"clc_(?P<year>\d{4})$|CLC_(?P<other>\d{4})$")
_SHARES = {
    "artificial": "lc_settlement",
    "arable": "lc_agriculture",
    "pasture": "lc_grassland",
    "forest": "lc_forest",
    "shrub": "lc_shrubland",
    "open": "lc_sparse_vegetation",
    "wetland": "lc_wetland",
    "water": "lc_water_bodies",
}
_CODES = {111: 1, 112: 2, 121: 3, 122: 4, 123: 5, 124: 6, 131: 7, 132: 8, 133: 9, 141: 10, 142: 11, 211: 12, 212: 13}
_CODES |= {213: 14, 221: 15, 222: 16, 223: 17, 231: 18, 241: 19, 242: 20, 243: 21, 244: 22, 311: 23, 312: 24, 313: 25}
_CODES |= {321: 26, 322: 27, 323: 28, 324: 29, 331: 30, 332: 31, 333: 32, 334: 33, 335: 34, 411: 35, 412: 36, 421: 37}
_CODES |= {422: 38, 423: 39, 511: 40, 512: 41, 521: 42, 522: 43, 523: 44}


@dataclass(frozen=True, eq=False)
class Land:
    """Fields of the fire grid, each of shape (y, x); NaN where unknown.

    Attributes
    ----------
    fields : dict of str to numpy.ndarray of float64
        Terrain, human presence and land cover by the names of the columns.
    around : dict of str to numpy.ndarray of float64
        What the neighbourhood is cut from, by variable; ``dem`` for the height above the cell.
    land : numpy.ndarray of bool
        Where fires can be: everything but water.
    absent : list of str
        Columns that the cube has nothing for.
    """

    fields: dict[str, Floats]
    around: dict[str, Floats]
    land: NDArray[np.bool_]
    absent: list[str]

    def rows(self, row: Ints, column: Ints) -> dict[str, Floats]:
        """Return the columns of ``wildfire_static``, but for its keys, at some pixels inside the grid."""
        columns = {name: field[row, column] for name, field in self.fields.items()}
        for quantity in NEIGHBOURHOOD[:-1]:
            field = self.around["dem" if quantity.name == "height_above" else quantity.name]
            for name, (down, right) in zip(patch_names([quantity]), PLACES, strict=True):
                values = field[row + down, column + right]
                columns[name] = values - field[row, column] if quantity.name == "height_above" else values
        return columns


def read_land(cube: Cube, grid: Grid) -> Land:
    """Read terrain, human presence and land cover of a cube.

    Parameters
    ----------
    cube : Cube
        The cube; static variables lie on its fire grid's pixels.
    grid : Grid
        The fire grid.

    Returns
    -------
    Land
        What is not there is NaN throughout, and named as absent.

    Raises
    ------
    UnknownVariableError
        If the cube has neither height nor land cover, so that land cannot be told from sea.
    """
    empty = np.full(grid.shape, np.nan)

    def read(name: str | None) -> Floats:
        if name is None or tuple(cube.grid_of(name).shape) != tuple(grid.shape):
            return empty
        data = cube[name]
        data = data.isel(time=-1) if "time" in data.dims else data
        return data.transpose("y", "x").to_numpy().astype(float)

    height, aspect = read(find(cube, HEIGHT)), np.radians(read(find(cube, ASPECT)))
    people = read(_latest(cube, _POPULATION))
    shares = _cover(cube, read)
    if shares is None and not np.isfinite(height).any():
        raise UnknownVariableError(
            f"Cube {cube.name!r} has neither a height ({', '.join(HEIGHT)}) nor land cover (clc_<year>, lc_forest, "
            f"...) on the grid of its burned areas; expected one, to tell land from sea. It has "
            f"{', '.join(sorted(cube.variables))}."
        )
    fields = {
        "dem": height,
        "slope": read(find(cube, SLOPE)),
        "northness": np.cos(aspect),
        "eastness": np.sin(aspect),
        "roads": read(find(cube, ROADS)),
        "population": np.maximum(people, 0.0),
        **{f"cover_{name}": empty if shares is None else _smooth(shares[name]) for name in COVER},
    }
    check_ranges(cube.name, fields)
    dry = np.isfinite(height) if shares is None else np.isfinite(shares["water"]) & ~(shares["water"] > 0.5)
    carries = empty if shares is None else np.sum([shares[name] for name in BURNABLE], axis=0)
    around = {
        "dem": height,
        "slope": fields["slope"],
        "roads": fields["roads"],
        "people": np.log1p(fields["population"]),
        "burnable": carries,
    }
    names = plain_names(TERRAIN, HUMAN, LAND_COVER)
    absent = [name for name in names if not np.isfinite(fields[name]).any()]
    absent += [n for q in NEIGHBOURHOOD[:-1] for n in patch_names([q]) if not np.isfinite(_field(around, q.name)).any()]
    return Land(fields, around, dry, absent)


def _field(around: dict[str, Floats], name: str) -> Floats:
    return around["dem" if name == "height_above" else name]


def _cover(cube: Cube, read: Callable[[str | None], Floats]) -> dict[str, Floats] | None:
    """Return the share of each class in each pixel; None if the cube has no land cover."""
    corine = _latest(cube, _CORINE)
    if corine:
        codes = read(corine)
        known = np.isfinite(codes)
        number = np.where(known, codes, 0).astype(int)
        number = np.vectorize(lambda code: _CODES.get(code, code), otypes=[int])(number)
        return {name: np.where(known, np.isin(number, list(of)), np.nan).astype(float) for name, of in COVER.items()}
    if "lc_forest" in cube:
        found = {name: read(variable) for name, variable in _SHARES.items() if variable in cube}
        return {name: found.get(name, np.zeros_like(found["forest"])) for name in COVER}
    return None


def _smooth(share: Floats) -> Floats:
    """Return the mean over the neighbourhood, the edge being repeated outwards."""
    half = PATCH // 2
    wide = np.pad(np.nan_to_num(share), half, mode="edge")
    rows, columns = share.shape
    parts = [wide[half + r : half + r + rows, half + c : half + c + columns] for r, c in PLACES]
    return np.asarray(np.mean(parts, axis=0))


def _latest(cube: Cube, pattern: re.Pattern[str]) -> str | None:
    """Return the variable of the newest year whose name fits a pattern."""
    names = sorted(name for name in cube.variables if pattern.match(name))
    return names[-1] if names else None
