"""Training, validation and test patches that share neither time nor ground, with a buffer between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepcube.cubes.errors import PlanError

Ints = NDArray[np.int64]

PARTS = ("train", "validation", "test")
"""Names of the parts, by their number."""


@dataclass(frozen=True)
class Partition:
    """Which part of the cube patches belong to, in time and in space.

    Time is cut into three periods, and the ground into square blocks that are dealt to the parts by the seed. A patch
    belongs to a part if all its steps lie in that part's period and all its pixels in that part's blocks; patches that
    straddle a border, or come nearer to one than the buffer, belong to none. So no pixel of training is nearer than the
    buffer to one of validation or test, and no step of training is nearer than the buffer to one of theirs: both the
    forecast of known places and the map of unknown ones are scored on what the model has not seen.

    Attributes
    ----------
    times : tuple of int
        First step of validation and of test.
    block : int
        Side of the spatial blocks in pixels.
    shares : tuple of float
        Shares of the blocks for training, validation and test.
    time_buffer, space_buffer : int
        Steps and pixels that are kept free on each side of a border between parts.
    seed : int
        Seed of the deal.
    """

    times: tuple[int, int]
    block: int
    shares: tuple[float, float, float] = (0.7, 0.15, 0.15)
    time_buffer: int = 0
    space_buffer: int = 0
    seed: int = 0

    def blocks(self, shape: Sequence[int]) -> Ints:
        """Return the part of every spatial block.

        Parameters
        ----------
        shape : sequence of int
            Shape of the cube along time, y and x.

        Returns
        -------
        numpy.ndarray of int, shape (blocks along y, blocks along x)
            0 for training, 1 for validation, 2 for test.

        Raises
        ------
        PlanError
            If there are too few blocks for every part to get one.
        """
        rows, columns = (-(-size // self.block) for size in shape[1:])
        total = rows * columns
        counts = np.floor(np.asarray(self.shares) / sum(self.shares) * total).astype(int)
        counts[np.asarray(self.shares) > 0] = np.maximum(counts[np.asarray(self.shares) > 0], 1)
        counts[0] = total - counts[1:].sum()
        if counts[0] < 1:
            raise PlanError(
                f"Blocks of {self.block} pixels cut {tuple(shape[1:])} pixels into {total}; expected at least one for "
                "each part. Use smaller blocks."
            )
        parts = np.repeat(np.arange(3), counts)
        return np.random.default_rng(self.seed).permutation(parts).reshape(rows, columns)

    def assign(self, starts: Ints, size: Sequence[int], shape: Sequence[int]) -> Ints:
        """Return the part of every patch.

        Parameters
        ----------
        starts : numpy.ndarray of int, shape (n, 3)
            First indices along time, y and x.
        size, shape : sequence of int
            Shape of patches and of the cube.

        Returns
        -------
        numpy.ndarray of int, shape (n,)
            0 for training, 1 for validation, 2 for test, -1 for none.
        """
        starts = np.asarray(starts, dtype=np.int64)
        in_time = self._periods(starts[:, 0], size[0])
        in_space = self._ground(starts[:, 1:], size[1:], shape)
        return np.where(in_time == in_space, in_time, -1)

    def _periods(self, first: Ints, length: int) -> Ints:
        bounds = np.array([0, *self.times, np.iinfo(np.int64).max])
        begin = np.searchsorted(bounds, first - self.time_buffer, side="right") - 1
        end = np.searchsorted(bounds, first + length - 1 + self.time_buffer, side="right") - 1
        return np.where(np.maximum(begin, 0) == end, end, -1)

    def _ground(self, corner: Ints, extent: Sequence[int], shape: Sequence[int]) -> Ints:
        dealt = self.blocks(shape)
        limits = np.array(dealt.shape) - 1
        low = np.clip((corner - self.space_buffer) // self.block, 0, limits)
        high = np.clip((corner + np.asarray(extent) - 1 + self.space_buffer) // self.block, 0, limits)
        # Sums over rectangles of blocks tell how many of each part a patch touches (summed-area table).
        parts = np.full(len(corner), -1, dtype=np.int64)
        area = np.prod(high - low + 1, axis=1)
        for part in range(3):
            table = np.pad(np.cumsum(np.cumsum(dealt == part, axis=0), axis=1), ((1, 0), (1, 0)))
            (r0, c0), (r1, c1) = low.T, high.T + 1
            inside = table[r1, c1] - table[r0, c1] - table[r1, c0] + table[r0, c0]
            parts[inside == area] = part
        return parts
