"""The one place that reads values of cubes: blocks of an array, by its chunks, in physical units.

Values are what :func:`deepcube.cubes.open_cube` yields (scale factors and gaps applied). Plain Zarr arrays are read by
tensorstore, several chunks at once; everything else through xarray.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Block = tuple[slice, slice, slice]


class Array(Protocol):
    """A variable of a cube with dimensions ``(time, y, x)``, of one time if it is static.

    Attributes
    ----------
    shape : tuple of int
        ``(time, y, x)``.
    chunks : tuple of int
        What is read at once along each dimension.
    dtype : numpy.dtype
        Of the values that :meth:`read` returns.
    """

    shape: tuple[int, int, int]
    chunks: tuple[int, int, int]
    dtype: np.dtype[Any]

    def start(self, block: Block) -> Any:
        """Begin to read a block; hand what is returned to :meth:`finish`."""

    def finish(self, started: Any) -> NDArray[Any]:
        """Return the values of a block, shape ``(time, y, x)``; gaps are NaN."""


class XarrayArray:
    """A variable read through xarray."""

    def __init__(self, data: Any) -> None:
        self._static = "time" not in data.dims
        dims = ("y", "x") if self._static else ("time", "y", "x")
        self._data = data.transpose(*dims)
        shape = self._data.shape
        stored = self._data.encoding.get("chunksizes") or self._data.encoding.get("chunks")
        if not stored or len(stored) != len(shape):
            stored = shape if self._static else (1, *shape[1:])
        if self._static:
            shape, stored = (1, *shape), (1, *stored)
        self.shape = shape
        self.chunks = (
            min(int(stored[0]), shape[0]),
            min(int(stored[1]), shape[1]),
            min(int(stored[2]), shape[2]),
        )
        self.dtype = np.dtype(data.dtype)

    def start(self, block: Block) -> Any:
        """Return the lazily sliced variable."""
        time, y, x = block
        return self._data.isel(y=y, x=x) if self._static else self._data.isel(time=time, y=y, x=x)

    def finish(self, started: Any) -> NDArray[Any]:
        """Read the slice."""
        values = started.to_numpy()
        return values[None] if self._static else values


class TensorStoreArray:
    """A plain Zarr array, whose stored values are the physical ones, read by tensorstore."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._static = store.rank == 2
        shape = tuple(int(n) for n in store.shape)
        chunks = tuple(int(n) for n in store.chunk_layout.read_chunk.shape)
        if self._static:
            shape, chunks = (1, *shape), (1, *chunks)
        self.shape = (shape[0], shape[1], shape[2])
        self.chunks = (chunks[0], chunks[1], chunks[2])
        self.dtype = np.dtype(store.dtype.numpy_dtype)

    def start(self, block: Block) -> Any:
        """Begin to read a block in the background."""
        return self._store[block[1:] if self._static else block].read()

    def finish(self, started: Any) -> NDArray[Any]:
        """Wait for a block."""
        values = started.result()
        return values[None] if self._static else values


def open_array(source: str, grid: str, name: str, data: Any) -> Array:
    """Open a variable for reading by blocks.

    Parameters
    ----------
    source : str
        Path of the cube.
    grid, name : str
        Names of the grid and of the variable in it.
    data : xarray.DataArray
        The variable as :func:`deepcube.cubes.open_cube` yields it.

    Returns
    -------
    Array
        Read by tensorstore if what is stored is what xarray yields, else by xarray.
    """
    path = Path(source).resolve()  # tensorstore takes absolute paths only
    folder = path / name if grid == "main" else path / grid / name
    expected = ("y", "x") if "time" not in data.dims else ("time", "y", "x")
    encoding = data.encoding
    plain = (
        data.dims == expected
        and np.issubdtype(data.dtype, np.floating)
        and data.dtype == encoding.get("dtype", None)
        and not {"scale_factor", "add_offset"} & (set(encoding) | set(data.attrs))
        and all(_is_nan(encoding.get(key)) for key in ("_FillValue", "missing_value"))
    )
    driver = "zarr3" if (folder / "zarr.json").exists() else "zarr" if (folder / ".zarray").exists() else None
    if plain and driver is not None:
        import tensorstore

        store = tensorstore.open(
            {"driver": driver, "kvstore": {"driver": "file", "path": str(folder)}}, open=True, read=True
        ).result()
        if tuple(store.shape) == tuple(data.shape):
            return TensorStoreArray(store)
    return XarrayArray(data)


def _is_nan(value: Any) -> bool:
    return value is None or bool(np.isnan(value))
