"""What a cube is: variables, each on a grid with its own coordinate reference system and time axis."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
import pyproj
import xarray as xr
from numpy.typing import NDArray

from deepcube.cubes.errors import CubeError, MissingCrsError, TimeAxisError, UnknownVariableError

Kind = Literal["continuous", "categorical", "count"]
"""How values of a variable may be combined: averaged, only compared, or summed."""

WGS84 = pyproj.CRS.from_epsg(4326)
"""Geographic coordinates that cells, points and feature groups use."""


@dataclass(frozen=True)
class Variable:
    """Description of one variable of a cube.

    Attributes
    ----------
    name : str
        Name within its grid.
    grid : str
        Name of the grid that it lies on.
    dims : tuple of str
        Dimensions, a subset of ``time``, ``y``, ``x`` and any others of the file, in order.
    units : str
        Units as the file states them; empty where it states none.
    long_name : str
        Human readable name; the name where the file states none.
    kind : {"continuous", "categorical", "count"}
        How values may be combined.
    """

    name: str
    grid: str
    dims: tuple[str, ...]
    units: str
    long_name: str
    kind: Kind


@dataclass(frozen=True, eq=False)
class Grid:
    """Variables that share rows, columns and, if they vary in time, the time axis.

    Attributes
    ----------
    name : str
        Name of the grid, the group of the file that it was read from; ``"main"`` for the root.
    dataset : xarray.Dataset
        The data, not loaded, with dimensions ``(time, y, x)`` or ``(y, x)``; gaps are NaN, scale factors that the file
        states are applied.
    crs : pyproj.CRS or None
        Coordinate reference system of ``x`` and ``y``.
    """

    name: str
    dataset: xr.Dataset
    crs: pyproj.CRS | None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.dataset.sizes["y"], self.dataset.sizes["x"]

    @property
    def times(self) -> pd.DatetimeIndex:
        """Times of the grid in UTC, sorted and distinct.

        Raises
        ------
        TimeAxisError
            If the grid is static.
        """
        if "time" not in self.dataset.dims:
            raise TimeAxisError(f"Grid {self.name!r} is static; expected a time axis. Ask for a variable that has one.")
        return pd.DatetimeIndex(self.dataset["time"].to_index())

    def longitude_latitude(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return where the pixel centres lie.

        Returns
        -------
        longitude, latitude : numpy.ndarray of float64, shape (y, x)
            WGS84 degrees, longitudes from -180 to 180.

        Raises
        ------
        MissingCrsError
            If the coordinate reference system is unknown.
        """
        if self.crs is None:
            raise MissingCrsError(
                f"Grid {self.name!r} states no coordinate reference system, so its pixels have no place on Earth. Pass "
                "one, such as open_cube(source, crs='EPSG:32637'), or write it into the file as a CF grid mapping."
            )
        x, y = np.meshgrid(self.dataset["x"].to_numpy().astype(float), self.dataset["y"].to_numpy().astype(float))
        longitude, latitude = pyproj.Transformer.from_crs(self.crs, WGS84, always_xy=True).transform(x, y)
        if not (np.isfinite(longitude).all() and np.isfinite(latitude).all()):
            raise CubeError(
                f"Grid {self.name!r} has x from {x.min()} to {x.max()} and y from {y.min()} to {y.max()}, which "
                f"{self.crs.name} does not map to the Earth. Check that the coordinates belong to that system."
            )
        return np.where(longitude > 180, longitude - 360, longitude), latitude


@dataclass(frozen=True, eq=False)
class Cube:
    """A data cube opened from a file, a folder or a list of files.

    Attributes
    ----------
    name : str
        Short name of lower-case letters, digits and underscores, usable as a key and in names of the feature store.
    grids : tuple of Grid
        One or more grids.
    source : str
        Where the cube was read from.
    simulated : bool
        True if the file says that its data are simulated.
    """

    name: str
    grids: tuple[Grid, ...]
    source: str
    simulated: bool = False

    @cached_property
    def variables(self) -> Mapping[str, Variable]:
        """All variables by name; a name that several grids use is qualified as ``grid/name``."""
        found = [describe(grid.name, data) for grid in self.grids for data in grid.dataset.data_vars.values()]
        names = [variable.name for variable in found]
        return {
            variable.name if names.count(variable.name) == 1 else f"{variable.grid}/{variable.name}": variable
            for variable in found
        }

    def grid_of(self, variable: str) -> Grid:
        """Return the grid that a variable lies on.

        Raises
        ------
        UnknownVariableError
            If the cube has no such variable; the message lists those it has.
        """
        if variable not in self.variables:
            raise UnknownVariableError(
                f"Cube {self.name!r} has no variable {variable!r}; it has {', '.join(sorted(self.variables))}."
            )
        name = self.variables[variable].grid
        return next(grid for grid in self.grids if grid.name == name)

    def __getitem__(self, variable: str) -> xr.DataArray:
        grid = self.grid_of(variable)
        return grid.dataset[self.variables[variable].name]

    def __contains__(self, variable: object) -> bool:
        return variable in self.variables

    def renamed(self, name: str) -> "Cube":
        """Return the same cube under another name, turned into a valid one by :func:`slug`."""
        return replace(self, name=slug(name))


_FLAGS = {"flag_values", "flag_masks", "flag_meanings"}
_CATEGORICAL_NAMES = re.compile(r"(^|_)(scl|lulc|lc\d*|lccs|clc|landcover|land_cover|mask|clm|class|cls|qa)(_|\d|$)")
_COUNT_NAMES = re.compile(r"(^|_)(nobs|count|counts|number|n_obs)(_|$)")


def describe(grid: str, data: xr.DataArray) -> Variable:
    """Describe a variable from its attributes, and where these are silent from its name and type.

    Parameters
    ----------
    grid : str
        Name of its grid.
    data : xarray.DataArray
        The variable; not read.

    Returns
    -------
    Variable
        A variable with CF flag attributes, of Boolean type or with a well-known class name (SCL, LULC, CLC, ...) is
        categorical; one named like a number of observations is a count; everything else is continuous. An attribute
        ``kind`` overrides.
    """
    name, attrs = str(data.name), data.attrs
    kind: Kind = "continuous"
    if attrs.get("kind") in ("continuous", "categorical", "count"):
        kind = attrs["kind"]
    elif _FLAGS & set(attrs) or data.dtype == bool or _CATEGORICAL_NAMES.search(name.lower()):
        kind = "categorical"
    elif _COUNT_NAMES.search(name.lower()) or str(attrs.get("units", "")).lower() in ("count", "counts"):
        kind = "count"
    return Variable(
        name=name,
        grid=grid,
        dims=tuple(map(str, data.dims)),
        units=str(attrs.get("units", "")),
        long_name=str(attrs.get("long_name", attrs.get("standard_name", name))),
        kind=kind,
    )


def slug(text: str) -> str:
    """Return a name of lower-case letters, digits and underscores that starts with a letter.

    Parameters
    ----------
    text : str
        Any text, for example a file name without its suffix.

    Returns
    -------
    str
        At most 40 characters, so that prefixes of use cases fit into the 63 that Hopsworks allows for a name.

    Raises
    ------
    CubeError
        If the text has no letter or digit.
    """
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    if not name:
        raise CubeError(f"Found the name {text!r}; expected at least one letter or digit.")
    return (name if name[0].isalpha() else f"cube_{name}")[:40].rstrip("_")
