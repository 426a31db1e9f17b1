"""NetCDF files and Zarr stores, with one grid per group."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from deepcube.cubes.conventions import find_axis, to_grid
from deepcube.cubes.errors import NotACubeError
from deepcube.cubes.model import Grid, Opened, ZarrSource

Engine = Literal["netcdf4", "h5netcdf", "zarr"]
"""Library that reads a store: netCDF-C for classic NetCDF, h5py for HDF5, zarr-python for Zarr v2 and v3."""


def open_store(path: Path, engine: Engine, crs: Any = None) -> Opened:
    """Open every group of a NetCDF file or Zarr store that holds gridded variables.

    Parameters
    ----------
    path : pathlib.Path
        The file or the folder of the store.
    engine : {"netcdf4", "h5netcdf", "zarr"}
        Library to read it with.
    crs : any that pyproj understands, optional
        Coordinate reference system to use instead of the one in the file.

    Returns
    -------
    Opened
        One grid per group, lazily opened: fill values, scale factors and offsets are applied when values are read.
        Attributes are those of the root.

    Raises
    ------
    NotACubeError
        If the file is damaged or no group has a pair of spatial axes.
    TimeAxisError
        If the times of a group are unreadable, unsorted or duplicated.
    """
    try:
        options: dict[str, Any] = {"consolidated": _is_consolidated(path)} if engine == "zarr" else {}
        groups = xr.open_groups(
            path, engine=engine, chunks=None, cache=False, decode_coords="all", decode_timedelta=False, **options
        )
    except Exception as error:  # each backend has its own exceptions for a damaged file
        raise NotACubeError(
            f"{path} cannot be read as {engine} ({type(error).__name__}: {error}). Check that the file is complete."
        ) from error
    held = {name: dataset for name, dataset in groups.items() if dataset.data_vars}
    if not held:
        raise NotACubeError(f"{path} holds no variables in any of its groups: {', '.join(groups)}.")
    grids, problems, notes = [], [], list[str]()
    for name, dataset in held.items():
        where = path.name if len(held) == 1 else f"{path.name}{name}"
        try:
            grid = to_grid(dataset, name.strip("/") or "main", where, crs, notes)
            grids.append(
                replace(grid, stored=_stored(path / name.strip("/"), dataset, grid)) if engine == "zarr" else grid
            )
        except NotACubeError as error:  # a group of tables beside the grids is no reason to refuse the grids
            problems.append(error)
    if not grids:
        raise problems[0]
    return Opened(grids, {str(key): value for key, value in groups["/"].attrs.items()}, notes)


def _stored(group: Path, opened: xr.Dataset, grid: Grid) -> ZarrSource | None:
    """Return where the chunks of a group lie, with the variables that plain arithmetic decodes."""
    version: Literal[2, 3] = 3 if (group / "zarr.json").exists() else 2
    names = dict(zip(opened.sizes, _renamed(opened, grid), strict=True))
    axes: dict[str, tuple[str, ...]] = {}
    for name, data in grid.dataset.data_vars.items():
        stored = np.dtype(data.encoding.get("dtype", data.dtype))
        axis = tuple(names[dim] for dim in opened[name].dims)
        if sorted(axis) == sorted(map(str, data.dims)) and stored.kind in "biuf" and data.dtype.kind in "biuf":
            axes[str(name)] = axis
    return ZarrSource(group, version, axes)


def _renamed(opened: xr.Dataset, grid: Grid) -> list[str]:
    """Return the names that the dimensions of an opened group have in its grid."""
    found = {find_axis(opened, axis): axis for axis in ("time", "y", "x")}
    if grid.points:
        (held,) = {dim for dim in opened.sizes if found.get(dim) is None and str(dim) not in grid.dataset.dims} or {
            "point"
        }
        found[held] = "point"
    return [found.get(dim, str(dim)) for dim in opened.sizes]


def _is_consolidated(store: Path) -> bool:
    """Return True if the metadata of a whole Zarr store lie in one file."""
    root = store / "zarr.json"
    return (store / ".zmetadata").exists() or (
        root.exists() and bool(json.loads(root.read_text()).get("consolidated_metadata"))
    )
