"""Which fault points a run visits: all of them, or a share that changes from day to day until all were visited."""

from __future__ import annotations

import os
import time
import zlib

_DAY_SECONDS = 86400


def rotation() -> int:
    """Return the number that chooses the share of a run: ``$DEEPCUBE_FAULT_ROTATION``, or the day."""
    return int(os.environ.get("DEEPCUBE_FAULT_ROTATION", int(time.time()) // _DAY_SECONDS))


def chosen(total: int, wanted: int | None, name: str) -> list[int]:
    """Return the points to visit.

    Parameters
    ----------
    total : int
        How many points there are; they are numbered from 1.
    wanted : int or None
        About how many to visit; None for all.
    name : str
        Different names start at different points on the same day.

    Returns
    -------
    list of int
        Every k-th point; over k days, each once.
    """
    stride = 1 if wanted is None else max(1, -(-total // wanted))
    offset = (rotation() + zlib.crc32(name.encode())) % stride
    return list(range(1 + offset, total + 1, stride))
