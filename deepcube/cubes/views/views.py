"""Any grid, region, period and step of a cube, computed when values are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import xarray as xr

from deepcube.cubes.copying import source_chunks
from deepcube.cubes.errors import ViewError
from deepcube.cubes.model import Cube, Grid
from deepcube.cubes.variables import describe
from deepcube.cubes.views.period import aggregate, steps_of
from deepcube.cubes.views.space import Method, regrid
from deepcube.cubes.views.target import Raster, Region, crop

PIECE_BYTES = 32 << 20
"""Size of the pieces in which a view is computed."""


def view(
    cube: Cube,
    *,
    variables: Sequence[str] | None = None,
    grid: str | Grid | Raster | float | None = None,
    region: Region | None = None,
    period: tuple[Any, Any] | None = None,
    step: str | pd.Timedelta | None = None,
    least: float = 0.5,
    methods: Mapping[str, Method] | None = None,
) -> Cube:
    """Return a cube on other pixels, of a part of the Earth, of a part of its time, or at coarser steps.

    Nothing is read before values are asked for. Classes are never averaged or interpolated; counts and depths of
    precipitation conserve their totals; states and rates are averaged; gaps stay gaps, and a pixel or step of which too
    little is valid becomes one.

    Parameters
    ----------
    cube : Cube
        The cube.
    variables : sequence of str, optional
        Variables to keep; by default all.
    grid : str, Grid, Raster or float, optional
        Pixels wanted: a grid of the cube by name, any grid, a :class:`Raster`, or the size of the pixels in units of
        each grid's own coordinate reference system. By default every variable keeps its pixels.
    region : tuple of float, optional
        West, south, east and north in WGS84 degrees; west > east goes across the dateline.
    period : tuple, optional
        First and last date, both included; a bound may be None.
    step : str or pandas.Timedelta, optional
        ``"month"``, ``"year"`` or a length such as ``"10D"``; not finer than the variables' own steps.
    least : float
        Share of a new pixel's area, and of a new step's times, that must be valid.
    methods : mapping of str to str, optional
        Method of regridding by variable, instead of the one of its kind.

    Returns
    -------
    Cube
        One grid if ``grid`` names pixels and all times agree, else one per grid of the cube.

    Raises
    ------
    UnknownVariableError
        If the cube lacks a variable.
    ViewError
        If what is asked for cannot be had.
    """
    if not 0.0 <= least <= 1.0:
        raise ViewError(f"Found {least} as least valid share; expected 0 to 1.")
    wanted = list(cube.variables) if variables is None else list(variables)
    for name in [*wanted, *(methods or {})]:
        cube.grid_of(name)
    target = _target(cube, grid, region)
    grids = []
    for source in cube.grids:
        held = {cube.variables[name].name: name for name in wanted if cube.variables[name].grid == source.name}
        if held:
            ways = {own: (methods or {})[name] for own, name in held.items() if name in (methods or {})}
            part = replace(source, dataset=source.dataset[list(held)])
            part = _in_time(part, period, step, least)
            grids.append(_in_space(part, target, region, grid, least, ways))
    return replace(cube, grids=tuple(_merged(grids) if isinstance(target, Raster) else grids))


def _target(cube: Cube, grid: str | Grid | Raster | float | None, region: Region | None) -> Raster | None:
    if isinstance(grid, str):
        grid = cube.grid(grid)
    if isinstance(grid, Grid):
        return Raster.of(grid if region is None else crop(grid, region))
    return grid if isinstance(grid, Raster) else None


def _in_time(grid: Grid, period: tuple[Any, Any] | None, step: str | pd.Timedelta | None, least: float) -> Grid:
    data = grid.dataset
    if "time" not in data.dims:
        return grid
    if period is not None:
        data = data.sel(time=slice(*(None if bound is None else pd.Timestamp(bound) for bound in period)))
        if data.sizes["time"] == 0:
            raise ViewError(
                f"No time of grid {grid.name!r}, {grid.times[0]} to {grid.times[-1]}, lies in the period {period}."
            )
    if step is None:
        return replace(grid, dataset=data, stored=None if period is not None else grid.stored)
    steps, expected = steps_of(pd.DatetimeIndex(data["time"].to_index()), step)
    changed = {
        str(name): aggregate(_pieces(grid, array), describe(grid.name, array), steps, expected, least)
        for name, array in data.data_vars.items()
        if "time" in array.dims
    }
    still = {str(name): array for name, array in data.data_vars.items() if "time" not in array.dims}
    return Grid(grid.name, xr.Dataset({**changed, **still}, attrs=data.attrs), grid.crs)


def _in_space(
    grid: Grid,
    target: Raster | None,
    region: Region | None,
    wanted: Any,
    least: float,
    methods: Mapping[str, Method],
) -> Grid:
    if target is None and region is not None:
        grid = crop(grid, region)
    if isinstance(wanted, int | float):
        source = Raster.of(grid)
        target = (
            Raster.regular(grid.extent, float(wanted), grid.crs) if source.crs is not None else _plain(grid, wanted)
        )
    if target is None:
        return grid
    source = Raster.of(grid)
    arrays = {}
    for name, array in grid.dataset.data_vars.items():
        if not {"y", "x"} <= set(array.dims):
            arrays[str(name)] = array
            continue
        variable = describe(grid.name, array)
        arrays[str(name)] = regrid(_pieces(grid, array), variable, source, target, least, methods.get(str(name)))
    return Grid(grid.name, xr.Dataset(arrays, attrs=grid.dataset.attrs), target.crs)


def _plain(grid: Grid, size: float) -> Raster:
    """Return pixels of a size for a grid without a coordinate reference system."""
    found = Raster.regular(grid.extent, size, "EPSG:3857")
    return Raster(found.y, found.x, None)


def _pieces(grid: Grid, data: xr.DataArray) -> xr.DataArray:
    """Return a variable cut along its first dimension, so that a view is computed piece by piece."""
    if data.chunks is not None or "time" not in data.dims:
        return data
    try:
        stored = source_chunks(grid, str(data.name))[data.dims.index("time")]
    except (KeyError, IndexError):
        stored = 1
    image = max(1, data.nbytes // max(1, data.sizes["time"]))
    count = max(1, PIECE_BYTES // image)
    length = max(stored, count // stored * stored)
    return data.chunk({"time": min(length, data.sizes["time"])})


def _merged(grids: list[Grid]) -> list[Grid]:
    """Return grids of the same pixels as one for each time axis; static variables join the first."""
    families: dict[tuple[int, ...] | None, list[Grid]] = {}
    for grid in grids:
        key = tuple(grid.times.asi8.tolist()) if "time" in grid.dataset.dims else None
        families.setdefault(key, []).append(grid)
    static = families.pop(None, []) if len(families) > 1 else []
    merged = []
    for number, members in enumerate(families.values()):
        parts = members + (static if number == 0 else [])
        names = [str(name) for part in parts for name in part.dataset.data_vars]
        twice = {name for name in names if names.count(name) > 1}
        named = [part.dataset.rename({n: f"{part.name}_{n}" for n in part.dataset if n in twice}) for part in parts]
        dataset = xr.merge(named, compat="override", join="override", combine_attrs="drop_conflicts")
        merged.append(Grid("main" if len(families) == 1 else parts[0].name, dataset, parts[0].crs))
    return merged
