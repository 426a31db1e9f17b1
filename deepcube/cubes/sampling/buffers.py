"""Memory that is used again once nobody looks at it.

Fresh memory costs a page fault for every 4 kB, which for patches of a few MB is as much work as decoding them.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SMALL = 256 << 10
"""Arrays of fewer bytes come from the allocator, which reuses those by itself."""

_TRIES = 8
"""Buffers that are looked at before a new one is made."""


class Buffers:
    """Uninitialised arrays, in memory of earlier ones that are no longer referred to.

    Parameters
    ----------
    dtype : numpy.dtype
        Type of the arrays.
    limit : int
        Most bytes to keep.
    """

    def __init__(self, dtype: np.dtype[Any], limit: int) -> None:
        self._dtype = dtype
        self._limit = limit
        self._kept = 0
        self._pools: dict[int, deque[NDArray[Any]]] = {}

    def take(self, shape: Sequence[int]) -> NDArray[Any]:
        """Return an array with any content that nobody else holds."""
        size = math.prod(shape)
        if size * self._dtype.itemsize < _SMALL:
            return np.empty(shape, self._dtype)
        pool = self._pools.setdefault(size, deque())
        for _ in range(min(_TRIES, len(pool))):
            memory = pool.popleft()
            pool.append(memory)
            # Referred to by the deque, by `memory` and by the call; a view of it would be one more.
            if sys.getrefcount(memory) == 3:
                return memory.reshape(shape)
        memory = np.empty(size, self._dtype)
        if self._kept + memory.nbytes <= self._limit:
            pool.append(memory)
            self._kept += memory.nbytes
        return memory.reshape(shape)
