"""Quick-look pictures of a cube."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from deepcube.cubes.model import Cube, slug
from deepcube.cubes.variables import describe

LARGEST = 512
"""Pixels along the longer side of what is drawn; larger images are thinned out, so little is read."""


def quick_looks(cube: Cube, folder: Path, *, largest: int = LARGEST) -> list[Path]:
    """Draw a variable of every grid: its first one with rows and columns, in the middle of the time axis.

    Parameters
    ----------
    cube : Cube
        The cube.
    folder : pathlib.Path
        Folder to make.
    largest : int
        Pixels along the longer side.

    Returns
    -------
    list of pathlib.Path
        One picture per grid that can be drawn.
    """
    folder.mkdir()
    made = []
    for grid in cube.grids:
        names = [str(name) for name, data in grid.dataset.data_vars.items() if {"y", "x"} <= set(data.dims)]
        if names:
            path = folder / f"{slug(grid.name)}.png"
            _draw(
                _image(grid.dataset[names[0]], largest), describe(grid.name, grid.dataset[names[0]]).units, cube, path
            )
            made.append(path)
    return made


def _image(data: xr.DataArray, largest: int) -> xr.DataArray:
    """Return one image of a variable: of five times spread over the axis, that with most valid pixels."""
    stride = max(1, -(-max(data.sizes["y"], data.sizes["x"]) // largest))
    image = data.isel(y=slice(None, None, stride), x=slice(None, None, stride))
    others = {dim: 0 for dim in image.dims if dim not in ("time", "y", "x")}
    image = image.isel(others)
    if "time" in image.dims:
        places = np.unique(np.linspace(0, image.sizes["time"] - 1, 5).round().astype(int))
        images = [image.isel(time=int(place)).load() for place in places]
        return max(images, key=lambda each: (int(each.notnull().sum()), float(each.std() > 0)))
    return image.load()


def _draw(image: xr.DataArray, units: str, cube: Cube, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # no window, no global state
    from matplotlib.figure import Figure

    values = image.to_numpy().astype(float)
    x, y = (image[axis].to_numpy().astype(float) for axis in ("x", "y"))
    figure = Figure(figsize=(6, 5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, [2, 98]) if known.size else (0.0, 1.0)
    order = values[::-1] if y[0] > y[-1] else values
    extent = (x.min(), x.max(), y.min(), y.max()) if len(x) > 1 and len(y) > 1 else None
    mesh = axes.imshow(order, origin="lower", extent=extent, vmin=low, vmax=max(high, low + 1e-12), cmap="viridis")
    figure.colorbar(mesh, label=f"{image.name} ({units or 'no unit'})", shrink=0.8)
    date = f", {np.datetime_as_string(image['time'].to_numpy(), 'D')}" if "time" in image.coords else ""
    axes.set_title(f"{cube.name}{date}" + (" (simulated)" if cube.simulated else ""))
    figure.savefig(path, metadata={"Software": None})
