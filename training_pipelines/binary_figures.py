"""Pictures of how good probabilities of a rare event are: calibration, ROC, precision and recall."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from training_pipelines.binary_scores import checked, ranking_scores

_FIRST_ALARMS = 0.05  # recall


def draw_calibration(tables: Mapping[str, pd.DataFrame], path: Path, *, title: str, event: str = "event") -> Path:
    """Draw calibration curves with their intervals beside the diagonal that perfect probabilities lie on.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        By name of the forecast, from :func:`calibration_table`.
    path : pathlib.Path
        PNG file to write.
    title : str
        Heading.
    event : str
        What the probabilities are of, for the axes.

    Returns
    -------
    pathlib.Path
        The file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 5), layout="constrained")
    axes = figure.subplots()
    # Rare events have all their probabilities near 0: the axes end where the curves do. Intervals of bins of few cases
    # reach far beyond and may be cut.
    right, top = (
        min(1.0, factor * max(float(table[name].max()) for table in tables.values())) or 1.0
        for name, factor in (("forecast", 1.05), ("observed", 1.4))
    )
    end = min(right, top)
    axes.plot((0, end), (0, end), color="0.5", linewidth=1, linestyle="--", label="perfect")
    for name, table in tables.items():
        below, above = table["observed"] - table["low"], table["high"] - table["observed"]
        label = f"{name} (ECE {table.attrs['ece']:.2g})" if "ece" in table.attrs else name
        axes.errorbar(
            table["forecast"].to_numpy(),
            table["observed"].to_numpy(),
            # A share of none or all lies on the edge of its interval, up to rounding.
            yerr=np.stack([below.clip(lower=0), above.clip(lower=0)]),
            marker="o",
            markersize=4,
            capsize=2,
            linewidth=1.2,
            label=label,
        )
    axes.set(
        xlabel=f"forecast probability of {event}",
        ylabel=f"observed frequency of {event}",
        xlim=(0, right),
        ylim=(0, top),
    )
    axes.set_title(textwrap.fill(title, 60), fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left")
    figure.savefig(path, dpi=120)
    return path


def draw_ranking(truth: Any, forecasts: Mapping[str, Any], path: Path, *, title: str, weight: Any = None) -> Path:
    """Draw the ROC and the precision-recall curve of several forecasts of the same cases.

    Parameters
    ----------
    truth : array-like of bool or {0, 1}, shape (n,)
        Whether the event happened.
    forecasts : mapping of str to array-like of float, shape (n,)
        Probabilities or indices of danger, the model first.
    path : pathlib.Path
        PNG file to write.
    title : str
        Heading.
    weight : array-like of float, shape (n,), optional
        How many real cases each case stands for.

    Returns
    -------
    pathlib.Path
        The file.
    """
    from matplotlib.figure import Figure
    from sklearn.metrics import precision_recall_curve, roc_curve

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    top = 0.0
    for name, forecast in forecasts.items():
        y, x, w = checked(truth, forecast, weight, probability=False)
        scores = ranking_scores(y, x, w)
        false, hit, _ = roc_curve(y, x, sample_weight=w)
        precision, recall, _ = precision_recall_curve(y, x, sample_weight=w)
        # Of a rare event precision is small all along, but for the first few alarms.
        top = max(top, 1.2 * float(precision[:-1][recall[:-1] >= _FIRST_ALARMS].max()))
        left.plot(false, hit, linewidth=1.3, label=f"{name} ({scores['auroc']:.3f})")
        right.step(recall, precision, where="post", linewidth=1.3, label=f"{name} ({scores['auprc']:.3f})")
    left.plot((0, 1), (0, 1), color="0.5", linewidth=1, linestyle="--")
    left.set(xlabel="false-alarm rate", ylabel="hit rate (recall)", title="ROC (AUROC)")
    right.set(xlabel="hit rate (recall)", ylabel="precision", title="precision and recall (AUPRC)")
    right.set_ylim(0, min(1.02, top))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
    return path
