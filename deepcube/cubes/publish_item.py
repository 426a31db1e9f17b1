"""The STAC item of a published cube, with the datacube extension for every grid."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyproj
import pystac
from pystac.extensions.datacube import DatacubeExtension, Dimension
from pystac.extensions.datacube import Variable as StacVariable

from deepcube.cubes.model import WGS84, Cube, Grid
from deepcube.cubes.steps import regular_step
from deepcube.cubes.variables import describe

ITEM = "item.json"
"""Name of the STAC item."""

DATA = "cube.zarr"
"""Name of the Zarr store."""

QUICKLOOKS = "quicklook"
"""Folder of the pictures."""

MEDIA_TYPE = "application/vnd+zarr; version=3"
"""Media type of the assets that are Zarr."""


def make_item(cube: Cube, title: str, licence: str, created: datetime, pictures: Sequence[str]) -> dict[str, Any]:
    """Return the STAC item of a cube.

    Parameters
    ----------
    cube : Cube
        The published copy.
    title, licence : str
        As published.
    created : datetime
        When.
    pictures : sequence of str
        Names of the quick-looks; the first is the thumbnail.

    Returns
    -------
    dict
        The item with an asset ``data`` for the store and one ``grid-NAME`` for every grid, which has
        ``cube:dimensions`` and ``cube:variables``.
    """
    times = [grid.times for grid in cube.grids if "time" in grid.dataset.dims]
    first = min((each[0] for each in times), default=None)
    last = max((each[-1] for each in times), default=None)
    box = _bounds(cube)
    item = pystac.Item(
        id=cube.name,
        geometry=None if box is None else _rectangle(box),
        bbox=None if box is None else list(box),
        datetime=created if first is None else None,
        start_datetime=None if first is None else first.to_pydatetime(),
        end_datetime=None if last is None else last.to_pydatetime(),
        properties={"title": title, "license": licence, "created": created.isoformat(), "simulated": cube.simulated},
    )
    item.add_asset("data", pystac.Asset(f"./{DATA}", title=title, media_type=MEDIA_TYPE, roles=["data"]))
    for grid in cube.grids:
        asset = pystac.Asset(f"./{DATA}/{grid.name}", title=f"grid {grid.name}", media_type=MEDIA_TYPE, roles=["data"])
        item.add_asset(f"grid-{grid.name}", asset)
        DatacubeExtension.ext(asset, add_if_missing=True).apply(_dimensions(grid), _variables(grid))
    for number, name in enumerate(pictures):
        roles = ["thumbnail"] if number == 0 else ["overview"]
        item.add_asset(Path(name).stem, pystac.Asset(f"./{QUICKLOOKS}/{name}", media_type="image/png", roles=roles))
    result: dict[str, Any] = item.to_dict(include_self_link=False)
    return result


def read_item(path: Path) -> tuple[str, Path | None]:
    """Return the name of the cube that an item describes, and where its store lies.

    Links are not followed; the store is None if the item names none on this machine.
    """
    item = pystac.Item.from_dict(pystac.StacIO.default().read_json(str(path)))
    asset = item.assets.get("data")
    if asset is None or "://" in asset.href:
        return item.id, None
    data = (path.parent / asset.href).resolve()
    return item.id, data if data.is_relative_to(path.parent.resolve()) else None


def _bounds(cube: Cube) -> tuple[float, float, float, float] | None:
    """Return west, south, east, north of all grids in degrees, None if no grid has a place on Earth."""
    found = []
    for grid in cube.grids:
        if grid.crs is not None:
            change = pyproj.Transformer.from_crs(grid.crs, WGS84, always_xy=True)
            found.append(change.transform_bounds(*grid.extent))
    if not found:
        return None
    west, south, east, north = (np.array(side) for side in zip(*found, strict=True))
    return float(west.min()), float(south.min()), float(east.max()), float(north.max())


def _rectangle(box: tuple[float, float, float, float]) -> dict[str, Any]:
    west, south, east, north = box
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [corners]}


def _dimensions(grid: Grid) -> dict[str, Dimension]:
    dimensions: dict[str, dict[str, Any]] = {}
    reference = None if grid.crs is None else (grid.crs.to_epsg() or grid.crs.to_wkt())
    west, south, east, north = grid.extent
    for axis, extent in (("x", [west, east]), ("y", [south, north])):
        dimensions[axis] = {"type": "spatial", "axis": axis, "extent": extent}
        if grid.resolution is not None:
            dimensions[axis]["step"] = grid.resolution[1 if axis == "x" else 0]
        if reference is not None:
            dimensions[axis]["reference_system"] = reference
    if "time" in grid.dataset.dims:
        times = grid.times
        dimensions["time"] = {"type": "temporal", "extent": [_stamp(times[0]), _stamp(times[-1])]}
        step = regular_step(times, tolerance=0.0)
        dimensions["time"]["step"] = None if step is None else step.isoformat()
    if grid.points:
        dimensions["point"] = {"type": "other", "extent": [0, grid.shape[0] - 1]}
    return {name: Dimension.from_dict(value) for name, value in dimensions.items()}


def _variables(grid: Grid) -> dict[str, StacVariable]:
    found = {}
    for name, data in grid.dataset.data_vars.items():
        variable = describe(grid.name, data)
        properties = {"dimensions": list(variable.dims), "type": "data", "description": variable.long_name}
        if variable.units:
            properties["unit"] = variable.units
        found[str(name)] = StacVariable({**properties, "deepcube:kind": variable.kind})
    return found


def _stamp(time: pd.Timestamp) -> str:
    return f"{time.isoformat()}Z"
