"""A layer: one variable that can be drawn, step by step, whatever it is read from."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from itertools import count
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepcube.atlas.errors import NotThereError, StoppedError
from deepcube.atlas.placement import Placement
from deepcube.cubes import Cube, Grid, Variable
from deepcube.cubes.arrays import coding_of, context, stored_array
from deepcube.cubes.levels import LARGE_CELLS

Floats = NDArray[np.floating[Any]]
Stop = Callable[[], bool]
"""Tells whether the client has left, so that work for it can end."""

FRAME_CELLS = LARGE_CELLS
"""Largest image that is read whole and kept; larger ones are read in windows."""

FRAME_BYTES = 192 << 20
"""Memory for images that were read."""

CHUNK_BYTES = 96 << 20
"""Memory for chunks of larger images."""

_NUMBERS = count()  # of layers: one that is opened anew shares no images with the one before


def nobody_left() -> bool:
    """Say that the client is still there."""
    return False


class Layer(Protocol):
    """One variable as the atlas draws it."""

    variable: Variable
    placement: Placement
    attrs: dict[Any, Any]

    @property
    def times(self) -> pd.DatetimeIndex | None:
        """Times of the steps; None where the variable does not vary in time."""

    def read(self, step: int, window: tuple[slice, slice], thin: int = 1, stop: Stop = nobody_left) -> Floats:
        """Return every ``thin``-th value of a window of one step, shape (rows, columns); NaN at gaps."""

    def series(self, row: int, column: int, steps: slice, stop: Stop = nobody_left) -> Floats:
        """Return the values of one cell at some steps; NaN at gaps."""


class FrameStore:
    """Images that were read, up to a number of bytes, the least recently used ones forgotten first.

    Parameters
    ----------
    limit : int
        Bytes.
    """

    def __init__(self, limit: int = FRAME_BYTES) -> None:
        self._limit = limit
        self._held: OrderedDict[Any, Floats] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._making: dict[Any, threading.Lock] = {}

    def get(self, key: Any, read: Callable[[], Floats]) -> Floats:
        """Return an image; of several threads that ask for one that is not there, one reads it."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._held:
                    return self._held[key]
            try:
                frame = read()
            finally:
                with self._lock:
                    self._making.pop(key, None)
            with self._lock:
                self._held[key] = frame
                self._bytes += frame.nbytes
                while self._bytes > self._limit and len(self._held) > 1:
                    self._bytes -= self._held.popitem(last=False)[1].nbytes
        return frame


