"""Writing an opened cube as Zarr, and cutting it anew for other reads, in one pass of bounded memory.

Every stored chunk is decoded once and every new one encoded once. Where chunks of both cuts fit together into a block
within the memory budget, blocks go straight across. Where they do not (images to very long series), the decoded values
of one variable at a time go through a scratch file beside the new cube, which is written in the old order and read in
the new one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deepcube.cubes.arrays import coding_of, context, stored_array
from deepcube.cubes.errors import BuildError
from deepcube.cubes.layout import Layout, block_step, blocks, chunk_shape, common_multiple, shard_shape
from deepcube.cubes.model import Cube, Grid
from deepcube.cubes.stored_form import stored_type
from deepcube.cubes.writing import Block, CubeWriter, grid_dims

BUDGET = 512 << 20
"""Bytes of values that a pass holds at a time."""

Progress = Callable[[int, int], None]
"""Called with the parts that are done and all parts."""

Read = Callable[[Block], NDArray[Any]]
"""Returns the stored values of a variable in a block."""


def write_cube(
    cube: Cube,
    path: str | os.PathLike[str],
    *,
    layout: Layout | Mapping[str, int] = "patch",
    attrs: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    budget: int = BUDGET,
    progress: Progress | None = None,
) -> Path:
    """Write a cube as Zarr v3, one group per grid; an interrupted call resumes when it is repeated.

    Parameters
    ----------
    cube : Cube
        Any opened cube. Packed integers stay packed as they are.
    path : path
        Where the new cube shall lie.
    layout : {"patch", "map", "series"} or mapping of str to int
        What reads are to be fast, or chunk sizes by dimension; see :func:`deepcube.cubes.layout.chunk_shape`.
    attrs : mapping, optional
        Attributes that are added to those of the cube.
    overwrite : bool
        Replace a cube that is there, when the new one is complete.
    budget : int
        Bytes of values held at a time. Values of one stored and one new chunk are always held.
    progress : callable, optional
        Called after every part.

    Returns
    -------
    pathlib.Path
        The new cube.

    Raises
    ------
    BuildError
        If something is in the way, or the disk refuses; what is written already is kept.
    """
    target = Path(path)
    if Path(cube.source).resolve() == target.resolve():
        raise BuildError(f"{target} would be written from itself; choose another path.")
    held = {**cube.attrs, **(attrs or {}), **({"simulated": True} if cube.simulated else {})}
    for internal in ("deepcube_cube", "name", "Conventions", "complete"):
        held.pop(internal, None)
    align = {grid.name: _alignment(grid, layout, budget) for grid in cube.grids}
    writer = CubeWriter(
        target,
        cube.grids,
        attrs=held,
        layout=layout,
        overwrite=overwrite,
        block_bytes=budget // 2,
        align=align,
        together=False,
    )
    with writer:
        for grid in cube.grids:
            for name in map(str, grid.dataset.data_vars):
                _copy(writer, grid, name, budget, progress)
    return target


def source_chunks(grid: Grid, variable: str) -> tuple[int, ...]:
    """Return the shape in which values of a variable are stored together; the whole array where nothing is known."""
    data = grid.dataset[variable]
    array = stored_array(grid, variable)
    if array is not None:
        shape = array.chunk_layout.read_chunk.shape
        return data.shape if shape is None else tuple(c or n for c, n in zip(shape, data.shape, strict=True))
    if data.chunks is not None:
        return tuple(int(max(sizes)) for sizes in data.chunks)
    preferred = data.encoding.get("preferred_chunks") or {}
    return tuple(int(preferred.get(dim, size)) for dim, size in zip(data.dims, data.shape, strict=True))


def reader(grid: Grid, variable: str) -> Read:
    """Return a function that reads the stored values of a block, dimensions in the order of the grid's dataset."""
    array = stored_array(grid, variable, context())
    if array is not None:
        found = array
        return lambda block: np.asarray(found[block].read().result())
    data = grid.dataset[variable]
    coding, dtype = coding_of(data), stored_type(data)
    return lambda block: coding.encode(_load(data, block), dtype)


def _load(data: xr.DataArray, block: Block) -> NDArray[Any]:
    return np.asarray(data.isel(dict(zip(data.dims, block, strict=True))).to_numpy())


def _alignment(grid: Grid, layout: Layout | Mapping[str, int], budget: int) -> tuple[int, ...]:
    """Return the chunks to align blocks with: the stored ones where a common block fits into the budget."""
    dims = grid_dims(grid)
    sizes = {dim: grid.dataset.sizes[dim] for dim in dims}
    full = [str(name) for name, data in grid.dataset.data_vars.items() if set(data.dims) == set(dims)]
    if not full:
        return (1,) * len(dims)
    width = max(stored_type(grid.dataset[name]).itemsize for name in full)
    target = chunk_shape(sizes, dims, width, layout)
    unit = shard_shape(list(sizes.values()), target, width) or target
    stored = source_chunks(grid, full[0])
    block = common_multiple(unit, stored, list(sizes.values()))
    return tuple(stored) if math.prod(block) * width <= budget // 2 else (1,) * len(dims)


def _copy(writer: CubeWriter, grid: Grid, name: str, budget: int, progress: Progress | None) -> None:
    """Copy one variable, through a scratch file if the blocks to write cut the stored chunks."""
    todo = list(writer.pending(grid.name, name))
    if not todo:
        return
    read = reader(grid, name)
    scratch = writer.folder / f"{grid.name}.{name}.scratch"
    data = grid.dataset[name]
    values = None
    if _cuts(writer, grid, name, todo) and math.prod(data.shape) * stored_type(data).itemsize > budget // 2:
        values = _staged(scratch, data, read, source_chunks(grid, name), budget)
    elif _cuts(writer, grid, name, todo):
        values = read(tuple(slice(0, size) for size in data.shape))
    for block in todo:
        place = writer.block_of(grid.name, name, block)
        assert place is not None
        held = read(place) if values is None else np.asarray(values[place])
        writer.write(grid.name, block, {name: held}, stored=True)
        if progress is not None:
            progress(*writer.progress)
    del values
    scratch.unlink(missing_ok=True)


def _cuts(writer: CubeWriter, grid: Grid, name: str, todo: list[Block]) -> bool:
    """Return True if a block would read part of a stored chunk, which another block would then read again."""
    stored, shape = source_chunks(grid, name), grid.dataset[name].shape
    for block in todo:
        place = writer.block_of(grid.name, name, block)
        assert place is not None
        for part, chunk, size in zip(place, stored, shape, strict=True):
            if part.start % chunk or (part.stop % chunk and part.stop != size):
                return True
    return False


def _staged(path: Path, data: xr.DataArray, read: Read, stored: tuple[int, ...], budget: int) -> NDArray[Any]:
    """Return all stored values of a variable in a file that the system pages in and out."""
    dtype = stored_type(data)
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, math.prod(data.shape) * dtype.itemsize)  # full now, not half-way
    except OSError as error:
        path.unlink(missing_ok=True)
        raise BuildError(
            f"{path} needs {math.prod(data.shape) * dtype.itemsize / 1e9:.1f} GB of scratch space ({error}). Free "
            "space, or raise the memory budget."
        ) from error
    values: NDArray[Any] = np.memmap(path, dtype=dtype, mode="r+", shape=data.shape)
    step = block_step(data.shape, stored, dtype.itemsize, budget // 2)
    for block in blocks(data.shape, step):
        values[block] = read(block)
    return values
