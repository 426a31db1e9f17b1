"""Coarser copies of large cubes, so that a view of a whole image reads a few chunks instead of all.

::

    CUBE.zarr
    CUBE.zarr.levels/
    ├── levels.json             what they were made from; without it, or of another cube, they are not used
    └── GRID/VARIABLE/FACTOR    Zarr v3 arrays of float32: every FACTOR-th row and column, or means over them

Quantities are means over what is not a gap; classes are those in the middle of each block: a mean of classes is none.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepcube.atlas.layers import FRAME_CELLS, CubeLayer, Floats
from deepcube.cubes import Cube
from deepcube.cubes.arrays import create_array, open_array

ENDING = ".levels"
"""What the name of the folder of levels adds to that of the cube."""

DESCRIPTION = "levels.json"
"""Written last: what the levels were made from."""

SMALLEST = 512
"""Rows and columns at which no coarser level is made."""

_CHUNK = 512
_BAND = 2048  # rows that are read at once

Progress = Callable[[int, int], None]
"""Told the images done and all images."""


def levels_folder(source: str) -> Path:
    """Return where the levels of a cube lie."""
    path = Path(source)
    return path.with_name(path.name + ENDING)


def fingerprint(cube: Cube) -> str:
    """Return what changes when a cube is written again: times of change of its metadata."""
    root = Path(cube.source)
    found = [path for path in (root, root / "zarr.json", root / ".zmetadata", root / ".zgroup") if path.exists()]
    return " ".join(f"{path.name}:{path.stat().st_mtime_ns}" for path in found)


def factors(rows: int, columns: int) -> list[int]:
    """Return by how much the levels of a grid are coarser, each twice the one before."""
    found, factor = [], 2
    while max(rows, columns) / (factor / 2) > SMALLEST:
        found.append(factor)
        factor *= 2
    return found


def large(layers: Mapping[str, Any]) -> dict[str, CubeLayer]:
    """Return the layers whose images are too large to be read whole for every view."""
    return {
        name: layer
        for name, layer in layers.items()
        if isinstance(layer, CubeLayer) and layer.placement.shape[0] * layer.placement.shape[1] > FRAME_CELLS
    }


def build_levels(cube: Cube, layers: dict[str, CubeLayer], progress: Progress | None = None) -> Path:
    """Write the levels of some variables of a cube; they count once all are there.

    Parameters
    ----------
    cube : Cube
        A cube on this machine's disk.
    layers : dict of str to CubeLayer
        Its variables.
    progress : callable, optional
        Told the images done and all images.

    Returns
    -------
    pathlib.Path
        Folder of the levels.
    """
    folder = levels_folder(cube.source)
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    counts = {name: 1 if layer.times is None else len(layer.times) for name, layer in layers.items()}
    done, total = 0, sum(counts.values())
    for name, layer in layers.items():
        rows, columns = layer.placement.shape
        arrays = _create(part / _place(layer), counts[name], rows, columns, factors(rows, columns))
        for step in range(counts[name]):
            for factor, level in _coarser(layer, step, rows, columns):
                arrays[factor][step].write(level).result()
            done += 1
            if progress is not None:
                progress(done, total)
    (part / DESCRIPTION).write_text(json.dumps({"of": fingerprint(cube), "variables": sorted(layers)}))
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)
    return folder


def open_levels(cube: Cube, layer: CubeLayer) -> dict[int, Any]:
    """Return the levels of a variable by factor; none where there are none, or of another state of the cube."""
    folder = levels_folder(cube.source)
    try:
        described = json.loads((folder / DESCRIPTION).read_text())
    except (OSError, ValueError):
        return {}
    place = folder / _place(layer)
    if not isinstance(described, dict) or described.get("of") != fingerprint(cube) or not place.is_dir():
        return {}
    return {int(path.name): open_array(path, "zarr3") for path in place.iterdir() if path.name.isdecimal()}


def _place(layer: CubeLayer) -> Path:
    """Return the folder of a variable: names from data are spelt in letters that no file system minds."""
    return Path(*(part.encode().hex() for part in (layer.variable.grid, layer.variable.name)))


def _create(place: Path, steps: int, rows: int, columns: int, wanted: list[int]) -> dict[int, Any]:
    found = {}
    for factor in wanted:
        shape = (steps, -(-rows // factor), -(-columns // factor))
        chunks = (1, min(_CHUNK, shape[1]), min(_CHUNK, shape[2]))
        dims = ("time", "y", "x")
        found[factor] = create_array(
            place / str(factor), shape, chunks, None, np.dtype(np.float32), dims, None, {"factor": factor}
        )
    return found


def _coarser(layer: CubeLayer, step: int, rows: int, columns: int) -> Iterator[tuple[int, Floats]]:
    """Return the levels of one image, each from the one before; the finest in bands, as it may be large."""
    classes = layer.variable.kind == "categorical"
    wanted = factors(rows, columns)
    if not wanted:
        return
    bands = []
    for top in range(0, rows, _BAND):
        band = slice(top, min(top + _BAND, rows)), slice(0, columns)
        bands.append(halved(layer.read(step, band), classes))
    level = np.concatenate(bands)
    for factor in wanted:
        if factor > 2:
            level = halved(level, classes)
        yield factor, level


def halved(values: Floats, classes: bool) -> NDArray[np.float32]:
    """Return an image of half as many rows and columns, rounded up.

    Parameters
    ----------
    values : numpy.ndarray of float, shape (rows, columns)
        NaN at gaps.
    classes : bool
        Whether values are classes: of two by two, the last is taken.

    Returns
    -------
    numpy.ndarray of float32
        Means of two by two without gaps; NaN where all are gaps.
    """
    padded = np.pad(values, [(0, size % 2) for size in values.shape], constant_values=np.nan)
    if classes:
        padded = np.pad(values, [(0, size % 2) for size in values.shape], mode="edge")
        return padded[1::2, 1::2].astype(np.float32)
    blocks = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2)
    valid = np.isfinite(blocks)
    total = np.where(valid, blocks, 0).sum(axis=(1, 3))
    with np.errstate(invalid="ignore"):
        return (total / valid.sum(axis=(1, 3))).astype(np.float32)
