"""Coarser copies of large cubes, so that a view of a whole image reads a few chunks instead of all.

::

    CUBE.zarr
    CUBE.zarr.levels/
    ├── levels.json             what they were made from; without it, or of another cube, they are not used
    └── GRID/VARIABLE/FACTOR    Zarr v3 arrays of float32: every FACTOR-th row and column, or means over them

Quantities are means over what is not a gap; classes are those in the middle of each block: a mean of classes is none.
Publishing writes them for every large variable; :func:`build_levels` for any cube on this machine's disk.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepcube.cubes.arrays import coding_of, create_array, open_array, stored_array
from deepcube.cubes.model import Cube

LARGE_CELLS = 4_000_000
"""Rows times columns of the largest image that is read whole for every view; larger ones get levels."""

ENDING = ".levels"
"""What the name of the folder of levels adds to that of the cube."""

DESCRIPTION = "levels.json"
"""Written last: what the levels were made from."""

SMALLEST = 512
"""Rows and columns at which no coarser level is made."""

_CHUNK = 512
_BAND = 2048  # rows that are read at once
_PUBLISHED = "provenance.json"  # beside a published cube, which nobody writes again

Floats = NDArray[np.floating[Any]]

Progress = Callable[[int, int], None]
"""Told the images done and all images."""


def levels_folder(source: str) -> Path:
    """Return where the levels of a cube lie."""
    path = Path(source)
    return path.with_name(path.name + ENDING)


def fingerprint(cube: Cube) -> str:
    """Return what changes when a cube is written again: times of change of its metadata.

    Of a published cube, which may be copied but is never written again, it is the digest of where it comes from.
    """
    root = Path(cube.source)
    origin = root.parent / _PUBLISHED
    if origin.is_file():
        return f"published {hashlib.sha256(origin.read_bytes()).hexdigest()}"
    found = [path for path in (root, root / "zarr.json", root / ".zmetadata", root / ".zgroup") if path.exists()]
    return " ".join(f"{path.name}:{path.stat().st_mtime_ns}" for path in found)


def factors(rows: int, columns: int) -> list[int]:
    """Return by how much the levels of a grid are coarser, each twice the one before."""
    found, factor = [], 2
    while max(rows, columns) / (factor / 2) > SMALLEST:
        found.append(factor)
        factor *= 2
    return found


def large(cube: Cube) -> list[str]:
    """Return the variables whose images are too large to be read whole for every view."""
    return [
        key
        for key, variable in cube.variables.items()
        if {"y", "x"} <= set(variable.dims) and cube[key].sizes["y"] * cube[key].sizes["x"] > LARGE_CELLS
    ]


def build_levels(cube: Cube, keys: Sequence[str], progress: Progress | None = None) -> Path:
    """Write the levels of some variables of a cube; they count once all are there.

    Parameters
    ----------
    cube : Cube
        A cube on this machine's disk.
    keys : sequence of str
        Its variables, such as :func:`large` returns.
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
    counts = {key: int(cube[key].sizes.get("time", 1)) for key in keys}
    done, total = 0, sum(counts.values())
    for key in keys:
        rows, columns = cube[key].sizes["y"], cube[key].sizes["x"]
        arrays = _create(part / _place(cube, key), counts[key], rows, columns, factors(rows, columns))
        read = _reader(cube, key)
        for step in range(counts[key]):
            for factor, level in _coarser(read, step, rows, columns, cube.variables[key].kind == "categorical"):
                arrays[factor][step].write(level).result()
            done += 1
            if progress is not None:
                progress(done, total)
    part.mkdir(parents=True, exist_ok=True)
    (part / DESCRIPTION).write_text(json.dumps({"of": fingerprint(cube), "variables": sorted(keys)}))
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)
    return folder


def open_levels(cube: Cube, key: str) -> dict[int, Any]:
    """Return the levels of a variable by factor; none where there are none, or of another state of the cube."""
    folder = levels_folder(cube.source)
    try:
        described = json.loads((folder / DESCRIPTION).read_text())
    except (OSError, ValueError):
        return {}
    place = folder / _place(cube, key)
    if not isinstance(described, dict) or described.get("of") != fingerprint(cube) or not place.is_dir():
        return {}
    return {int(path.name): open_array(path, "zarr3") for path in place.iterdir() if path.name.isdecimal()}


def _place(cube: Cube, key: str) -> Path:
    """Return the folder of a variable: names from data are spelt in letters that no file system minds."""
    variable = cube.variables[key]
    return Path(*(part.encode().hex() for part in (variable.grid, variable.name)))


def _reader(cube: Cube, key: str) -> Callable[[int, slice], Floats]:
    """Return what reads some rows of one image, shape (rows, columns); NaN at gaps, the first of other dimensions."""
    data = cube[key]
    array, coding = stored_array(cube.grid_of(key), cube.variables[key].name), coding_of(data)
    left = [dim for dim in data.dims if dim in ("y", "x")]

    def read(step: int, rows: slice) -> Floats:
        where: dict[str, Any] = {"time": step, "y": rows, "x": slice(None)}
        index = tuple(where.get(str(dim), 0) for dim in data.dims)
        if array is None:
            values = data.isel(dict(zip(data.dims, index, strict=True))).transpose("y", "x").to_numpy()
            return values.astype(np.float32 if values.dtype.itemsize <= 4 else np.float64, copy=False)
        stored = np.asarray(array[index].read().result()).transpose([left.index(dim) for dim in ("y", "x")])
        out = np.empty(stored.shape, np.float64 if stored.dtype.itemsize > 4 else np.float32)
        coding.decode(stored, out)
        return out

    return read


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


def _coarser(
    read: Callable[[int, slice], Floats], step: int, rows: int, columns: int, classes: bool
) -> Iterator[tuple[int, Floats]]:
    """Return the levels of one image, each from the one before; the finest in bands, as it may be large."""
    wanted = factors(rows, columns)
    if not wanted:
        return
    level = np.concatenate(
        [halved(read(step, slice(top, min(top + _BAND, rows))), classes) for top in range(0, rows, _BAND)]
    )
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
    beyond = [(0, size % 2) for size in values.shape]
    if classes:
        return np.pad(values, beyond, mode="edge")[1::2, 1::2].astype(np.float32)
    padded = np.pad(values, beyond, constant_values=np.nan)
    blocks = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2)
    valid = np.isfinite(blocks)
    total = np.where(valid, blocks, 0).sum(axis=(1, 3))
    with np.errstate(invalid="ignore"):
        return (total / valid.sum(axis=(1, 3))).astype(np.float32)
