"""One variable, read box by box: as jobs for threads, each of which fills its part of an array."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

from deepcube.cubes.arrays import coding_of, stored_array
from deepcube.cubes.chunk_files import ChunkFiles, chunk_files
from deepcube.cubes.copying import source_chunks
from deepcube.cubes.errors import NotACubeError
from deepcube.cubes.model import Grid

DIMS = ("time", "y", "x")

Job = Callable[[], None]
"""Reads a part of a box and writes its physical values where they belong."""

Box = tuple[slice, ...]


class Source:
    """One variable with time, y and x.

    Plain chunks go from their files to where they belong (:mod:`deepcube.cubes.chunk_files`); other Zarr arrays are
    read by tensorstore, anything else by xarray.

    Parameters
    ----------
    grid : Grid
        Grid of the variable.
    name : str
        Its name there.
    dtype : numpy.dtype
        Floating type of the values to deliver.
    using : tensorstore.Context
        Limits of tensorstore.

    Attributes
    ----------
    chunks : tuple of int
        Shape in which values are stored together.
    """

    def __init__(self, grid: Grid, name: str, dtype: np.dtype[Any], using: ts.Context) -> None:
        self.name = name
        self._data = grid.dataset[name]
        self._array = stored_array(grid, name, using)
        self._files = None if self._array is None else chunk_files(self._array)
        self._coding = coding_of(self._data)
        encoding = self._data.encoding
        known = self._array is not None or encoding.get("preferred_chunks") or self._data.chunks is not None
        self.chunks: tuple[int, ...] = source_chunks(grid, name) if known else (1, 1, 1)
        self._same = self._coding.plain and self._files is not None and self._files.dtype == dtype
        self._scratch = threading.local()

    def jobs(self, box: Box, out: NDArray[Any]) -> Iterator[Job]:
        """Yield what is to be done to read a box; jobs may run in any order and at the same time.

        Parameters
        ----------
        box : tuple of slice
            What to read.
        out : numpy.ndarray
            Array of the shape of the box.
        """
        if self._files is None:
            yield partial(self._read, box, out)
            return
        ranges = [range(part.start // c, -(-part.stop // c)) for part, c in zip(box, self.chunks, strict=True)]
        for index in itertools.product(*ranges):
            yield partial(self._decode, self._files, index, box, out)

    def _decode(self, files: ChunkFiles, index: tuple[int, ...], box: Box, out: NDArray[Any]) -> None:
        inside, target = [], []
        for i, size, part in zip(index, files.chunk, box, strict=True):
            low, high = max(i * size, part.start), min((i + 1) * size, part.stop)
            inside.append(slice(low - i * size, high - i * size))
            target.append(slice(low - part.start, high - part.start))
        place = out[tuple(target)]
        if self._same and place.shape == files.chunk and place.flags.c_contiguous:
            files.read(index, place)
            return
        if not hasattr(self._scratch, "values"):
            self._scratch.values = np.empty(files.chunk, files.dtype)
        files.read(index, self._scratch.values)
        self._coding.decode(self._scratch.values[tuple(inside)], place)

    def _read(self, box: Box, out: NDArray[Any]) -> None:
        if self._array is None:
            part = self._data.isel(dict(zip(DIMS, box, strict=True)))
            np.copyto(out, part.to_numpy(), casting="unsafe")
            return
        try:
            stored = np.asarray(self._array[box].read().result())
        except (ValueError, OSError) as error:
            raise NotACubeError(
                f"A chunk of {self.name} cannot be read ({error}). Check that the cube is complete."
            ) from error
        self._coding.decode(stored, out)
