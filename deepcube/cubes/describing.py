"""What is inside a cube, as plain data for people and programs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from deepcube.cubes.arrays import stored_array
from deepcube.cubes.copying import source_chunks
from deepcube.cubes.model import Cube, Grid
from deepcube.cubes.steps import regular_step
from deepcube.cubes.variables import Variable


def describe_cube(cube: Cube) -> dict[str, Any]:
    """Return what a cube holds; no values are read.

    Parameters
    ----------
    cube : Cube
        The cube.

    Returns
    -------
    dict
        ``name``, ``source``, ``simulated``, ``attrs``, ``notes`` and ``grids``, each with its CRS, shape, resolution,
        extent, sizes of all dimensions, times and variables; a variable has ``dims``, ``dtype``, ``units``, ``kind``,
        ``time`` (how its times are put together: ``"sum"``, ``"mean"``, ``"commonest"``; ``"static"`` without any),
        ``fill``, ``valid_range``, ``chunks`` and the number of chunks that are stored.
    """
    return {
        "name": cube.name,
        "source": cube.source,
        "simulated": cube.simulated,
        "attrs": {key: _plain(value) for key, value in cube.attrs.items()},
        "notes": list(cube.notes),
        "grids": [_grid(cube, grid) for grid in cube.grids],
    }


def step_name(times: pd.DatetimeIndex) -> str:
    """Return a word for the step of a time axis: ``"daily"``, ``"5-day"``, ``"monthly"``, ``"irregular"``, ..."""
    if len(times) < 2:
        return "one time"
    days = np.diff(times.to_numpy("datetime64[ns]").astype(np.int64)) / 86_400e9
    if days.min() >= 28 and days.max() <= 31:
        return "monthly"
    if days.min() >= 365 and days.max() <= 366:
        return "yearly"
    step = regular_step(times)
    if step is None:
        return f"irregular, {days.min():.3g} to {days.max():.3g} days"
    length = step / pd.Timedelta(days=1)
    if length < 1:
        return "hourly" if round(length * 24) == 1 else f"{length * 24:.3g}-hourly"
    about = "" if np.ptp(days) < 1e-6 else "about "
    return about + ("daily" if round(length, 3) == 1 else f"{length:.3g}-day")


def _grid(cube: Cube, grid: Grid) -> dict[str, Any]:
    timed = "time" in grid.dataset.dims
    return {
        "name": grid.name,
        "crs": None if grid.crs is None else grid.crs.to_string() if grid.crs.to_epsg() else grid.crs.name,
        "points": grid.points,
        "shape": list(grid.shape),
        "sizes": {str(dim): int(size) for dim, size in grid.dataset.sizes.items()},
        "resolution": None if grid.resolution is None else list(grid.resolution),
        "extent": list(grid.extent),
        "step": step_name(grid.times) if timed else "static",
        "times": len(grid.times) if timed else 0,
        "first": grid.times[0].isoformat() if timed else None,
        "last": grid.times[-1].isoformat() if timed else None,
        "dates": _dates(grid),
        "variables": [_variable(cube, grid, name) for name, held in cube.variables.items() if held.grid == grid.name],
    }


def _dates(grid: Grid) -> dict[str, list[str]]:
    """Return first and last of dates that are no time axis, such as those of interferograms."""
    found = {}
    for name, coordinate in grid.dataset.coords.items():
        if name != "time" and coordinate.dtype.kind == "M" and coordinate.size:
            dates = pd.DatetimeIndex(coordinate.to_numpy().ravel())
            found[str(name)] = [dates.min().isoformat(), dates.max().isoformat()]
    return found


def _variable(cube: Cube, grid: Grid, name: str) -> dict[str, Any]:
    variable = cube.variables[name]
    data = grid.dataset[variable.name]
    chunks = source_chunks(grid, variable.name)
    total = math.prod(math.ceil(size / chunk) for size, chunk in zip(data.shape, chunks, strict=True))
    stored = None
    array = stored_array(grid, variable.name)
    if array is not None and grid.stored is not None:
        folder = grid.stored.group / variable.name
        stored = sum(
            1 for file in folder.rglob("*") if file.is_file() and not file.name.startswith((".z", "zarr.json"))
        )
    return {
        "name": name,
        "long_name": variable.long_name,
        "dims": list(variable.dims),
        "shape": list(data.shape),
        "dtype": variable.dtype,
        "units": variable.units,
        "kind": variable.kind,
        "time": _over_time(variable),
        "fill": variable.fill,
        "valid_range": None if variable.valid_range is None else list(variable.valid_range),
        "chunks": list(chunks),
        "chunk_count": total,
        "stored_files": stored,
        "bytes": int(data.nbytes),
    }


def _over_time(variable: Variable) -> str:
    if "time" not in variable.dims:
        return "static"
    return "commonest" if variable.kind == "categorical" else "sum" if variable.accumulates else "mean"


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
