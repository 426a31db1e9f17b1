"""NetCDF files and Zarr stores, with one grid per group."""

import json
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from deepcube.cubes.conventions import is_simulated, to_grid
from deepcube.cubes.errors import NotACubeError
from deepcube.cubes.model import Grid

Engine = Literal["netcdf4", "h5netcdf", "zarr"]
"""Library that reads a store: netCDF-C for classic NetCDF, h5py for HDF5, zarr-python for Zarr v2 and v3."""


def open_store(path: Path, engine: Engine, crs: Any = None) -> tuple[list[Grid], bool]:
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
    grids : list of Grid
        One per group, lazily opened: fill values, scale factors and offsets are applied when values are read.
    simulated : bool
        Whether the attributes of the root say that the data are simulated.

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
    grids, problems = [], []
    for name, dataset in held.items():
        where = path.name if len(held) == 1 else f"{path.name}{name}"
        try:
            grids.append(to_grid(dataset, name.strip("/") or "main", where, crs))
        except NotACubeError as error:  # a group of tables beside the grids is no reason to refuse the grids
            problems.append(error)
    if not grids:
        raise problems[0]
    return grids, is_simulated(groups["/"].attrs)


def _is_consolidated(store: Path) -> bool:
    """Return True if the metadata of a whole Zarr store lie in one file."""
    root = store / "zarr.json"
    return (store / ".zmetadata").exists() or (
        root.exists() and bool(json.loads(root.read_text()).get("consolidated_metadata"))
    )
