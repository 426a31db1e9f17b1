"""Maps of a drought forecast beside what came true."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from features import drought
from inference_pipelines.batches import to_grid


def most_telling_origin(predictions: pd.DataFrame, targets: pd.DataFrame) -> pd.Timestamp:
    """Return the forecast origin to draw: well observed one step later, and dry.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Forecasts with keys and ``time``.
    targets : pandas.DataFrame
        What came true, with the same keys.

    Returns
    -------
    pandas.Timestamp
        Among the origins with nearly as many observed cells as the best (nine tenths), the one with the lowest NDVI
        against its climatology.

    Raises
    ------
    ValueError
        If no target of these origins was observed.
    """
    label = drought.LABELS[0]
    joined = predictions.merge(targets, on=[*drought.KEYS, "time"])
    joined["departure"] = joined[label] - joined[drought.CLIMATOLOGY[0]]
    by_time = joined.groupby("time")["departure"].agg(["count", "mean"])
    if by_time.empty or by_time["count"].max() == 0:
        raise ValueError("Found no observed target in the test period; expected some to draw. Use a longer cube.")
    return pd.Timestamp(by_time[by_time["count"] >= 0.9 * by_time["count"].max()]["mean"].idxmin())


def draw_maps(table: pd.DataFrame, path: Path, *, title: str) -> Path:
    """Draw forecast, truth and error of one origin, one step ahead.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per cell: ``row``, ``col``, ``predicted_ndvi_step_1`` and ``ndvi_step_1`` (NaN where not observed).
    path : pathlib.Path
        PNG file to write.
    title : str
        Heading.

    Returns
    -------
    pathlib.Path
        The file.
    """
    label = drought.LABELS[0]
    shape = (int(table["row"].max()) + 1, int(table["col"].max()) + 1)
    forecast, truth = (to_grid(table, name, shape) for name in (f"predicted_{label}", label))
    error = forecast - truth
    known = np.concatenate([forecast[np.isfinite(forecast)], truth[np.isfinite(truth)]])
    low, high = np.quantile(known, [0.02, 0.98])
    reach = max(float(np.nanquantile(np.abs(error), 0.98)), 1e-3) if np.isfinite(error).any() else 1.0

    figure = Figure(figsize=(12, 4.4), layout="constrained")
    panels = figure.subplots(1, 3)
    _panel(figure, panels[0], forecast, "forecast NDVI (unit 1)", cmap="YlGn", vmin=low, vmax=high)
    _panel(figure, panels[1], truth, "observed NDVI (unit 1)", cmap="YlGn", vmin=low, vmax=high)
    _panel(figure, panels[2], error, "forecast minus observed (unit 1)", cmap="RdBu", vmin=-reach, vmax=reach)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)
    return path


def _panel(figure: Figure, axes: Any, grid: np.ndarray, title: str, **style: Any) -> None:
    axes.set_facecolor("lightgrey")  # not observed
    image = axes.imshow(grid, interpolation="nearest", **style)
    axes.set(title=title, xlabel="column", ylabel="row")
    figure.colorbar(image, ax=axes, shrink=0.8)
