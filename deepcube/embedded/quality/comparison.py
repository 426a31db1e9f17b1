"""Compare the statistics of a feature in two windows, or with a number, and tell whether it has shifted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from deepcube.embedded.quality.distances import METRICS as DISTRIBUTION_METRICS
from deepcube.embedded.quality.distances import STRATEGIES, NoDistributionError, distance

__all__ = ["DISTRIBUTION_METRICS", "METRICS", "STRATEGIES", "Outcome", "compare"]

_KEYS = {
    "COUNT": "count",
    "COMPLETENESS": "completeness",
    "NUM_NON_NULL_VALUES": "numNonNullValues",
    "NUM_NULL_VALUES": "numNullValues",
    "APPROX_NUM_DISTINCT_VALUES": "approxNumDistinctValues",
    "EXACT_NUM_DISTINCT_VALUES": "exactNumDistinctValues",
    "DISTINCTNESS": "distinctness",
    "ENTROPY": "entropy",
    "UNIQUENESS": "uniqueness",
    "MIN": "min",
    "MAX": "max",
    "SUM": "sum",
    "MEAN": "mean",
    "STD_DEV": "stdDev",
    "STDDEV": "stdDev",
}
METRICS = tuple(_KEYS)
#: Metrics that are only computed where exact uniqueness is asked for.
EXACT_METRICS = ("EXACT_NUM_DISTINCT_VALUES", "DISTINCTNESS", "ENTROPY", "UNIQUENESS")

Json = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What a comparison found.

    Attributes
    ----------
    difference : float or None
        Distance of the feature from the reference; None if either has nothing to compare.
    shifted : bool
        Whether it reaches the threshold (or, if the comparison is strict, exceeds it).
    """

    difference: float | None
    shifted: bool


def compare(comparison: Json, detection: Json, reference: Json | None) -> Outcome:
    """Compare a feature's statistics.

    Parameters
    ----------
    comparison : dict
        Either ``distributionMetric``, or ``metric`` with ``relative`` and ``specificValue``; ``threshold``, ``strict``.
    detection : dict
        Descriptive statistics of the feature in the window looked at.
    reference : dict or None
        Those in the window it is compared with; None if it is compared with a number.
    """
    if comparison.get("distributionMetric") is not None:
        difference = _distance(comparison, detection, reference)
    else:
        difference = _difference(comparison, detection, reference)
    threshold = comparison.get("threshold")
    if difference is None or threshold is None:
        return Outcome(difference, False)
    return Outcome(difference, difference > threshold if comparison.get("strict") else difference >= threshold)


def _distance(comparison: Json, detection: Json, reference: Json | None) -> float | None:
    if reference is None or not detection.get("count") or not reference.get("count"):
        return None
    try:
        return distance(detection, reference, comparison)
    except NoDistributionError:
        return None


def _difference(comparison: Json, detection: Json, reference: Json | None) -> float | None:
    """Return how far a number is from another one, absolutely or as a fraction of the other."""
    metric, specific = str(comparison["metric"]).upper(), comparison.get("specificValue")
    if metric != "COUNT" and (not detection.get("count") or (specific is None and not (reference or {}).get("count"))):
        return None
    found = detection.get(_KEYS[metric])
    wanted = specific if specific is not None else (reference or {}).get(_KEYS[metric])
    if found is None or wanted is None:
        return None
    apart = abs(float(found) - float(wanted))
    if not comparison.get("relative"):
        return apart
    return apart / float(wanted) if wanted else math.inf
