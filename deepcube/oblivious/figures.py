"""Figures of a training: how it went, and how it compares."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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
    axes.set(title=_wrapped(title), xlabel="epoch", ylabel=ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
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
    axes.set(title=_wrapped(title), ylabel=ylabel)
    axes.margins(y=0.15)
    figure.legend(loc="outside lower center", ncols=max(len(values), 1), frameon=False)  # bars may be anywhere inside
    figure.savefig(path, dpi=120)
    return path


def _wrapped(title: str) -> str:
    """Break a heading that is wider than a figure of seven inches."""
    return textwrap.fill(title, 62)
