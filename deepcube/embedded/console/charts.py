"""Geometry of the small charts: histograms and bars. Templates draw it as SVG, style sheets colour it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 240.0, 72.0
MAX_CATEGORIES = 12


@dataclass(frozen=True)
class Bar:
    """One bar, in the units of the drawing (origin at the upper left).

    Attributes
    ----------
    x, y, width, height : float
        The rectangle.
    label : str
        What it stands for, with its number.
    """

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class Histogram:
    """A histogram of a feature.

    Attributes
    ----------
    bars : tuple of Bar
        Upright bars for numbers, lying ones for categories.
    is_numeric : bool
        Which of the two.
    low, high : str
        Ends of the axis of a numeric one.
    height : float
        Of the drawing; its width is :data:`WIDTH`.
    summary : str
        The whole in a sentence, for those who do not see it.
    """

    bars: tuple[Bar, ...]
    is_numeric: bool
    low: str
    high: str
    height: float
    summary: str


def histogram(statistics: Mapping[str, Any]) -> Histogram | None:
    """Return the histogram in the statistics of a feature, or None if there is none.

    Parameters
    ----------
    statistics : mapping
        ``FeatureDescriptiveStatistics`` as the REST API writes it; its extended statistics hold
        ``{"histogram": [{"value", "count", "ratio"}]}``, with ``"<from> to <to>"`` as the value of a bin of numbers.
    """
    bins = extended_statistics(statistics).get("histogram")
    if not isinstance(bins, list) or not bins:
        return None
    pairs = [(str(each.get("value")), float(each.get("count") or 0)) for each in bins if isinstance(each, dict)]
    name = str(statistics.get("featureName", ""))
    edges = [_edges(value) for value, _ in pairs]
    if all(edge is not None for edge in edges):
        return _numeric(name, [edge for edge in edges if edge is not None], [count for _, count in pairs])
    return _categories(name, pairs)


def extended_statistics(statistics: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the extended part of the statistics of a feature, which the REST API writes as JSON in JSON."""
    extended = statistics.get("extendedStatistics") or {}
    if isinstance(extended, str):
        try:
            extended = json.loads(extended)
        except ValueError:
            return {}
    return extended if isinstance(extended, dict) else {}


def _edges(value: str) -> tuple[float, float] | None:
    low, separator, high = value.partition(" to ")
    try:
        return (float(low), float(high)) if separator else None
    except ValueError:
        return None


def _numeric(name: str, edges: Sequence[tuple[float, float]], counts: Sequence[float]) -> Histogram:
    low, high, most = edges[0][0], edges[-1][1], max(counts)
    step = WIDTH / len(edges)
    bars = tuple(
        Bar(
            round(position * step, 2),
            round(HEIGHT * (1 - _share(count, most)), 2),
            round(max(step - 1, 0.5), 2),
            round(HEIGHT * _share(count, most), 2),
            f"{start:.4g} to {end:.4g}: {count:.0f}",
        )
        for position, ((start, end), count) in enumerate(zip(edges, counts, strict=True))
    )
    peak = max(range(len(edges)), key=lambda position: counts[position])
    summary = (
        f"Histogram of {name}: {len(edges)} bins from {low:.4g} to {high:.4g}, most values "
        f"({most:.0f}) between {edges[peak][0]:.4g} and {edges[peak][1]:.4g}"
    )
    return Histogram(bars, True, f"{low:.4g}", f"{high:.4g}", HEIGHT, summary)


def _categories(name: str, pairs: Sequence[tuple[str, float]]) -> Histogram:
    shown = sorted(pairs, key=lambda pair: -pair[1])[:MAX_CATEGORIES]
    most, step = max(count for _, count in shown), 16.0
    bars = tuple(
        Bar(0.0, position * step, round(max(WIDTH * _share(count, most), 1.0), 2), step - 3, f"{value}: {count:.0f}")
        for position, (value, count) in enumerate(shown)
    )
    summary = f"Most frequent values of {name}: " + ", ".join(f"{value} ({count:.0f})" for value, count in shown)
    return Histogram(bars, False, "", "", step * len(shown), summary)


def _share(count: float, most: float) -> float:
    return count / most if most > 0 else 0.0


@dataclass(frozen=True)
class Attribution:
    """How much one feature moved a prediction.

    Attributes
    ----------
    name : str
        The feature.
    value : float
        Its attribution, in the unit of the prediction.
    start, width : float
        The bar, as parts of the whole width (0 to 1); zero attribution is at :attr:`zero`.
    zero : float
        Where the axis is.
    is_positive : bool
        Whether it raised the prediction.
    """

    name: str
    value: float
    start: float
    width: float
    zero: float
    is_positive: bool


def attribution_bars(attributions: Mapping[str, float]) -> list[Attribution]:
    """Return the bars of an attribution, largest first.

    Parameters
    ----------
    attributions : mapping of str to float
        Attribution of each feature; those that are not finite are left out.
    """
    finite = {name: value for name, value in attributions.items() if math.isfinite(value)}
    low, high = min(0.0, *finite.values(), 0.0), max(0.0, *finite.values(), 0.0)
    span = (high - low) or 1.0
    zero = -low / span
    ordered = sorted(finite.items(), key=lambda item: -abs(item[1]))
    return [
        Attribution(
            name,
            value,
            round((min(value, 0.0) - low) / span, 4),
            round(abs(value) / span, 4),
            round(zero, 4),
            value >= 0,
        )
        for name, value in ordered
    ]
