"""From a dataset as some convention wrote it to one with dimensions ``(time, y, x)`` and a known CRS."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pyproj
import xarray as xr

from deepcube.cubes.errors import MissingCrsError, NotACubeError, TimeAxisError
from deepcube.cubes.model import WGS84, Cube, Grid
from deepcube.cubes.validate import check_dataset, check_points

_NAMES = {
    "time": ("time", "t", "date", "datetime", "times"),
    "y": ("y", "lat", "latitude", "northing", "projection_y_coordinate", "rows"),
    "x": ("x", "lon", "longitude", "easting", "projection_x_coordinate", "cols"),
}
_STANDARD = {
    "time": ("time",),
    "y": ("latitude", "projection_y_coordinate", "grid_latitude"),
    "x": ("longitude", "projection_x_coordinate", "grid_longitude"),
}
_GEOGRAPHIC_UNITS = ("degrees_north", "degree_north", "degrees_east", "degree_east", "degrees_n", "degrees_e")


def to_grid(dataset: xr.Dataset, name: str, where: str, crs: Any = None, notes: list[str] | None = None) -> Grid:
    """Bring a dataset to the dimensions ``(time, y, x)``, find its CRS and check its axes.

    Parameters
    ----------
    dataset : xarray.Dataset
        Dataset as opened, lazily; CF encodings decoded.
    name : str
        Name of the grid.
    where : str
        The file or group, for messages.
    crs : any that pyproj understands, optional
        Coordinate reference system to use instead of the one that the dataset states.
    notes : list of str, optional
        What is repaired or assumed is appended to it.

    Returns
    -------
    Grid
        The checked grid; data are not read.

    Raises
    ------
    NotACubeError
        If there is no pair of spatial axes, or they are curvilinear or not monotonic.
    TimeAxisError
        If the times are unreadable, unsorted or duplicated.
    MissingCrsError
        If the given CRS is not one.
    """
    found = find_crs(dataset, crs)
    names = {axis: find_axis(dataset, axis) for axis in ("time", "y", "x")}
    if names["y"] is None or names["x"] is None:
        points = _points(dataset, names["time"])
        if points is not None:
            points = _with_time(points, where, [] if notes is None else notes)
            check_points(points, where)
            return Grid(name=name, dataset=_kept(points), crs=found or _degrees(points))
        dims = ", ".join(f"{dim}={size}" for dim, size in dataset.sizes.items()) or "none"
        raise NotACubeError(
            f"{where} has no pair of spatial axes; found dimensions {dims}, expected coordinates such as y and x or "
            "lat and lon, one number per row and column (or per point). Curvilinear data must be gridded first."
        )
    if found is None and _is_geographic(dataset, names["y"], names["x"]):
        found = WGS84  # CF leaves the datum open; plain degrees are WGS84 in practice
    renamed = dataset.rename({old: new for new, old in names.items() if old is not None and old != new})
    renamed = _spatial(_with_time(renamed, where, [] if notes is None else notes))
    check_dataset(renamed, where)
    return Grid(name=name, dataset=renamed, crs=found)


def find_crs(dataset: xr.Dataset, crs: Any = None) -> pyproj.CRS | None:
    """Return the given CRS, or the one that the dataset states as a CF grid mapping or an attribute.

    Raises
    ------
    MissingCrsError
        If the given CRS is not one that PROJ knows.
    """
    if crs is not None:
        return parse_crs(crs)
    for name in _grid_mappings(dataset):
        attrs = dict(dataset[name].attrs) if name in dataset.variables else {}
        if {"crs_wkt", "spatial_ref", "grid_mapping_name"} & set(attrs):
            try:
                return pyproj.CRS.from_cf(attrs)
            except (pyproj.exceptions.CRSError, KeyError, TypeError, ValueError):
                continue
    for key in ("crs", "proj:epsg", "epsg", "spatial_ref"):
        if isinstance(dataset.attrs.get(key), (str, int, np.integer)):
            try:
                return pyproj.CRS.from_user_input(dataset.attrs[key])
            except pyproj.exceptions.CRSError:
                continue
    return None


def _grid_mappings(dataset: xr.Dataset) -> list[str]:
    """Return the names of the variables that may hold a CF grid mapping, those that variables name first."""
    named = [
        str(held.get("grid_mapping", "")).partition(":")[0].strip()
        for data in dataset.data_vars.values()
        for held in (data.encoding, data.attrs)
    ]
    return [*dict.fromkeys(name for name in named if name), "spatial_ref", "crs"]


def parse_crs(crs: Any) -> pyproj.CRS:
    """Return a CRS from anything that pyproj understands, such as ``"EPSG:3035"``.

    Raises
    ------
    MissingCrsError
        If it is not one.
    """
    try:
        return pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise MissingCrsError(
            f"Found {crs!r} as coordinate reference system; expected a code such as EPSG:3035, WKT or a PROJ string "
            f"({error})."
        ) from error


def scaled(cube: Cube, factors: Mapping[str, float]) -> Cube:
    """Return a cube with some variables multiplied by factors when they are read.

    Parameters
    ----------
    cube : Cube
        The cube.
    factors : mapping of str to float
        Factor by variable.

    Returns
    -------
    Cube
        The same cube, still not read.

    Raises
    ------
    UnknownVariableError
        If the cube lacks one of the variables.
    """
    for name, factor in factors.items():
        grid, held = cube.grid_of(name), cube.variables[name].name
        stored = grid.dataset[held].variable.copy(deep=False)
        packed = dict(stored.encoding)
        stored.attrs["scale_factor"] = float(factor)
        decoded = xr.conventions.decode_cf_variable(held, stored)
        source = grid.stored
        if {"scale_factor", "add_offset"} & set(packed) and source is not None:  # scaled twice: only xarray knows how
            source = replace(source, axes={name: axes for name, axes in source.axes.items() if name != held})
        else:
            kept = {key: packed[key] for key in ("dtype", "_FillValue", "missing_value") if key in packed}
            decoded.encoding |= kept
        moved = replace(grid, dataset=grid.dataset.assign({held: decoded}), stored=source)
        cube = replace(cube, grids=tuple(moved if g is grid else g for g in cube.grids))
    return cube


def is_simulated(attrs: Mapping[Any, Any]) -> bool:
    """Return True if attributes of a file say that its data are simulated."""
    return str(attrs.get("simulated", "")).strip().lower() in ("1", "true", "yes")


def find_axis(dataset: xr.Dataset, axis: str) -> Hashable | None:
    """Return the dimension that plays a role, by CF attributes first and by name second."""
    coordinates: Sequence[Hashable] = [*dataset.dims, *(c for c in dataset.coords if dataset[c].ndim == 0)]
    for name in coordinates:
        attrs = dataset[name].attrs if name in dataset.coords else {}
        if attrs.get("standard_name") in _STANDARD[axis] or attrs.get("axis") == axis.upper()[0]:
            return name
    for wanted in _NAMES[axis]:
        for name in coordinates:
            if str(name).lower() == wanted and (name in dataset.coords or axis == "time"):
                return name
    return None


def _is_geographic(dataset: xr.Dataset, y: Hashable, x: Hashable) -> bool:
    units = {str(dataset[axis].attrs.get("units", "")).lower() for axis in (y, x)}
    return units <= set(_GEOGRAPHIC_UNITS) or (str(y).lower()[:3], str(x).lower()[:3]) == ("lat", "lon")


def _with_time(dataset: xr.Dataset, where: str, notes: list[str]) -> xr.Dataset:
    """Check that time is a dimension of dates in the standard calendar."""
    if "time" not in dataset.dims and "time" in dataset.coords:
        dataset = dataset.expand_dims("time")
    if "time" not in dataset.dims:
        return dataset
    if "time" not in dataset.coords:
        raise TimeAxisError(f"{where} numbers its time steps but does not date them; add a CF time coordinate.")
    time = dataset["time"]
    if time.dtype == object:  # xarray decodes calendars other than the standard one to cftime objects
        return _standard_calendar(dataset, where, notes)
    if not np.issubdtype(time.dtype, np.datetime64):
        raise TimeAxisError(
            f"{where} has times of type {time.dtype} starting with {time.to_numpy()[:1]}; expected dates. Add CF units "
            "such as 'days since 2000-01-01' to the time coordinate."
        )
    return dataset


def _standard_calendar(dataset: xr.Dataset, where: str, notes: list[str]) -> xr.Dataset:
    """Move model calendars to dates of the standard one; every step keeps its values, none is added or dropped.

    Calendars that lack or add a leap day keep their dates (29 February of a leap-less year becomes 1 March at most);
    a calendar of 360 days keeps its months for monthly steps, and its place in the year for finer ones (see
    ``xarray.Dataset.convert_calendar``, ``align_on``).
    """
    calendar = dataset["time"].dt.calendar
    values = dataset["time"].to_numpy()
    monthly = len(values) < 2 or (values[1:] - values[:-1]).min().days >= 28
    align: Literal["date", "year"] | None = ("date" if monthly else "year") if calendar == "360_day" else None
    try:
        converted = dataset.convert_calendar("proleptic_gregorian", use_cftime=False, align_on=align)
    except ValueError as error:
        raise TimeAxisError(
            f"{where} has times in the calendar {calendar!r}, which cannot be moved to the standard one ({error}). "
            "Convert them with xarray's convert_calendar first."
        ) from error
    if converted.sizes["time"] != dataset.sizes["time"]:
        raise TimeAxisError(
            f"{where} has times in the calendar {calendar!r}; {dataset.sizes['time'] - converted.sizes['time']} of "
            f"{dataset.sizes['time']} have no date in the standard one. Convert them with xarray's convert_calendar "
            "first, with the alignment that suits the data."
        )
    notes.append(f"times of the calendar {calendar!r} were moved to dates of the standard calendar")
    return converted


def _points(dataset: xr.Dataset, time: Hashable | None) -> xr.Dataset | None:
    """Return a dataset of points with the dimension ``point``; None if there are no places along one dimension."""
    found: dict[str, Hashable] = {}
    for axis in ("y", "x"):
        for name, variable in dataset.variables.items():
            named = str(name).lower() in _NAMES[axis] or variable.attrs.get("standard_name") in _STANDARD[axis]
            if variable.ndim == 1 and named and axis not in found:
                found[axis] = name
    if len(found) < 2 or dataset[found["y"]].dims != dataset[found["x"]].dims:
        return None
    (dim,) = dataset[found["y"]].dims
    wanted = {found["y"]: "y", found["x"]: "x", dim: "point", **({time: "time"} if time is not None else {})}
    moved = dataset.rename({old: new for old, new in wanted.items() if old != new}).set_coords(["y", "x"])
    return moved.transpose(*(d for d in ("time", "point") if d in moved.dims), ...)


def _degrees(points: xr.Dataset) -> pyproj.CRS | None:
    units = {str(points[axis].attrs.get("units", "")).lower() for axis in ("y", "x")}
    plain = bool(points.sizes["point"]) and float(abs(points["y"]).max()) <= 90 and float(abs(points["x"]).max()) <= 360
    return WGS84 if units <= {*_GEOGRAPHIC_UNITS, ""} and plain else None


def _kept(points: xr.Dataset) -> xr.Dataset:
    return points[[name for name, data in points.data_vars.items() if {"time", "point"} & set(data.dims)]]


def _spatial(dataset: xr.Dataset) -> xr.Dataset:
    """Keep variables that share an axis with gridded ones, drop bounds, and order dimensions: time, any others, y, x.

    A label of each patch, ``(patch,)``, belongs to the images ``(patch, y, x)``.
    """
    bounds = {str(dataset[c].attrs.get("bounds", "")) for c in dataset.coords}
    mapping = {str(dataset[v].encoding.get("grid_mapping", dataset[v].attrs.get("grid_mapping"))) for v in dataset}
    held = [v for v in dataset.data_vars if str(v) not in bounds | mapping]
    shared = {"time"}.union(*(dataset[v].dims for v in held if {"y", "x"} & set(dataset[v].dims)))
    keep = [v for v in held if shared & set(dataset[v].dims)]
    order = [dim for dim in ("time", ..., "y", "x") if dim is ... or dim in dataset.dims]
    return dataset[keep].transpose(*order)