class CubeLayer:
    """A variable of a cube.

    Local Zarr is read by tensorstore, chunk by chunk and in parallel; everything else through xarray, one reader at a
    time, as the NetCDF libraries want it.

    Parameters
    ----------
    cube : Cube
        An opened cube.
    key : str
        Name of the variable in ``cube.variables``.
    frames : FrameStore
        Where images are kept.
    placement : Placement
        Where its grid lies.

    Raises
    ------
    NotThereError
        If the variable has no rows and columns.
    """

    def __init__(self, cube: Cube, key: str, frames: FrameStore, placement: Placement) -> None:
        self.variable: Variable = cube.variables[key]
        if not {"y", "x"} <= set(self.variable.dims):
            raise NotThereError(f"Variable {key!r} has dimensions {', '.join(self.variable.dims)}; expected y and x.")
        self.placement = placement
        self._grid: Grid = cube.grid_of(key)
        self._data = cube[key]
        self.attrs = dict(self._data.attrs)
        self._frames = frames
        self._number = next(_NUMBERS)
        self._reading = threading.Lock()
        self._coding = coding_of(self._data)
        self.levels: dict[int, Any] = {}  # coarser copies by factor; see :mod:`deepcube.cubes.levels`

    @property
    def sizes(self) -> dict[str, int]:
        """Lengths of the dimensions."""
        return {str(dim): int(size) for dim, size in self._data.sizes.items()}

    @property
    def chunks(self) -> dict[str, int]:
        """Lengths of a stored chunk by dimension; nothing for data that are not stored in chunks."""
        sizes = self._data.encoding.get("chunks") or self._data.encoding.get("preferred_chunks")
        if isinstance(sizes, dict):
            return {str(dim): int(sizes[dim]) for dim in self._data.dims if dim in sizes}
        return {} if sizes is None else dict(zip(self.sizes, map(int, sizes), strict=True))

    @cached_property
    def _array(self) -> Any:
        return stored_array(self._grid, self.variable.name, context(cache_bytes=CHUNK_BYTES))

    @property
    def times(self) -> pd.DatetimeIndex | None:
        """Times of the steps; None where the variable does not vary in time."""
        return self._grid.times if "time" in self.variable.dims else None

    @property
    def others(self) -> dict[str, int]:
        """Further dimensions and their lengths; the first of each is drawn."""
        return {str(dim): int(size) for dim, size in self._data.sizes.items() if dim not in ("time", "y", "x")}

    def read(self, step: int, window: tuple[slice, slice], thin: int = 1, stop: Stop = nobody_left) -> Floats:
        """Return every ``thin``-th value of a window of one step.

        Parameters
        ----------
        step : int
            Position on the time axis; ignored where there is none.
        window : tuple of slice
            Rows and columns.
        thin : int
            Rows and columns from one value to the next; where there is a coarser copy, means over them.
        stop : callable
            Asked before reading.

        Returns
        -------
        numpy.ndarray of float, shape (rows, columns)
            NaN at gaps.
        """
        if stop():
            raise StoppedError("the client has left")
        rows, columns = self.placement.shape
        if rows * columns <= FRAME_CELLS:
            frame = self._frames.get((self._number, step), lambda: self._values(step, slice(None), slice(None)))
            return frame[window[0], window[1]][::thin, ::thin]
        factor = max((factor for factor in self.levels if thin % factor == 0), default=1)
        if factor > 1:
            down, across = (slice(each.start // factor, -(-each.stop // factor), thin // factor) for each in window)
            return np.asarray(self.levels[factor][step, down, across].read().result())
        tall = max(thin, FRAME_CELLS // max(1, window[1].stop - window[1].start) // thin * thin)
        parts = []
        for top in range(window[0].start, window[0].stop, tall):  # never more than a frame in memory at once
            if stop():
                raise StoppedError("the client has left")
            part = slice(top, min(top + tall, window[0].stop), thin)
            parts.append(self._values(step, part, slice(window[1].start, window[1].stop, thin)))
        return np.concatenate(parts)

    def series(self, row: int, column: int, steps: slice, stop: Stop = nobody_left) -> Floats:
        """Return the values of one cell.

        Parameters
        ----------
        row, column : int
            The cell.
        steps : slice
            Positions on the time axis.
        stop : callable
            Asked before reading.

        Returns
        -------
        numpy.ndarray of float, shape (steps,)
            NaN at gaps; one value where the variable does not vary in time.
        """
        if stop():
            raise StoppedError("the client has left")
        return self._values(steps, slice(row, row + 1), slice(column, column + 1)).reshape(-1)

    def _values(self, step: int | slice, rows: slice, columns: slice) -> Floats:
        """Read values as floats, gaps as NaN."""
        where = {"time": step, "y": rows, "x": columns}
        index = tuple(where.get(str(dim), 0) for dim in self._data.dims)
        if self._array is not None:
            stored = np.asarray(self._array[index].read().result())
            stored = self._turned(stored, step)
            out = np.empty(stored.shape, np.float64 if stored.dtype.itemsize > 4 else np.float32)
            self._coding.decode(stored, out)
            return out
        with self._reading:
            chosen = self._data.isel(dict(zip(self._data.dims, index, strict=True))).to_numpy()
        values = self._turned(np.asarray(chosen), step)
        return values.astype(np.float32 if values.dtype.itemsize <= 4 else np.float64, copy=False)

    def _turned(self, values: NDArray[Any], step: int | slice) -> NDArray[Any]:
        """Put dimensions into the order time, y, x."""
        left = [dim for dim in self._data.dims if dim in ("y", "x") or (dim == "time" and isinstance(step, slice))]
        return values.transpose([left.index(dim) for dim in ("time", "y", "x") if dim in left])


def title_of(variable: Variable) -> str:
    """Return the name of a variable as people read it."""
    return re.sub(r"\s+", " ", variable.long_name.replace("_", " ")).strip() or variable.name
