"""Figures of many trainings: which hyperparameters did well, how each trial went, what each component is worth."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

Direction = Literal["min", "max"]

_FEW = 6
_LOGARITHMIC = 8.0
_BEST = "crimson"


def parallel_coordinates(
    hparams: Sequence[Mapping[str, Any]],
    metrics: Sequence[float],
    path: Path,
    *,
    title: str,
    metric: str,
    best_first: Direction,
) -> Path:
    """Draw each trial as a line over its hyperparameters that ends at its metric; the best one stands out.

    Numbers get a scale, a logarithmic one where they span an order of magnitude; anything else, evenly spaced labels.
    Colours follow the rank of the metric, and its axis ends where only outliers would follow, so that one bad trial
    does not make all others look the same.

    Parameters
    ----------
    hparams : sequence of mapping of str to Any
        Hyperparameters of each trial.
    metrics : sequence of float
        Final metric of each trial.
    path : pathlib.Path
        PNG file to write.
    title, metric : str
        Heading, and name of the metric.
    best_first : {"min", "max"}
        Whether a small or a large metric is better.

    Returns
    -------
    pathlib.Path
        The file.
    """
    names = list(dict.fromkeys(name for row in hparams for name in row))
    scales = [_Scale([row.get(name) for row in hparams]) for name in names]
    near = _without_outliers(metrics, best_first)
    scales.append(_Scale(np.clip(metrics, min(near), max(near)).tolist()))
    figure = Figure(figsize=(max(7.0, 1.7 * len(scales) + 1), 4.2), layout="constrained")
    axes = figure.subplots()
    heights = np.array([scale.heights for scale in scales]).T
    order = _worst_first(metrics, best_first)
    colours = _rank_colours(len(metrics))
    for rank, index in enumerate(order[:-1]):
        axes.plot(heights[index], color=colours(rank), alpha=0.75, linewidth=1.2)
    best = order[-1]
    axes.plot(heights[best], color=_BEST, linewidth=2.6, label=f"best: {metrics[best]:.4g}")
    for place, scale in enumerate(scales):
        scale.draw(axes, place)
    axes.set_xticks(
        range(len(scales)),
        [f"{name}\n(log scale)" if scale.logarithmic else name for name, scale in zip(names, scales[:-1], strict=True)]
        + [_metric_label(metric, best_first, len(metrics) - len(near))],
    )
    axes.set_yticks([])
    axes.set(title=title, ylim=(-0.06, 1.06), xlim=(-0.15, len(scales) - 0.55))
    axes.spines[:].set_visible(False)
    figure.legend(loc="outside lower right", frameon=False, fontsize=8)
    figure.savefig(path, dpi=120)
    return path


def trial_curves(
    histories: Sequence[Sequence[Sequence[float]]],
    metrics: Sequence[float],
    stopped: Sequence[bool],
    path: Path,
    *,
    title: str,
    metric: str,
    best_first: Direction,
) -> Path:
    """Draw how the metric of each trial went; the best one stands out, those that were stopped early end in a cross.

    Parameters
    ----------
    histories : sequence of sequence of (step, value)
        What each trial reported; trials that reported nothing are not drawn.
    metrics : sequence of float
        Final metric of each trial.
    stopped : sequence of bool
        Whether each trial was stopped early.
    path : pathlib.Path
        PNG file to write.
    title, metric : str
        Heading, and name of the metric.
    best_first : {"min", "max"}
        Whether a small or a large metric is better.

    Returns
    -------
    pathlib.Path
        The file.
    """
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    order = _worst_first(metrics, best_first)
    colours = _rank_colours(len(metrics))
    labels = {"early": "stopped early"}
    for rank, index in enumerate(order):
        steps, values = np.array(histories[index], dtype=float).reshape(-1, 2).T
        is_best = index == order[-1]
        style: dict[str, Any] = {"color": _BEST if is_best else colours(rank), "linewidth": 2.4 if is_best else 1.1}
        label = f"best: {metrics[index]:.4g}" if is_best else None
        marker = "." if len(steps) == 1 else None
        axes.plot(steps + 1, values, alpha=1.0 if is_best else 0.75, label=label, marker=marker, **style)
        if stopped[index] and len(steps):
            axes.plot(steps[-1] + 1, values[-1], "x", color=style["color"], label=labels.pop("early", None))
    axes.set(title=title, xlabel="step", ylabel=metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=120)
    return path


def importance_bars(
    components: Mapping[str, Mapping[str, float]], path: Path, *, title: str, metric: str, confidence: float
) -> Path:
    """Draw how much worse it is without each component, with its confidence interval; those beside zero in colour.

    Parameters
    ----------
    components : mapping of str to mapping of str to float
        ``components[name]`` has ``importance``, ``low`` and ``high``, and ``runs``; the first is drawn on top. An
        unbounded interval, of a single run, is left out.
    path : pathlib.Path
        PNG file to write.
    title, metric : str
        Heading, and name of the metric.
    confidence : float
        Probability that an interval covers the mean.

    Returns
    -------
    pathlib.Path
        The file.
    """
    figure = Figure(figsize=(7, 1.6 + 0.32 * len(components)), layout="constrained")
    axes = figure.subplots()
    names = list(components)[::-1]
    rows = [components[name] for name in names]
    sure = [math.isfinite(row["low"]) and (row["low"] > 0 or row["high"] < 0) for row in rows]
    middle = [row["importance"] for row in rows]
    reach = [row["high"] - row["importance"] if math.isfinite(row["high"]) else float("nan") for row in rows]
    axes.barh(names, middle, color=["C0" if each else "0.75" for each in sure])
    axes.errorbar(middle, names, xerr=reach, fmt="none", ecolor="0.2", capsize=3, linewidth=1)
    axes.axvline(0, color="0.3", linewidth=0.8)
    axes.set(title=title, ylim=(-0.7, len(names) - 0.3))
    runs = max((int(row.get("runs", 0)) for row in rows), default=0)
    figure.supxlabel(  # of the whole figure: long names of components leave the axes little room
        f"how much worse {metric} is without it: mean and {confidence:.0%} interval over {runs} seeds\n"
        "grey: the interval holds zero",
        fontsize=9,
    )
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    figure.savefig(path, dpi=120)
    return path


class _Scale:
    """One vertical axis: the height of each value between 0 and 1, NaN where there is none, and its labels."""

    logarithmic = False

    def __init__(self, values: Sequence[Any]) -> None:
        known = {value for value in values if value is not None}
        if len(known) > 1 and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
            height = self._measure(sorted(known))
            self.heights = [float("nan") if value is None else height(value) for value in values]
            return
        labels = sorted(map(str, known))
        at = {label: index / max(len(labels) - 1, 1) for index, label in enumerate(labels)}
        self.heights = [float("nan") if value is None else at[str(value)] for value in values]
        self.ticks = [(place, label) for label, place in at.items()]

    def _measure(self, distinct: Sequence[float]) -> Callable[[float], float]:
        """Choose a scale for numbers, and return what gives the height of one."""
        low, high = distinct[0], distinct[-1]
        self.logarithmic = low > 0 and high / low >= _LOGARITHMIC and len(distinct) > _FEW
        bend: Callable[[float], float] = math.log if self.logarithmic else float

        def height(value: float) -> float:
            return (bend(value) - bend(low)) / (bend(high) - bend(low))

        middle = math.sqrt(low * high) if self.logarithmic else (low + high) / 2
        shown = distinct if len(distinct) <= _FEW else (low, middle, high)
        self.ticks = [(height(value), f"{value:.4g}") for value in shown]
        return height

    def draw(self, axes: Axes, place: int) -> None:
        axes.axvline(place, color="0.6", linewidth=0.8, zorder=1)
        box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.0}
        for height, label in self.ticks:
            axes.plot(place, height, "_", color="0.3", markersize=6)
            axes.annotate(
                label, (place, height), (5, 0), textcoords="offset points", fontsize=8, va="center", bbox=box, zorder=5
            )


def _worst_first(metrics: Sequence[float], best_first: Direction) -> list[int]:
    """Return the order in which trials are drawn: the best one last, on top."""
    return sorted(range(len(metrics)), key=lambda index: metrics[index], reverse=best_first == "min")


def _rank_colours(count: int) -> Callable[[float], Any]:
    """Return the colour of the n-th worst trial: from pale to dark, none of them too pale to be seen."""
    mapped = ScalarMappable(Normalize(-0.4 * count, max(count - 1, 1)), colormaps["Blues"])
    return lambda rank: mapped.to_rgba(np.array([rank]))[0]


def _without_outliers(metrics: Sequence[float], best_first: Direction) -> list[float]:
    """Return the metrics that are not far worse than the others: three interquartile ranges beyond the quartile."""
    low, high = np.percentile(metrics, (25, 75))
    reach = 3 * (high - low)
    if best_first == "min":
        return [value for value in metrics if value <= high + reach]
    return [value for value in metrics if value >= low - reach]


def _metric_label(metric: str, best_first: Direction, beyond: int) -> str:
    direction = "smaller" if best_first == "min" else "larger"
    return f"{metric}\n({direction} is better" + (f"; {beyond} far worse, at the end)" if beyond else ")")
