"""Chunks of a plain Zarr v3 array, straight from their files into memory that is there already.

What this package writes is plain: whole numbers or floats, little-endian, compressed with zstd, in files of a chunk or
in shards. For those, all that a general reader finds out chunk by chunk is known beforehand; what is left is to read
and to decode, at the speed of zstd, by as many threads as there are. Any other array is left to tensorstore, which
reads these, too, with the same result.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import google_crc32c
import numpy as np
import tensorstore as ts
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from deepcube.cubes.errors import NotACubeError

_BYTES = ({"name": "bytes"}, {"name": "bytes", "configuration": {"endian": "little"}})
_INDEX = [_BYTES[1], {"name": "crc32c"}]
_ABSENT = 2**64 - 1
_MAGIC = 0xFD2FB528
_ZSTD = Zstd()
_INDEXES = 64
"""Indexes of shards that are remembered."""

Index = tuple[int, ...]
"""Position of a chunk: its number along every axis."""


@dataclass(frozen=True, eq=False)
class ChunkFiles:
    """The chunks of one stored array.

    Attributes
    ----------
    folder : str
        Folder of the array.
    shape, chunk : tuple of int
        Shape of the array and of a chunk (of those within shards, where there are).
    dtype : numpy.dtype
        Stored type.
    fill : float, int or bool
        Value of chunks that are not there.
    shards : tuple of int or None
        Chunks in a shard along every axis.
    """

    folder: str
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: Any
    shards: tuple[int, ...] | None = None
    _indexes: dict[Index, NDArray[np.uint64]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, index: Index, out: NDArray[Any]) -> None:
        """Decode a chunk.

        Parameters
        ----------
        index : tuple of int
            Position of the chunk.
        out : numpy.ndarray
            Contiguous array of the shape of a chunk and of the stored type. A chunk at the end of the array is whole,
            too; what lies outside the array has no meaning.

        Raises
        ------
        NotACubeError
            If the chunk is damaged or cannot be read.
        """
        try:
            stored = self._file(index) if self.shards is None else self._part(index, self.shards)
            if stored is None:
                out.fill(self.fill)
                return
            size = _content(stored)
            if size is not None and size != out.nbytes:
                raise ValueError(f"it holds {size} bytes, expected {out.nbytes}")
            _ZSTD.decode(stored, out)
        except (OSError, ValueError, RuntimeError) as error:
            raise NotACubeError(
                f"Chunk {'/'.join(map(str, index))} of {self.folder} cannot be read ({error}). Check that the cube is "
                "complete."
            ) from error

    def _file(self, index: Index) -> bytes | None:
        try:
            with open(f"{self.folder}/c/{'/'.join(map(str, index))}", "rb", buffering=0) as file:  # noqa: PTH123 (twice as fast)
                return file.read()
        except FileNotFoundError:
            return None

    def _part(self, index: Index, shards: tuple[int, ...]) -> bytes | None:
        shard = tuple(i // n for i, n in zip(index, shards, strict=True))
        inner = tuple(i % n for i, n in zip(index, shards, strict=True))
        try:
            held = os.open(f"{self.folder}/c/{'/'.join(map(str, shard))}", os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            begin, size = self._index(held, shard, shards)[inner].tolist()
            if begin == _ABSENT and size == _ABSENT:
                return None
            return os.pread(held, size, begin)
        finally:
            os.close(held)

    def _index(self, held: int, shard: Index, shards: tuple[int, ...]) -> NDArray[np.uint64]:
        """Return offset and length in bytes of all chunks of a shard, one more axis than the array has."""
        with self._lock:
            known = self._indexes.get(shard)
        if known is not None:
            return known
        size = 16 * int(np.prod(shards))
        end = os.fstat(held).st_size
        stored = os.pread(held, size + 4, max(0, end - size - 4))
        if len(stored) != size + 4 or google_crc32c.value(stored[:size]) != int.from_bytes(stored[size:], "little"):
            raise ValueError("the index of its shard is damaged")
        found = np.frombuffer(stored[:size], "<u8").reshape(*shards, 2)
        with self._lock:
            while len(self._indexes) >= _INDEXES:
                self._indexes.pop(next(iter(self._indexes)))
            self._indexes[shard] = found
        return found


def chunk_files(array: ts.TensorStore) -> ChunkFiles | None:
    """Return the chunk files of an opened array, or None if it is not plain (see the module) or not as it is stored.

    Parameters
    ----------
    array : tensorstore.TensorStore
        A whole array on the local disk, opened with the driver ``zarr3``.
    """
    spec = array.spec().to_json()
    metadata = spec.get("metadata", {})
    if (
        spec.get("driver") != "zarr3"
        or spec["kvstore"].get("driver") != "file"
        or "output" in spec.get("transform", {})
    ):
        return None
    encoding = metadata.get("chunk_key_encoding", {})
    if encoding.get("name") != "default" or encoding.get("configuration", {}).get("separator", "/") != "/":
        return None
    chunk = tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"])
    codecs, shards = metadata["codecs"], None
    if len(codecs) == 1 and codecs[0]["name"] == "sharding_indexed":
        inner = codecs[0]["configuration"]
        if inner.get("index_codecs") != _INDEX or inner.get("index_location", "end") != "end":
            return None
        whole, chunk, codecs = chunk, tuple(inner["chunk_shape"]), inner["codecs"]
        shards = tuple(n // c for n, c in zip(whole, chunk, strict=True))
    shape = tuple(array.shape)
    if not _plain(codecs) or metadata["shape"] != list(shape) or not shape:
        return None
    dtype = array.dtype.numpy_dtype
    if dtype.kind not in "biuf":
        return None
    return ChunkFiles(spec["kvstore"]["path"].rstrip("/"), shape, chunk, dtype, array.fill_value, shards)


def _plain(codecs: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether values are stored as they lie in memory, compressed with zstd and nothing else."""
    return len(codecs) == 2 and codecs[0] in _BYTES and codecs[1]["name"] == "zstd"


def _content(frame: bytes) -> int | None:
    """Return the size of what a zstd frame holds, None where its header does not say (RFC 8878, section 3.1.1.1).

    numcodecs decodes a frame that holds less than expected without a word.
    """
    if len(frame) < 6 or int.from_bytes(frame[:4], "little") != _MAGIC:
        raise ValueError("it is not compressed with zstd")
    descriptor = frame[4]
    kind, single, dictionary = descriptor >> 6, descriptor >> 5 & 1, (0, 1, 2, 4)[descriptor & 3]
    begin = 5 + (0 if single else 1) + dictionary
    if kind == 0 and not single:
        return None
    code, width = (("<B", 1), ("<H", 2), ("<I", 4), ("<Q", 8))[kind]
    if len(frame) < begin + width:
        raise ValueError("it is cut off")
    (size,) = struct.unpack_from(code, frame, begin)
    return int(size) + 256 if kind == 1 else int(size)
