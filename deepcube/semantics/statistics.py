"""Least and greatest value of every chunk, kept beside a cube, so that chunks that cannot match are not read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepcube.semantics.arrays import Array

_FOLDER = ".statistics"


@dataclass(frozen=True)
class ChunkStatistics:
    """Least and greatest value of every chunk of a variable.

    Attributes
    ----------
    least, greatest : numpy.ndarray of float64, shape (chunks in time, in y, in x)
        NaN for a chunk without values.
    """

    least: NDArray[np.float64]
    greatest: NDArray[np.float64]

    def may_hold(self, operator: str, constant: float) -> NDArray[np.bool_]:
        """Return for every chunk whether one of its values may satisfy a comparison.

        Parameters
        ----------
        operator : {"<", "<=", ">", ">=", "="}
            Of the comparison.
        constant : float
            What values are compared with.
        """
        with np.errstate(invalid="ignore"):
            if operator == "<":
                return self.least < constant
            if operator == "<=":
                return self.least <= constant
            if operator == ">":
                return self.greatest > constant
            if operator == ">=":
                return self.greatest >= constant
            return (self.least <= constant) & (self.greatest >= constant)


def compute_statistics(array: Array, progress: Callable[[], None] | None = None) -> ChunkStatistics:
    """Read a variable once and return the statistics of its chunks.

    Parameters
    ----------
    array : Array
        The variable.
    progress : callable, optional
        Called after every chunk.
    """
    counts = tuple(-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True))
    least, greatest = np.full(counts, np.nan), np.full(counts, np.nan)
    for index in np.ndindex(*counts):
        block = tuple(
            slice(i * c, min((i + 1) * c, n)) for i, c, n in zip(index, array.chunks, array.shape, strict=True)
        )
        values = array.finish(array.start((block[0], block[1], block[2])))
        valid = values[~np.isnan(values)] if np.issubdtype(values.dtype, np.floating) else values
        if valid.size:
            least[index], greatest[index] = float(valid.min()), float(valid.max())
        if progress is not None:
            progress()
    return ChunkStatistics(least, greatest)


def write_statistics(source: str, grid: str, name: str, array: Array, statistics: ChunkStatistics) -> Path:
    """Write statistics beside a cube, whole or not at all, and return the file."""
    path = _path(source, grid, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        mark = _fingerprint(source, grid, name, array)
        np.savez(file, least=statistics.least, greatest=statistics.greatest, fingerprint=np.array(mark))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return path


def read_statistics(source: str, grid: str, name: str, array: Array) -> ChunkStatistics | None:
    """Return the statistics beside a cube; None if there are none or the cube was written since."""
    path = _path(source, grid, name)
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as held:
        if str(held["fingerprint"]) != _fingerprint(source, grid, name, array):
            return None
        return ChunkStatistics(held["least"], held["greatest"])


def _path(source: str, grid: str, name: str) -> Path:
    return Path(source.rstrip("/") + _FOLDER) / f"{grid.replace('/', '~')}~{name}.npz"


def _fingerprint(source: str, grid: str, name: str, array: Array) -> str:
    """Return a digest of what changes when an array is written: its shape, and names, sizes and times of its files."""
    path = Path(source)
    folder = path / name if grid == "main" else path / grid / name
    digest = hashlib.sha256(repr((array.shape, array.chunks, str(array.dtype))).encode())
    if path.is_file() or not folder.is_dir():
        state = path.stat()
        digest.update(f"{state.st_size} {state.st_mtime_ns}".encode())
        return digest.hexdigest()
    entries = []
    for root, _, files in os.walk(folder):
        for file in files:
            state = Path(root, file).stat()
            entries.append(f"{root}/{file} {state.st_size} {state.st_mtime_ns}".removeprefix(str(folder)))
    digest.update("\n".join(sorted(entries)).encode())
    return digest.hexdigest()
