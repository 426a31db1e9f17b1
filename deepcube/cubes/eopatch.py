"""Patches in the folder layout of eo-learn: one ``.npy`` file per feature, grouped by how it varies."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from deepcube.cubes.conventions import parse_crs
from deepcube.cubes.errors import NotACubeError
from deepcube.cubes.model import Grid
from deepcube.cubes.validate import check_dataset

_DIMS = {
    "data": ("time", "y", "x"),
    "mask": ("time", "y", "x"),
    "data_timeless": ("y", "x"),
    "mask_timeless": ("y", "x"),
    "scalar": ("time",),
}


def is_eopatch(path: Path) -> bool:
    """Return True if a folder has the files that make an eo-learn patch."""
    return (path / "bbox.geojson").is_file() and (path / "timestamps.json").is_file()


def open_eopatch(path: Path, crs: Any = None) -> list[Grid]:
    """Open an eo-learn patch; arrays are memory-mapped, never unpickled.

    Parameters
    ----------
    path : pathlib.Path
        Folder of the patch.
    crs : any that pyproj understands, optional
        Coordinate reference system to use instead of the one of the bounding box.

    Returns
    -------
    list of Grid
        One grid. Rows run from north to south. A feature of several channels becomes the variables ``NAME_0``,
        ``NAME_1``, ...; masks are categorical.

    Raises
    ------
    NotACubeError
        If the folder is damaged or features differ in size.
    TimeAxisError
        If the timestamps are unsorted or duplicated.
    """
    try:
        box = json.loads((path / "bbox.geojson").read_text())
        corners = np.asarray(box["coordinates"][0], dtype=float)
        stated = box.get("crs", {}).get("properties", {}).get("name", "EPSG:4326")
        stamps = json.loads((path / "timestamps.json").read_text())
        times = pd.to_datetime(stamps, utc=True, format="ISO8601").tz_localize(None)
        arrays = {
            file: np.load(file, mmap_mode="r", allow_pickle=False)
            for folder in _DIMS
            for file in sorted((path / folder).glob("*.npy"))
        }
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise NotACubeError(f"{path} is a damaged eo-learn patch ({error}). Check that it is complete.") from error
    variables = {
        name: array for file, values in arrays.items() for name, array in _channels(file, values, str(path)).items()
    }
    sizes = {(axis, size) for array in variables.values() for axis, size in array.sizes.items()}
    sizes |= {("time", len(times))}
    if len(sizes) != 3:
        raise NotACubeError(f"{path} has features of different sizes: {sorted(sizes)}; expected one size per axis.")
    size = dict(sizes)
    (west, south), (east, north) = corners.min(axis=0), corners.max(axis=0)
    coordinates = {
        "time": times,
        "y": north - (np.arange(size["y"]) + 0.5) * (north - south) / size["y"],
        "x": west + (np.arange(size["x"]) + 0.5) * (east - west) / size["x"],
    }
    dataset = xr.Dataset(variables, coordinates)
    check_dataset(dataset, str(path))
    return [Grid("main", dataset, parse_crs(stated if crs is None else crs))]


def _channels(file: Path, values: np.ndarray, where: str) -> dict[str, xr.DataArray]:
    """Split the trailing channel axis that every eo-learn feature has."""
    dims = _DIMS[file.parent.name]
    if values.ndim != len(dims) + 1:
        raise NotACubeError(f"{where}: {file.name} has shape {values.shape}; expected {(*dims, 'channel')}.")
    counts = "COUNT" in file.stem.upper()
    attrs = {"kind": "count" if counts else "categorical"} if file.parent.name.startswith("mask") else {}
    names = [file.stem] if values.shape[-1] == 1 else [f"{file.stem}_{i}" for i in range(values.shape[-1])]
    return {name: xr.DataArray(values[..., i], dims=dims, attrs=attrs) for i, name in enumerate(names)}
