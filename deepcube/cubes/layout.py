"""How arrays are cut: chunk shapes, shards that hold chunks, and blocks that respect both."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from deepcube.cubes.errors import CubeError

Layout = Literal["patch", "map", "series"]
"""What reads are to be fast: patches of space and time, whole images of one time, or whole series of few pixels."""

CHUNK_BYTES = 1 << 20
"""Size of a decoded chunk that layouts aim at: large enough for the disk, small enough for a cache."""

SHARD_BYTES = 64 << 20
"""Size of a shard (decoded) that layouts aim at."""

MANY_CHUNKS = 4096
"""Arrays of more chunks than this are sharded, so that a cube is not a million small files."""


def chunk_shape(
    sizes: Mapping[str, int], dims: Sequence[str], itemsize: int, layout: Layout | Mapping[str, int] = "patch"
) -> tuple[int, ...]:
    """Return the chunk shape of a variable.

    Parameters
    ----------
    sizes : mapping of str to int
        Size of every dimension.
    dims : sequence of str
        Dimensions of the variable.
    itemsize : int
        Bytes of a value.
    layout : {"patch", "map", "series"} or mapping of str to int
        What reads are to be fast, or chunk sizes by dimension; a dimension without one is not cut.

    Returns
    -------
    tuple of int
        Chunk size by dimension, at most the size of the dimension. Variables of one grid get the same sizes along the
        dimensions that they share, whatever their type, so that the chunks of a patch are aligned across variables.

    Raises
    ------
    CubeError
        If the layout or a chunk size is not one.
    """
    if isinstance(layout, Mapping):
        wrong = {dim: size for dim, size in layout.items() if int(size) < 1}
        if wrong:
            raise CubeError(f"Found chunk sizes {wrong}; expected whole numbers from 1.")
        wanted = {dim: int(layout.get(dim, sizes[dim])) for dim in dims}
    elif layout == "map":
        side = math.isqrt(4 * CHUNK_BYTES // 4)
        wanted = {dim: side if dim in ("y", "x", "point") else 1 for dim in dims}
    elif layout == "series":
        side = 32 if "point" not in dims else 1024
        wanted = {dim: side if dim in ("y", "x", "point") else sizes[dim] for dim in dims}
        longest = 16 * CHUNK_BYTES // (4 * side * (side if "point" not in dims else 1))
        wanted = {dim: min(size, longest) if dim == "time" else size for dim, size in wanted.items()}
    elif layout == "patch":
        wanted = {dim: 64 if dim in ("y", "x") else 4096 if dim == "point" else 32 for dim in dims}
    else:
        raise CubeError(f"Found the layout {layout!r}; expected 'patch', 'map', 'series' or chunk sizes by dimension.")
    return tuple(max(1, min(wanted[dim], sizes[dim])) for dim in dims)


def shard_shape(shape: Sequence[int], chunks: Sequence[int], itemsize: int) -> tuple[int, ...] | None:
    """Return the shape of shards for an array of very many chunks, else None.

    Parameters
    ----------
    shape, chunks : sequence of int
        Shape of the array and of its chunks.
    itemsize : int
        Bytes of a value.

    Returns
    -------
    tuple of int or None
        A multiple of the chunk shape of about :data:`SHARD_BYTES`, grown along the axis of most chunks first.
    """
    counts = [math.ceil(size / chunk) for size, chunk in zip(shape, chunks, strict=True)]
    if math.prod(counts) <= MANY_CHUNKS:
        return None
    factors = [1] * len(counts)
    while math.prod(chunks) * math.prod(factors) * itemsize * 2 <= SHARD_BYTES:
        left = [count / factor for count, factor in zip(counts, factors, strict=True)]
        axis = int(np.argmax(left))
        if left[axis] <= 1:
            break
        factors[axis] *= 2
    return tuple(chunk * factor for chunk, factor in zip(chunks, factors, strict=True))


def blocks(shape: Sequence[int], step: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Yield slices that cover an array in steps, last dimension fastest; blocks at the end are smaller."""
    ranges = [range(0, size, by) for size, by in zip(shape, step, strict=True)]
    for starts in itertools.product(*ranges):
        yield tuple(slice(a, min(a + by, size)) for a, by, size in zip(starts, step, shape, strict=True))


def block_step(shape: Sequence[int], unit: Sequence[int], itemsize: int, budget: int) -> tuple[int, ...]:
    """Return the largest block of whole units within a budget.

    Parameters
    ----------
    shape : sequence of int
        Shape of the array.
    unit : sequence of int
        Blocks are multiples of this, for example of the shards that are written.
    itemsize : int
        Bytes of a value, of all variables together.
    budget : int
        Bytes that a block may hold; a single unit may exceed it.

    Returns
    -------
    tuple of int
        Grown from the last dimension to the first, as the arrays lie in memory.
    """
    step = [min(u, size) for u, size in zip(unit, shape, strict=True)]
    for axis in reversed(range(len(step))):
        rest = math.prod(step) // step[axis] * itemsize
        fits = max(1, budget // (rest * unit[axis])) * unit[axis]
        step[axis] = min(max(fits, step[axis]), shape[axis])
        if step[axis] < shape[axis]:
            break
    return tuple(step)


def common_multiple(first: Sequence[int], second: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """Return the smallest block, at most the whole array, that both chunk shapes divide."""
    return tuple(min(math.lcm(a, b), size) for a, b, size in zip(first, second, shape, strict=True))
