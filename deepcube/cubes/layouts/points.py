"""Tables of persistent scatterers: one point a row, one column ``DYYYYMMDD`` an epoch (EGMS and TRE style)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from deepcube.cubes.conventions import parse_crs
from deepcube.cubes.errors import NotACubeError
from deepcube.cubes.model import WGS84, Grid, Opened
from deepcube.cubes.validate import check_times

_EPOCH = re.compile(r"^D?((?:19|20)\d{6})$")
_PLACES = (("easting", "northing"), ("longitude", "latitude"), ("lon", "lat"), ("x", "y"))
_UNITS = {
    "vel": ("mm year-1", "mean velocity"),
    "velocity": ("mm year-1", "mean velocity"),
    "mean_velocity": ("mm year-1", "mean velocity"),
    "mean_velocity_std": ("mm year-1", "standard deviation of the mean velocity"),
    "height": ("m", "height"),
    "dem": ("m", "elevation"),
    "slope": ("degree", "slope"),
    "aspect": ("degree", "aspect"),
    "coherence": ("1", "temporal coherence"),
    "rmse": ("mm", "root mean square error"),
}


def is_point_table(path: Path) -> bool:
    """Return True for a shapefile, GeoPackage or CSV file with columns of epochs."""
    if path.suffix.lower() in (".shp", ".gpkg"):
        return path.is_file()
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    with path.open(errors="replace") as file:
        return sum(bool(_EPOCH.match(name.strip(' "\n\r'))) for name in re.split("[,;]", file.readline())) > 1


def open_points(path: Path, crs: Any = None) -> Opened:
    """Open a table of points with a series each.

    Parameters
    ----------
    path : pathlib.Path
        Shapefile, GeoPackage or CSV file.
    crs : any that pyproj understands, optional
        Coordinate reference system, where the file states none.

    Returns
    -------
    Opened
        One grid with the dimensions ``(time, point)``: ``displacement`` in mm along the line of sight, and every other
        numeric column as a variable of the points.

    Raises
    ------
    NotACubeError
        If the file is damaged, has no places or no epochs.
    TimeAxisError
        If epochs are repeated.
    """
    try:
        table, x, y, stated = _read_csv(path) if path.suffix.lower() == ".csv" else _read_vectors(path)
    except (OSError, ValueError, RuntimeError) as error:
        raise NotACubeError(
            f"{path} cannot be read as a table of points ({error}). Check that it is complete."
        ) from error
    epochs = {name: match.group(1) for name in table.columns if (match := _EPOCH.match(str(name)))}
    if not epochs:
        raise NotACubeError(
            f"{path} has the columns {', '.join(map(str, table.columns[:8]))}; expected columns of epochs such as "
            "D20180102, in mm."
        )
    names = sorted(epochs, key=lambda name: epochs[name])
    times = pd.DatetimeIndex([pd.Timestamp(epochs[name]) for name in names])
    check_times(times, path.name)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise NotACubeError(f"{path} has {int((~np.isfinite(x + y)).sum())} points without a place; drop these rows.")
    attrs = {"units": "mm", "long_name": "displacement along the line of sight"}
    series = table[names].to_numpy(dtype=float).T
    variables: dict[str, Any] = {"displacement": (("time", "point"), series, attrs)}
    for name in table.columns:
        if name not in epochs and pd.api.types.is_numeric_dtype(table[name]):
            units, title = _UNITS.get(str(name).lower(), ("", str(name)))
            described = {"long_name": title, **({"units": units} if units else {})}
            variables[str(name)] = (("point",), table[name].to_numpy(), described)
    variables = {name: value for name, value in variables.items() if name not in ("x", "y")}
    dataset = xr.Dataset(variables, {"time": times, "x": ("point", x), "y": ("point", y)})
    return Opened([Grid("points", dataset, parse_crs(crs) if crs is not None else stated)])


def _read_vectors(path: Path) -> tuple[pd.DataFrame, Any, Any, Any]:
    import pyogrio
    import shapely

    meta, _, geometry, columns = pyogrio.raw.read(path)
    points = shapely.from_wkb(geometry)
    if not (shapely.get_type_id(points) == 0).all():
        raise ValueError(f"found {meta['geometry_type']} geometries, expected points")
    table = pd.DataFrame(dict(zip(meta["fields"], columns, strict=True)))
    stated = parse_crs(meta["crs"]) if meta["crs"] else None
    return table, shapely.get_x(points), shapely.get_y(points), stated


def _read_csv(path: Path) -> tuple[pd.DataFrame, Any, Any, Any]:
    table = pd.read_csv(path, sep=None, engine="python")
    known = {str(name).lower(): name for name in table.columns}
    for east, north in _PLACES:
        if east in known and north in known:
            x, y = (table.pop(known[name]).to_numpy(dtype=float) for name in (east, north))
            stated = WGS84 if east.startswith("lon") else parse_crs("EPSG:3035") if east == "easting" else None
            return table, x, y, stated
    raise ValueError(f"found the columns {list(table.columns[:8])}, expected easting and northing, or lon and lat")
