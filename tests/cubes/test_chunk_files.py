"""Chunks straight from their files: what tensorstore reads, and damage that is not passed on."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcube.cubes import NotACubeError
from deepcube.cubes.arrays import create_array, open_array
from deepcube.cubes.chunk_files import ChunkFiles, chunk_files

SHAPE = (7, 10, 9)


def make(path: Path, chunks: tuple[int, ...], shards: tuple[int, ...] | None, dtype: str, fill: Any) -> np.ndarray:
    """Store an array of which one corner was never written."""
    array = create_array(path, SHAPE, chunks, shards, np.dtype(dtype), "tyx", fill, {})
    values = np.random.default_rng(1).integers(0, 100, SHAPE).astype(dtype)
    half = tuple(slice(0, min(n, max(c, 4 // c * c))) for c, n in zip(shards or chunks, SHAPE, strict=True))
    array[half].write(values[half]).result()
    return np.asarray(array.read().result())


def whole(files: ChunkFiles) -> np.ndarray:
    """Put all chunks together."""
    out = np.empty(files.shape, files.dtype)
    for index in itertools.product(*(range(-(-n // c)) for n, c in zip(files.shape, files.chunk, strict=True))):
        chunk = np.empty(files.chunk, files.dtype)
        files.read(index, chunk)
        place = tuple(
            slice(i * c, min((i + 1) * c, n)) for i, c, n in zip(index, files.chunk, files.shape, strict=True)
        )
        out[place] = chunk[tuple(slice(0, part.stop - part.start) for part in place)]
    return out


@settings(max_examples=25, deadline=None)
@given(
    chunks=st.tuples(st.integers(1, 7), st.integers(1, 10), st.integers(1, 9)),
    factors=st.none() | st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    kind=st.sampled_from([("float32", None), ("float64", -1.0), ("int16", -5), ("uint8", 255), ("bool", None)]),
)
def test_chunks_are_those_that_tensorstore_reads(
    tmp_path_factory: pytest.TempPathFactory, chunks: Any, factors: Any, kind: tuple[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("c") / "a"
    shards = None if factors is None else tuple(c * f for c, f in zip(chunks, factors, strict=True))
    expected = make(path, chunks, shards, *kind)
    files = chunk_files(open_array(path, "zarr3"))
    assert files is not None and files.chunk == chunks
    np.testing.assert_array_equal(whole(files), expected)
    shutil.rmtree(path)


@pytest.mark.parametrize("shards", [None, (4, 4, 6)])
@pytest.mark.parametrize("damage", ["cut", "other", "short"])
def test_damage_is_an_error(tmp_path: Path, shards: Any, damage: str) -> None:
    make(tmp_path / "a", (2, 4, 3), shards, "float32", None)
    files = chunk_files(open_array(tmp_path / "a", "zarr3"))
    assert files is not None
    stored = tmp_path / "a/c/0/0/0"
    good = stored.read_bytes()
    stored.write_bytes({"cut": good[:-9], "other": b"text" * 20, "short": good[:3]}[damage])
    with pytest.raises(NotACubeError, match=r"Chunk 0/0/0 of .* cannot be read .*Check that the cube is complete"):
        files.read((0, 0, 0), np.empty((2, 4, 3), "f4"))


def test_a_chunk_of_another_size_is_an_error(tmp_path: Path) -> None:
    make(tmp_path / "a", (2, 4, 3), None, "float32", None)
    make(tmp_path / "b", (2, 4, 2), None, "float32", None)
    shutil.copy(tmp_path / "b/c/0/0/0", tmp_path / "a/c/0/0/0")
    files = chunk_files(open_array(tmp_path / "a", "zarr3"))
    assert files is not None
    with pytest.raises(NotACubeError, match="it holds 64 bytes, expected 96"):
        files.read((0, 0, 0), np.empty((2, 4, 3), "f4"))


@pytest.mark.parametrize(
    "options",
    [
        {"compressors": zarr.codecs.BloscCodec()},
        {"compressors": None},
        {"filters": [zarr.codecs.TransposeCodec(order=(2, 1, 0))]},
        {"serializer": zarr.codecs.BytesCodec(endian="big")},
        {"chunk_key_encoding": {"name": "v2", "separator": "."}},
        {"zarr_format": 2},
    ],
)
def test_other_arrays_are_left_to_tensorstore(tmp_path: Path, options: dict[str, Any]) -> None:
    zarr.create_array(tmp_path / "a", shape=SHAPE, chunks=(2, 4, 3), dtype="float32", **options)
    assert chunk_files(open_array(tmp_path / "a", "zarr" if "zarr_format" in options else "zarr3")) is None


def test_parts_and_turned_arrays_are_left_to_tensorstore(tmp_path: Path) -> None:
    make(tmp_path / "a", (2, 4, 3), None, "float32", None)
    array = open_array(tmp_path / "a", "zarr3")
    assert chunk_files(array) is not None
    assert chunk_files(array[2:]) is None and chunk_files(array[ts.d[0, 1].transpose[1, 0]]) is None
