"""How far two distributions are apart, from the descriptive statistics of two windows.

The distributions are built as Hopsworks builds them, from percentiles and histograms, so that a threshold means the
same here and on a cluster: bins come from the reference; a bar of a histogram counts for the bin that holds its middle;
a small number is added to every bin, so that logarithms exist.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

METRICS = ("PSI", "KL_DIVERGENCE", "JS_DIVERGENCE", "HELLINGER", "WASSERSTEIN", "KOLMOGOROV_SMIRNOV")
EQUI_WIDTH, EQUI_FREQUENCY, CUSTOM_EDGES, CATEGORICAL = "EQUI_WIDTH", "EQUI_FREQUENCY", "CUSTOM_EDGES", "CATEGORICAL"
STRATEGIES = (EQUI_WIDTH, EQUI_FREQUENCY, CUSTOM_EDGES, CATEGORICAL)
DEFAULT_BINS = 10
DEFAULT_EPSILON = 1e-6
_DEGENERATE_MARGIN = 0.01

Json = dict[str, Any]
Floats = npt.NDArray[np.float64]


class NoDistributionError(ValueError):
    """The statistics of a window do not say how the feature is distributed."""


def distance(detection: Json, reference: Json, comparison: Json) -> float:
    """Return the distance between the distributions of a feature in two windows.

    Parameters
    ----------
    detection, reference : dict
        Descriptive statistics of the feature, with histograms.
    comparison : dict
        ``distributionMetric``, and optionally ``binningStrategy``, ``binCount``, ``smoothingEpsilon`` and
        ``customBinEdges``.

    Raises
    ------
    NoDistributionError
        If the distributions cannot be built from the statistics.
    """
    strategy = comparison.get("binningStrategy") or _default_strategy(reference)
    epsilon = comparison.get("smoothingEpsilon") or DEFAULT_EPSILON
    if strategy == CATEGORICAL:
        labels = sorted({bar["value"] for window in (reference, detection) for bar in _histogram(window)})
        if not labels:
            raise NoDistributionError("there is no histogram of either window")
        p, q = (_normalised(_category_counts(window, labels), epsilon) for window in (detection, reference))
        return between(p, q, comparison["distributionMetric"])
    bins, custom = comparison.get("binCount") or DEFAULT_BINS, comparison.get("customBinEdges")
    edges = np.asarray(_edges(reference, strategy, bins, custom), dtype=np.float64)
    p, q = (_normalised(_bin_counts(window, edges), epsilon) for window in (detection, reference))
    return between(p, q, comparison["distributionMetric"], (edges[:-1] + edges[1:]) / 2)


def between(p: Floats, q: Floats, metric: str, centres: Floats | None = None) -> float:
    """Return the distance of a distribution from a reference.

    Parameters
    ----------
    p, q : array of shape (n,)
        Probabilities of the detection and of the reference window; positive, each summing to 1.
    metric : str
        One of :data:`METRICS`. PSI is the sum of (p - q) ln(p / q); the Kullback-Leibler divergence that of
        p ln(p / q); Jensen-Shannon's the mean of the divergences from the mean of both; Hellinger's distance the root
        of half the sum of squared differences of roots; Wasserstein's the area, Kolmogorov and Smirnov's the greatest
        distance between the cumulative distributions.
    centres : array of shape (n,), optional
        Middle of each bin, in units of the feature; only Wasserstein's distance needs it.

    Raises
    ------
    NoDistributionError
        If the metric needs numbers and the feature has categories.
    """
    if metric == "PSI":
        return float(np.sum((p - q) * np.log(p / q)))
    if metric == "KL_DIVERGENCE":
        return float(np.sum(p * np.log(p / q)))
    if metric == "JS_DIVERGENCE":
        middle = (p + q) / 2
        return float(np.sum(p * np.log(p / middle)) + np.sum(q * np.log(q / middle))) / 2
    if metric == "HELLINGER":
        return float(np.sqrt(np.sum((np.sqrt(p) - np.sqrt(q)) ** 2) / 2))
    apart = np.abs(np.cumsum(p) - np.cumsum(q))
    if metric == "KOLMOGOROV_SMIRNOV":
        return float(apart.max())
    if centres is None:
        raise NoDistributionError(f"{metric} needs numbers, and this feature has categories")
    return float(np.sum(apart[:-1] * np.diff(centres)))


def _default_strategy(reference: Json) -> str:
    return EQUI_FREQUENCY if reference.get("featureType") in ("Integral", "Fractional") else CATEGORICAL


def _histogram(statistics: Json) -> list[Json]:
    found = json.loads(statistics.get("extendedStatistics") or "{}").get("histogram")
    return found if isinstance(found, list) else []


def _normalised(counts: Floats, epsilon: float) -> Floats:
    smooth = counts + epsilon
    total: Floats = smooth / smooth.sum()
    return total


def _category_counts(statistics: Json, labels: Sequence[str]) -> Floats:
    counts = {bar["value"]: float(bar["count"]) for bar in _histogram(statistics)}
    return np.array([counts.get(label, 0.0) for label in labels])


def _bounds(bar: Json) -> tuple[float, float] | None:
    """Read a bar's label, ``<from> to <to>``."""
    low, separator, high = str(bar.get("value")).partition(" to ")
    try:
        return (float(low), float(high)) if separator else None
    except ValueError:
        return None


def _bin_counts(statistics: Json, edges: Floats) -> Floats:
    counts = np.zeros(len(edges) - 1)
    for bar in _histogram(statistics):
        bounds = _bounds(bar)
        if bounds is not None:
            index = int(np.searchsorted(edges, sum(bounds) / 2, side="right")) - 1
            counts[min(max(index, 0), len(counts) - 1)] += float(bar["count"])
    return counts


def _edges(reference: Json, strategy: str, bins: int, custom: Sequence[float] | None) -> Sequence[float] | Floats:
    if strategy == CUSTOM_EDGES:
        if not custom or len(custom) < 2 or any(b <= a for a, b in pairwise(custom)):
            raise NoDistributionError("CUSTOM_EDGES needs at least two edges, each greater than the one before")
        return custom
    percentiles = reference.get("percentiles")
    if strategy == EQUI_FREQUENCY and percentiles and len(percentiles) > 1:
        chosen = np.linspace(0, len(percentiles) - 1, bins + 1).round().astype(int)
        edges = np.unique([percentiles[index] for index in chosen])
        if len(edges) > 1:
            return edges
    return _equal_widths(reference, bins)


def _equal_widths(reference: Json, bins: int) -> Sequence[float] | Floats:
    """Return the edges of the reference's own histogram, or else equal widths between its extremes."""
    bars = [_bounds(bar) for bar in _histogram(reference)]
    known = [bounds for bounds in bars if bounds is not None]
    if known and len(known) == len(bars) and known[0][0] < known[-1][1]:
        return [known[0][0], *(high for _, high in known)]
    low, high = reference.get("min"), reference.get("max")
    if low is None or high is None:
        raise NoDistributionError("there are neither a histogram nor extremes of the reference window")
    if low == high:
        margin = abs(low) * _DEGENERATE_MARGIN if low else _DEGENERATE_MARGIN
        return [low - margin, high + margin]
    return np.linspace(low, high, bins + 1)
