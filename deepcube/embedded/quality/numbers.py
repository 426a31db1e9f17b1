"""Descriptive statistics of numbers in memory: the numpy part of :mod:`deepcube.embedded.quality.profile`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# Squares of values outside overflow or vanish, so they are scaled first.
_SAFE = (1e-150, 1e150)

Json = dict[str, Any]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


def scale_of(low: float, high: float) -> float:
    """Return what to divide numbers by so that their squares neither overflow nor vanish; usually 1.

    Parameters
    ----------
    low, high : float
        Smallest and largest of the numbers.
    """
    size = max(abs(low), abs(high))
    return 1.0 if size == 0 or _SAFE[0] < size < _SAFE[1] else float(size)


def finite(value: float) -> float | None:
    """Return a number, or None if JSON cannot carry it."""
    return value if math.isfinite(value) else None


def summarise(ordered: npt.NDArray[Any], bins: int = 0) -> Json:
    """Describe sorted, finite numbers.

    Parameters
    ----------
    ordered : array of shape (n,)
        Integers or doubles, ascending.
    bins : int
        Bins of the histogram; none if 0.

    Returns
    -------
    dict
        ``min``, ``max``, ``sum``, ``mean``, ``stdDev`` (of the population), ``percentiles`` (1st to 100th) and
        ``histogram``; empty for no numbers.
    """
    if len(ordered) == 0:
        return {}
    low, high = ordered[0].item(), ordered[-1].item()
    scale = scale_of(low, high)
    scaled = ordered / scale
    result: Json = {
        "min": low,
        "max": high,
        "sum": finite(float(scaled.sum()) * scale),
        "mean": float(scaled.mean()) * scale,
        "stdDev": float(scaled.std()) * scale,
        "percentiles": [float(value) * scale for value in np.percentile(scaled, np.arange(1, 101))],
    }
    if bins:
        edges = bin_edges(low, high, bins)
        ends = np.append(np.searchsorted(ordered, edges[:-1], side="left"), len(ordered))
        result["histogram"] = histogram(edges, np.diff(ends))
    return result


def bin_edges(low: float, high: float, bins: int) -> Floats:
    """Return the edges of equally wide bins over numbers; a bin holds its lower edge, the last one both.

    Parameters
    ----------
    low, high : float
        Smallest and largest number; one bin if they are equal.
    bins : int
        How many; fewer if the numbers are too close for as many.
    """
    if low == high:
        return np.array([low, high], dtype=np.float64)
    scale = scale_of(low, high)
    edges = np.linspace(low / scale, high / scale, bins + 1) * scale
    edges[0], edges[-1] = low, high
    return np.unique(edges)


def histogram(edges: Floats, counts: Sequence[int] | Counts) -> list[Json]:
    """Return a histogram as Deequ writes one: ``{"value": "<from> to <to>", "count", "ratio"}`` per bin.

    Parameters
    ----------
    edges : array of shape (n + 1,)
        Edges of the bins.
    counts : sequence of n int
        Numbers in each bin.
    """
    total = max(1, int(np.sum(counts)))
    return [
        {"value": f"{float(start)!r} to {float(end)!r}", "count": int(count), "ratio": int(count) / total}
        for start, end, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]


def run_lengths(ordered: npt.NDArray[Any]) -> Counts:
    """Return how often each distinct value of a sorted array occurs."""
    if len(ordered) == 0:
        return np.array([], dtype=np.int64)
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    return np.diff(np.append(starts, len(ordered))).astype(np.int64)


def uniqueness(sizes: Counts) -> Json:
    """Return distinctness, uniqueness and entropy, from how often each distinct value occurs.

    Parameters
    ----------
    sizes : array of int
        Not empty.
    """
    total = int(sizes.sum())
    fractions = sizes / total
    return {
        "exactNumDistinctValues": len(sizes),
        "distinctness": len(sizes) / total,
        "uniqueness": int((sizes == 1).sum()) / total,
        "entropy": max(0.0, float(-(fractions * np.log(fractions)).sum())),
    }
