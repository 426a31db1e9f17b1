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
    dtype : str
        Type of the values when read.
    fill : float or None
        Value that stands for a gap in the file; None where the file states none.
    valid_range : tuple of float or None
        Smallest and largest value that make sense, in ``units``; None where the file states none.
    accumulates : bool
        True if values of successive steps add up (counts, precipitation depth), False if they average (temperature,
        rates).
    """

    name: str
    grid: str
    dims: tuple[str, ...]
    units: str
    long_name: str
    kind: Kind
    dtype: str = "float64"
    fill: float | None = None
    valid_range: tuple[float, float] | None = None
    accumulates: bool = False


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

    def view(self, **wanted: Any) -> "Cube":
        """Return another grid, region, period or step of the cube, see :func:`deepcube.cubes.views.view`."""
        from deepcube.cubes.views import view  # views know cubes, so cubes cannot know them before

        return view(self, **wanted)

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


_FLAGS = {"flag_values", "flag_masks", "flag_meanings"}
_CATEGORICAL_NAMES = re.compile(
    r"(^|[_ ])((scl|mask|clm|class|cls|qa|qc|quality|avail|burned_areas?)([_ \d]|$)"
    # lc_forest and its like are the share of one class, which is a quantity
    r"|(lulc|lc\d*|lccs|clc|landcover|land_cover)(_?\d|_type|$))"
)
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
        long_name=str(
            next((attrs[key] for key in ("long_name", "standard_name", "description") if key in attrs), name)
        ),
        kind=kind,
        dtype=str(data.dtype),
        fill=_number(data.encoding.get("_FillValue", data.encoding.get("missing_value", attrs.get("_FillValue")))),
        valid_range=_valid_range(data),
        accumulates=_accumulates(name, kind, attrs),
    )


_DEPTH_NAMES = re.compile(r"(^|_)(tp|precip|precipitation|rain|rainfall|pr|snowfall)(_|$)")
_DEPTH_UNITS = ("mm", "m", "cm", "kg m-2", "kg/m2", "kg m**-2", "m of water equivalent", "inches")


def _accumulates(name: str, kind: Kind, attrs: Mapping[Any, Any]) -> bool:
    """Tell sums from means: what the file says, then counts, then depths of precipitation (a rate averages)."""
    if "accumulates" in attrs:
        return str(attrs["accumulates"]).strip().lower() in ("1", "true", "yes")
    methods = str(attrs.get("cell_methods", ""))
    if "time:" in methods:
        return bool(re.search(r"time:\s*sum", methods))
    if kind == "count":
        return True
    standard = str(attrs.get("standard_name", ""))
    if standard.endswith("_amount") or standard.startswith("lwe_thickness_of"):
        return True
    depth = str(attrs.get("units", "")).strip().lower() in _DEPTH_UNITS
    return kind == "continuous" and depth and bool(_DEPTH_NAMES.search(name.lower()))


def _valid_range(data: xr.DataArray) -> tuple[float, float] | None:
    """Return the range that CF attributes state; those of packed data count stored values and are unpacked."""
    attrs = data.attrs
    stated = attrs.get("valid_range")
    low, high = (attrs.get("valid_min"), attrs.get("valid_max")) if stated is None else (None, None)
    if stated is not None and np.size(stated) == 2:
        low, high = np.ravel(np.asarray(stated)).tolist()
    bounds = _number(low), _number(high)
    if bounds == (None, None):
        return None
    packed = np.dtype(data.encoding.get("dtype", data.dtype))
    scale, offset = (
        (_number(data.encoding.get("scale_factor")) or 1.0, _number(data.encoding.get("add_offset")) or 0.0)
        if packed.kind in "iu"
        else (1.0, 0.0)
    )
    least = -np.inf if bounds[0] is None else bounds[0] * scale + offset
    most = np.inf if bounds[1] is None else bounds[1] * scale + offset
    return float(least), float(most)


def _number(value: Any) -> float | None:
    """Return an attribute as a number; None where it is none, or not a number."""
    try:
        number = float(np.ravel(value)[0])
    except (TypeError, ValueError, IndexError):
        return None
    return None if np.isnan(number) else number


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
