"""The stored arrays of a Zarr group, read and written in parallel by tensorstore, and their coding.

Everything else sees physical values; this module is the one place that knows stored ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorstore as ts
import xarray as xr
from numpy.typing import NDArray

from deepcube.cubes.errors import NotACubeError
from deepcube.cubes.model import Grid


@dataclass(frozen=True)
class Coding:
    """How stored numbers become physical values: ``stored * scale + offset``, gaps where stored is the fill value.

    Attributes
    ----------
    fill : float or None
        Stored value of gaps; None where there is none, or where it is NaN and needs no decoding.
    scale, offset : float
        Linear packing.
    """

    fill: float | None = None
    scale: float = 1.0
    offset: float = 0.0

    @property
    def plain(self) -> bool:
        """True if stored and physical values are the same."""
        return self.fill is None and self.scale == 1.0 and self.offset == 0.0

    def decode(self, stored: NDArray[Any], out: NDArray[Any]) -> None:
        """Write the physical values of stored ones into an array of floats; gaps become NaN."""
        if self.scale == 1.0 and self.offset == 0.0:
            np.copyto(out, stored, casting="unsafe")
        else:
            np.multiply(stored, self.scale, out=out, casting="unsafe")
            out += out.dtype.type(self.offset)
        if self.fill is not None:
            out[stored == self.fill] = np.nan

    def encode(self, values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return stored numbers for physical values; integers are rounded, NaN becomes the fill value.

        Raises
        ------
        NotACubeError
            If an integer type has no fill value for the gaps, or values do not fit into it.
        """
        values = np.asarray(values)
        if self.plain and dtype == values.dtype:
            return values
        if dtype.kind not in "iu":
            packed = ((values - self.offset) / self.scale).astype(dtype, copy=False)
            return packed if self.fill is None else np.where(np.isnan(packed), dtype.type(self.fill), packed)
        gaps = np.isnan(values) if values.dtype.kind == "f" else np.zeros((), bool)
        if gaps.any() and self.fill is None:
            raise NotACubeError(
                f"Found gaps (NaN) in values to be stored as {dtype}, which has no fill value; expected a _FillValue "
                "in the encoding of the variable, or a floating type."
            )
        packed = values if self.scale == 1.0 and self.offset == 0.0 else (values - self.offset) / self.scale
        packed = np.where(
            gaps, 0 if self.fill is None else self.fill, np.rint(packed) if packed.dtype.kind == "f" else packed
        )
        limits = np.iinfo(dtype)
        if packed.size and (packed.min() < limits.min or packed.max() > limits.max):
            raise NotACubeError(
                f"Found values from {values[~gaps].min()} to {values[~gaps].max()}, packed {packed.min()} to "
                f"{packed.max()}; expected {limits.min} to {limits.max} for {dtype}. Choose a wider type or scale."
            )
        return packed.astype(dtype)


def coding_of(variable: xr.Variable | xr.DataArray) -> Coding:
    """Return the coding of a variable that xarray decoded, from its encoding."""
    encoding = variable.encoding
    fill = encoding.get("_FillValue", encoding.get("missing_value"))
    number = (
        None if fill is None or np.size(fill) != 1 or np.isnan(float(np.ravel(fill)[0])) else float(np.ravel(fill)[0])
    )
    return Coding(number, float(encoding.get("scale_factor", 1.0)), float(encoding.get("add_offset", 0.0)))


def context(threads: int | None = None, cache_bytes: int = 0) -> ts.Context:
    """Return a tensorstore context of its own.

    Parameters
    ----------
    threads : int, optional
        Threads that decode and read; by default those of the machine.
    cache_bytes : int
        Size of the cache of decoded chunks; 0 as the planner reads each chunk once.
    """
    spec: dict[str, Any] = {"cache_pool": {"total_bytes_limit": cache_bytes}}
    if threads is not None:
        spec |= {"data_copy_concurrency": {"limit": threads}, "file_io_concurrency": {"limit": threads}}
    return ts.Context(spec)


def stored_array(grid: Grid, variable: str, using: ts.Context | None = None) -> ts.TensorStore | None:
    """Return a variable's stored array, dimensions in the order of the grid; None if it is not a local Zarr array.

    Raises
    ------
    NotACubeError
        If the array cannot be opened.
    """
    source = grid.stored
    if source is None or variable not in source.axes:
        return None
    driver: Literal["zarr", "zarr3"] = "zarr3" if source.version == 3 else "zarr"
    try:
        array = open_array(source.group / variable, driver, using)
    except ValueError as error:
        raise NotACubeError(
            f"{source.group / variable} cannot be opened ({error}). Check that it is complete."
        ) from error
    dims = [str(dim) for dim in grid.dataset[variable].dims]
    order = [source.axes[variable].index(dim) for dim in dims]
    return array if order == sorted(order) else array[ts.d[tuple(order)].transpose[:]]


def open_array(path: Path, driver: Literal["zarr", "zarr3"], using: ts.Context | None = None) -> ts.TensorStore:
    """Open a stored Zarr array to read."""
    spec = {"driver": driver, "kvstore": {"driver": "file", "path": f"{path.resolve()}/"}}
    return ts.open(spec, context=using or context(), open=True, read=True).result()


def create_array(
    path: Path,
    shape: Sequence[int],
    chunks: Sequence[int],
    shards: Sequence[int] | None,
    dtype: np.dtype[Any],
    dims: Sequence[str],
    fill: float | bool | None,
    attrs: Mapping[str, Any],
    level: int = 3,
    using: ts.Context | None = None,
) -> ts.TensorStore:
    """Create a Zarr v3 array, compressed with zstd, or open the one that an interrupted build created alike.

    Parameters
    ----------
    path : pathlib.Path
        Folder of the array.
    shape, chunks : sequence of int
        Shape of the array and of its chunks.
    shards : sequence of int or None
        Shape of the shards, a multiple of the chunks.
    dtype : numpy.dtype
        Stored type.
    dims : sequence of str
        Names of the dimensions.
    fill : float, bool or None
        Value of chunks that are not there; None means NaN for floats and 0 otherwise.
    attrs : mapping
        Attributes of the array.
    level : int
        Level of zstd.
    using : tensorstore.Context, optional
        Context to open with.
    """
    bytes_codec: dict[str, Any] = {"name": "bytes"}
    if dtype.itemsize > 1:
        bytes_codec["configuration"] = {"endian": "little"}
    codecs: list[dict[str, Any]] = [bytes_codec, {"name": "zstd", "configuration": {"level": level, "checksum": False}}]
    if shards is not None:
        index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
        inner = {"chunk_shape": list(chunks), "codecs": codecs, "index_codecs": index, "index_location": "end"}
        codecs = [{"name": "sharding_indexed", "configuration": inner}]
    empty: Any = (float("nan") if dtype.kind == "f" else False if dtype.kind == "b" else 0) if fill is None else fill
    if dtype.kind in "iu":
        empty = int(empty)
    metadata = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [int(size) for size in shape],
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [int(c) for c in shards or chunks]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN" if isinstance(empty, float) and np.isnan(empty) else empty,
        "codecs": codecs,
        "dimension_names": list(dims),
        "attributes": json.loads(json.dumps(dict(attrs))),
    }
    spec: dict[str, Any] = {"driver": "zarr3", "metadata": metadata}
    spec["kvstore"] = {"driver": "file", "path": f"{path.resolve()}/"}
    spec["store_data_equal_to_fill_value"] = True  # so that a chunk that is not there is a chunk that was lost
    return ts.open(spec, context=using or context(), create=True, open=True, read=True, write=True).result()
