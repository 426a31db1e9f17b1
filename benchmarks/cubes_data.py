"""A cube of six variables in three layouts, generated where it is needed: season, terrain and noise, simulated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from deepcube.cubes import Cube, CubeWriter, Grid

VARIABLES = ("ndvi", "lst", "precip", "sm", "vpd", "wind")
LAYOUTS = {
    "aligned": {"time": 30, "y": 64, "x": 64},
    "image": {"time": 1, "y": 512, "x": 512},
    "series": {"time": 365, "y": 32, "x": 32},
}


def make(folder: Path, layout: str, shape: tuple[int, int, int]) -> Path:
    """Return the path of the cube in one layout; an interrupted build goes on."""
    path = folder / f"{layout}-{'x'.join(map(str, shape))}.zarr"
    if path.exists():
        return path
    empty = np.broadcast_to(np.float32(0), shape)
    dataset = xr.Dataset(
        {name: (("time", "y", "x"), empty, {"units": "1"}) for name in VARIABLES},
        {
            "time": pd.date_range("2020-01-01", periods=shape[0]),
            "y": -30.0 * np.arange(shape[1]),
            "x": 30.0 * np.arange(shape[2]),
        },
    )
    cube = Cube("bench", (Grid("main", dataset, None),), "generated")
    attrs = {"simulated": True}
    writer = CubeWriter(path, cube.grids, attrs=attrs, layout=LAYOUTS[layout], together=False, block_bytes=1 << 40)
    with writer:
        for number, name in enumerate(VARIABLES):
            for block in writer.pending("main", name):
                writer.write("main", block, {name: _values(number, shape)})
    return path


def _values(number: int, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return one variable, rounded to 1/256, so that zstd gains something but not everything."""
    return np.concatenate(list(_slabs(number, shape)))


def _slabs(number: int, shape: tuple[int, int, int]) -> Iterator[NDArray[np.float32]]:
    generator = np.random.default_rng([7, number])
    season = np.sin(2 * np.pi * (np.arange(shape[0]) / 365 + number / 6)).astype("f4")[:, None, None]
    rows, columns = (np.linspace(0, 6, size, dtype="f4") for size in shape[1:])
    terrain = (np.sin(rows + number)[:, None] * np.cos(columns * 1.3)[None]).astype("f4")[None]
    for first in range(0, shape[0], 16):
        part = season[first : first + 16]
        noise = generator.normal(0, 0.1, (len(part), *shape[1:])).astype("f4")
        yield np.round((part * (1 + terrain) + terrain * 3 + noise) * 256) / 256
