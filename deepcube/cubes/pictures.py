"""Quick-look pictures of cubes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from deepcube.cubes.errors import NoValidDataError, UnknownVariableError
from deepcube.cubes.model import Cube

PIXELS = 1200
"""Most rows and columns of a picture: larger images are thinned."""


def quick_look(cube: Cube, path: Path, variable: str | None = None, time: Any = None) -> Path:
    """Draw one image and the series of its spatial mean.

    Parameters
    ----------
    cube : Cube
        The cube.
    path : pathlib.Path
        Picture to write; its ending chooses the format.
    variable : str, optional
        Variable to draw; by default the first quantity with rows and columns.
    time : anything that pandas understands as a date, optional
        The nearest time is drawn; by default, of up to nine spread over the axis, the one with the
        fewest gaps, and of equal ones that of the greatest spread.

    Returns
    -------
    pathlib.Path
        The picture.

    Raises
    ------
    UnknownVariableError
        If there is no such variable, or none to draw.
    NoValidDataError
        If there is nothing but gaps.
    """
    from matplotlib.figure import Figure

    name = variable or _first(cube)
    if name is None:
        raise UnknownVariableError(f"Cube {cube.name!r} has no variable with rows and columns to draw.")
    grid, described = cube.grid_of(name), cube.variables[name]
    data = cube[name]
    image, when = _image(data, time)
    if not np.isfinite(image).any():
        raise NoValidDataError(f"{name} has nothing but gaps {when or 'in its first image'}; choose another time.")
    timed = "time" in data.dims and data.sizes["time"] > 1 and described.kind != "categorical"
    figure = Figure(figsize=(8, 9 if timed else 7), layout="constrained")
    axes = figure.subplots(2 if timed else 1, 1, height_ratios=[3, 1] if timed else None, squeeze=False)[:, 0]
    low, high = np.nanpercentile(image, [2, 98])
    style: dict[str, Any] = {"cmap": "tab20" if described.kind == "categorical" else "viridis"}
    if described.kind != "categorical" and low < high:
        style |= {"vmin": low, "vmax": high}
    if grid.points:
        x, y = grid.dataset["x"].to_numpy(), grid.dataset["y"].to_numpy()
        shown = axes[0].scatter(x, y, c=image, s=8, **style)
        axes[0].set_aspect("equal")
    else:
        west, south, east, north = grid.extent
        rows, columns = grid.dataset["y"].to_numpy(), grid.dataset["x"].to_numpy()
        upright = image if len(rows) < 2 or rows[0] > rows[-1] else image[::-1]
        upright = upright if len(columns) < 2 or columns[0] < columns[-1] else upright[:, ::-1]
        shown = axes[0].imshow(upright, extent=(west, east, south, north), interpolation="nearest", **style)
    unit = f" ({described.units})" if described.units else ""
    figure.colorbar(shown, ax=axes[0], shrink=0.8, label=f"{described.long_name}{unit}")
    simulated = "SIMULATED  " if cube.simulated else ""
    axes[0].set_title(f"{simulated}{cube.name}: {name} {when}")
    axes[0].set_xlabel("x" if grid.crs is None else f"x, {grid.crs.name}")
    axes[0].set_ylabel("y")
    if timed:
        _series(axes[1], data, f"{described.long_name}{unit}")
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    figure.savefig(part, dpi=110)
    part.replace(path)
    return path


def _first(cube: Cube) -> str | None:
    """Return the variable to draw unasked: one with rows and columns, rather of quantities than of classes."""
    drawable = [name for name, held in cube.variables.items() if {"y", "x"} <= set(held.dims) or "point" in held.dims]
    quantities = [name for name in drawable if cube.variables[name].kind != "categorical"]
    return next(iter([*quantities, *drawable]), None)


def _image(data: xr.DataArray, time: Any) -> tuple[np.ndarray, str]:
    """Return one image of float, thinned, and when it is from."""
    thin = {d: slice(None, None, -(-n // PIXELS)) for d, n in data.sizes.items() if d in ("y", "x") and n > PIXELS}
    data = data.isel(thin)
    lead = [dim for dim in data.dims if dim not in ("time", "y", "x", "point")]
    data = data.isel(dict.fromkeys(lead, 0))
    if "time" not in data.dims:
        return data.to_numpy().astype(float), ""
    if time is not None:
        chosen = data.sel(time=pd.Timestamp(time), method="nearest")
        return chosen.to_numpy().astype(float), f"{pd.Timestamp(chosen['time'].item()):%Y-%m-%d}"
    candidates = np.unique(np.linspace(0, data.sizes["time"] - 1, 9).round().astype(int))
    images = {int(number): data.isel(time=int(number)).to_numpy().astype(float) for number in candidates}

    def worth(number: int) -> tuple[int, float]:
        seen = images[number][np.isfinite(images[number])]
        return seen.size, float(seen.std()) if seen.size else 0.0

    best = max(images, key=worth)
    return images[best], f"{pd.Timestamp(data['time'].to_numpy()[best]):%Y-%m-%d}"


def _series(axes: Any, data: xr.DataArray, label: str) -> None:
    """Draw the spatial mean over time, of at most about a thousand pixels spread over the grid."""
    from matplotlib.dates import ConciseDateFormatter

    others = [dim for dim in data.dims if dim != "time"]
    side = max(1, round(1000 ** (1 / max(1, len(others)))))
    thin = {dim: slice(None, None, -(-data.sizes[dim] // side)) for dim in others}
    steps = slice(None, None, -(-data.sizes["time"] // 400))
    sample = data.isel(thin | {"time": steps}).astype(float)
    axes.plot(sample["time"].to_numpy(), sample.mean(others).to_numpy(), lw=1)
    axes.set_ylabel("mean")
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))
    axes.set_title(f"mean over pixels: {label}", fontsize=9)
