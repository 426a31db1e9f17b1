"""Several NetCDF files as one cube: files of the same grid and variables follow each other in time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from deepcube.cubes.errors import NotACubeError
from deepcube.cubes.model import Grid, Opened, slug
from deepcube.cubes.stores import Engine, open_store
from deepcube.cubes.validate import check_times


def open_netcdfs(files: Mapping[Path, Engine], crs: Any = None) -> Opened:
    """Open NetCDF files as one cube.

    Parameters
    ----------
    files : mapping of pathlib.Path to {"netcdf4", "h5netcdf"}
        Two or more files and what reads them.
    crs : any that pyproj understands, optional
        Coordinate reference system to use instead of the ones in the files.

    Returns
    -------
    Opened
        One grid for every set of files with the same axes and variables, joined along time (lazily, by dask); files
        that differ become grids of their own, named after the files.

    Raises
    ------
    NotACubeError
        If a file is damaged, or static files repeat each other.
    TimeAxisError
        If times of files that belong together overlap.
    """
    families: dict[tuple[Any, ...], list[tuple[Path, Grid]]] = {}
    attrs: dict[str, Any] = {}
    notes: list[str] = []
    for path, engine in files.items():
        opened = open_store(path, engine, crs)
        attrs = {**opened.attrs, **attrs}
        notes += [note for note in opened.notes if note not in notes]
        for grid in opened.grids:
            families.setdefault(_family(grid), []).append((path, grid))
    names = _names([[path for path, _ in members] for members in families.values()])
    grids = [_joined(name, members) for name, members in zip(names, families.values(), strict=True)]
    if len(grids) == 1:
        grids = [Grid("main", grids[0].dataset, grids[0].crs)]
    return Opened(grids, attrs, notes)


def _family(grid: Grid) -> tuple[Any, ...]:
    """Return what files that follow each other in time have in common."""
    axes = [np.asarray(grid.dataset[axis].values, dtype=float).tobytes() for axis in ("y", "x")]
    held = tuple(sorted((str(v), data.dims, str(data.attrs.get("units", ""))) for v, data in grid.dataset.items()))
    return (grid.name, str(grid.crs), *axes, held, "time" in grid.dataset.dims)


def _joined(name: str, members: list[tuple[Path, Grid]]) -> Grid:
    if len(members) == 1:
        return Grid(name, members[0][1].dataset, members[0][1].crs)
    static = [path.name for path, grid in members if "time" not in grid.dataset.dims]
    if static:
        raise NotACubeError(f"{', '.join(static)} hold the same static variables; expected each once. Drop the copies.")
    ordered = sorted(members, key=lambda member: member[1].times[0])
    joined = xr.concat(
        [grid.dataset.chunk() for _, grid in ordered], "time", data_vars="minimal", coords="minimal", compat="override"
    )
    check_times(pd.DatetimeIndex(joined["time"].to_index()), " + ".join(path.name for path, _ in ordered[:3]))
    return Grid(name, joined, ordered[0][1].crs)


def _names(families: list[list[Path]]) -> list[str]:
    """Name families of files by what their names have in common and those of other families do not."""
    stems = [slug(_common_start([path.stem for path in family]) or family[0].stem) for family in families]
    return [stem if stems.count(stem) == 1 else f"{stem}_{i}" for i, stem in enumerate(stems)]


def _common_start(texts: list[str]) -> str:
    short = min(texts, key=len)
    return next((short[:i] for i in range(len(short), 0, -1) if all(text.startswith(short[:i]) for text in texts)), "")
