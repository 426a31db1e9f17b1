"""What a cube is: variables, each on a grid with its own coordinate reference system and time axis."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyproj
import xarray as xr
from numpy.typing import NDArray

from deepcube.cubes.errors import CubeError, MissingCrsError, TimeAxisError, UnknownVariableError
from deepcube.cubes.variables import Variable, describe

WGS84 = pyproj.CRS.from_epsg(4326)
"""Geographic coordinates that cells, points and feature groups use."""


@dataclass(frozen=True)
class ZarrSource:
    """Where the stored arrays of a grid lie, for readers that go to the chunks directly.

    Attributes
    ----------
    group : pathlib.Path
        Folder of the Zarr group on the local disk.
    version : {2, 3}
        Version of the Zarr format.
    axes : dict of str to tuple of str
        Stored order of the dimensions by variable, for those variables whose stored values become physical ones by
        fill value, scale factor and offset alone.
    """

    group: Path
    version: Literal[2, 3]
    axes: Mapping[str, tuple[str, ...]]


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
    stored : ZarrSource or None
        Where the chunks lie if the grid is a local Zarr group.
    """

    name: str
    dataset: xr.Dataset
    crs: pyproj.CRS | None
    stored: ZarrSource | None = None

    @property
    def points(self) -> bool:
        """True for a table of points: ``x`` and ``y`` are columns along the dimension ``point``, not axes."""
        return "point" in self.dataset.dims

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows and columns, or of points."""
        if self.points:
            return (self.dataset.sizes["point"],)
        return self.dataset.sizes["y"], self.dataset.sizes["x"]

    @property
    def resolution(self) -> tuple[float, float] | None:
        """Median spacing of rows and of columns in units of the CRS; None for points and for single rows."""
        if self.points or min(self.shape) < 2:
            return None
        dy, dx = (float(np.median(np.abs(np.diff(self.dataset[axis].to_numpy().astype(float))))) for axis in "yx")
        return dy, dx

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """West, south, east and north edge of the pixels (of the points themselves, for points), in the CRS."""
        x, y = (self.dataset[axis].to_numpy().astype(float) for axis in "xy")
        dy, dx = self.resolution or (0.0, 0.0)
        return float(x.min() - dx / 2), float(y.min() - dy / 2), float(x.max() + dx / 2), float(y.max() + dy / 2)

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
        longitude, latitude : numpy.ndarray of float64, shape (y, x), or (point,) for points
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
        x, y = (self.dataset[axis].to_numpy().astype(float) for axis in "xy")
        if not self.points:
            x, y = np.meshgrid(x, y)
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
    attrs : dict
        Attributes of the whole cube: title, licence, history and so on.
    notes : tuple of str
        What was repaired or assumed on opening, one sentence each.
    """

    name: str
    grids: tuple[Grid, ...]
    source: str
    simulated: bool = False
    attrs: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

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

    def grid(self, name: str) -> Grid:
        """Return a grid by its name.

        Raises
        ------
        CubeError
            If the cube has no such grid; the message lists those it has.
        """
        for grid in self.grids:
            if grid.name == name:
                return grid
        known = ", ".join(grid.name for grid in self.grids)
        raise CubeError(f"Cube {self.name!r} has no grid {name!r}; it has {known}.")

    def tree(self) -> xr.DataTree:
        """Return the cube as a tree: attributes at the root, one child dataset per grid, still not read."""
        children = {f"/{grid.name}": grid.dataset for grid in self.grids}
        return xr.DataTree.from_dict({"/": xr.Dataset(attrs=dict(self.attrs)), **children}, name=self.name)

    def __getitem__(self, variable: str) -> xr.DataArray:
        grid = self.grid_of(variable)
        return grid.dataset[self.variables[variable].name]

    def __contains__(self, variable: object) -> bool:
        return variable in self.variables

    def renamed(self, name: str) -> "Cube":
        """Return the same cube under another name, turned into a valid one by :func:`slug`."""
        return replace(self, name=slug(name))


@dataclass(frozen=True)
class Opened:
    """What a reader of one format found.

    Attributes
    ----------
    grids : list of Grid
        The grids.
    attrs : dict
        Attributes of the whole cube.
    notes : list of str
        What was repaired or assumed.
    name : str
        Name that the cube was published under; empty for any other.
    """

    grids: list[Grid]
    attrs: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    name: str = ""


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
