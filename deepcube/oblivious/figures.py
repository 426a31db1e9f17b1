"""Figures of a training: how it went, and how it compares."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

Curves = Mapping[str, Sequence[float]]
"""Metric name to its value per epoch."""


def learning_curve(runs: Sequence[Curves], path: Path, *, title: str, ylabel: str) -> Path:
    """Draw metrics over epochs, one colour per metric and one thin line per run.

    Parameters
    ----------
    runs : sequence of mapping of str to sequence of float
        One mapping of metric name to values per epoch for each run, for example for each seed.
    path : pathlib.Path
        PNG file to write.
    title, ylabel : str
        Heading, and name and unit of the metrics.

    Returns
    -------
    pathlib.Path
        The file.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    names = list(dict.fromkeys(name for run in runs for name in run))
    for index, name in enumerate(names):
        label: str | None = name
        for run in runs:
            values = run.get(name, ())
            axes.plot(range(1, len(values) + 1), values, color=f"C{index}", linewidth=1, alpha=0.8, label=label)
            label = None
    axes.set(title=title, xlabel="epoch", ylabel=ylabel)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    return path


def score_bars(
    values: Mapping[str, Mapping[str, float]],
    path: Path,
    *,
    title: str,
    ylabel: str,
    errors: Mapping[str, Mapping[str, float]] | None = None,
) -> Path:
    """Draw one group of bars per output, one bar per forecast.

    Parameters
    ----------
    values : mapping of str to mapping of str to float
        ``values[forecast][output]``, for example the RMSE of the model and its baselines at each horizon.
    path : pathlib.Path
        PNG file to write.
    title, ylabel : str
        Heading, and name and unit of the score.
    errors : mapping of str to mapping of str to float, optional
        Half-lengths of error bars in the same layout, for example the spread over seeds.

    Returns
    -------
    pathlib.Path
        The file.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    outputs = list(dict.fromkeys(output for row in values.values() for output in row))
    width = 0.8 / max(len(values), 1)
    for index, (name, row) in enumerate(values.items()):
        places = [position + (index - (len(values) - 1) / 2) * width for position in range(len(outputs))]
        heights = [row.get(output, float("nan")) for output in outputs]
        whiskers = [errors[name].get(output, 0.0) for output in outputs] if errors and name in errors else None
        bars = axes.bar(places, heights, width, yerr=whiskers, label=name, capsize=3)
        axes.bar_label(bars, fmt="%.3f", fontsize=7, padding=2)
    axes.set_xticks(range(len(outputs)), outputs)
    axes.set(title=title, ylabel=ylabel)
    axes.margins(y=0.15)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    return path


def parallel_coordinates(
    hparams: Sequence[Mapping[str, Any]],
    metrics: Sequence[float],
    path: Path,
    *,
    title: str,
    metric: str,
    best_first: str,
) -> Path:
    """Draw each trial as a line over its hyperparameters, coloured by its metric, the best on top.

    Parameters
    ----------
    hparams : sequence of mapping of str to Any
        Hyperparameters of each trial; numbers get a scale, anything else evenly spaced labels.
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
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    names = list(dict.fromkeys(name for row in hparams for name in row))
    figure = Figure(figsize=(max(6.0, 1.6 * len(names) + 2), 4), layout="constrained")
    axes = figure.subplots()
    columns = []
    for place, name in enumerate(names):
        positions, ticks = _axis([row.get(name) for row in hparams])
        columns.append(positions)
        axes.axvline(place, color="0.6", linewidth=0.8)
        for height, label in ticks:
            axes.annotate(label, (place, height), xytext=(4, 0), textcoords="offset points", fontsize=7, va="center")
    colours = ScalarMappable(
        Normalize(min(metrics), max(metrics)), colormaps["viridis_r" if best_first == "min" else "viridis"]
    )
    lines = np.array(columns).T
    for index in np.argsort(metrics)[:: -1 if best_first == "min" else 1]:
        axes.plot(range(len(names)), lines[index], color=colours.to_rgba(metrics[index]), alpha=0.8, linewidth=1.2)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks([])
    axes.set(title=title, ylim=(-0.05, 1.05), xlim=(-0.2, max(len(names) - 1, 0) + 0.5))
    figure.colorbar(colours, ax=axes, label=metric)
    figure.savefig(path, dpi=120)
    return path


def _axis(values: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Return the height of each value between 0 and 1, NaN where there is none, and the labels of the axis."""
    known = [value for value in values if value is not None]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known) and len(set(known)) > 1:
        low, high = min(known), max(known)
        heights = [float("nan") if value is None else (value - low) / (high - low) for value in values]
        return heights, [(0.0, f"{low:.4g}"), (1.0, f"{high:.4g}")]
    labels = sorted({str(value) for value in known})
    at = {label: index / max(len(labels) - 1, 1) for index, label in enumerate(labels)}
    return [float("nan") if value is None else at[str(value)] for value in values], [
        (at[text], text) for text in labels
    ]


def importance_bars(components: Mapping[str, Mapping[str, float]], path: Path, *, title: str, xlabel: str) -> Path:
    """Draw what is lost without each component, with its confidence interval.

    Parameters
    ----------
    components : mapping of str to mapping of str to float
        ``components[name]`` has ``importance``, ``low`` and ``high``; the first is drawn on top.
    path : pathlib.Path
        PNG file to write.
    title, xlabel : str
        Heading, and name and unit of the loss.

    Returns
    -------
    pathlib.Path
        The file.
    """
    figure = Figure(figsize=(7, 1.2 + 0.3 * len(components)), layout="constrained")
    axes = figure.subplots()
    names = list(components)[::-1]
    middle = [components[name]["importance"] for name in names]
    below = [components[name]["importance"] - components[name]["low"] for name in names]
    above = [components[name]["high"] - components[name]["importance"] for name in names]
    axes.barh(names, middle, xerr=(below, above), capsize=3)
    axes.axvline(0, color="0.3", linewidth=0.8)
    axes.set(title=title, xlabel=xlabel)
    figure.savefig(path, dpi=120)
    return path
