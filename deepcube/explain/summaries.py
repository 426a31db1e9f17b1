"""A model's explanations as a whole: what drives it over many predictions, as tables and figures for its card."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from deepcube.explain.card import CardTable
from deepcube.explain.errors import InputError
from deepcube.explain.quality import SCORES


def mean_attributions(explanation: xr.Dataset) -> xr.Dataset:
    """Summarise the attributions of many predictions.

    Parameters
    ----------
    explanation : xarray.Dataset
        Attributions of dims (instance, output, ...), or groups of them.

    Returns
    -------
    xarray.Dataset, dims (output, ...)
        ``size``, the mean absolute attribution (the global SHAP importance of Lundberg et al., 2020, Nature Machine
        Intelligence 2), and ``mean``, which tells elements that push one way from those that push either way.
    """
    values = explanation["attribution"]
    first = [values.dims[0]]
    attrs = {"units": values.attrs.get("units", "1")}
    data = {"size": abs(values).mean(first), "mean": values.mean(first)}
    return xr.Dataset({name: part.assign_attrs(attrs) for name, part in data.items()}, attrs=explanation.attrs)


def importance_table(summary: xr.Dataset, importance: xr.Dataset, count: int = 10) -> CardTable:
    """Put the features that drive a model most into a table for its card.

    Parameters
    ----------
    summary : xarray.Dataset
        As returned by :func:`mean_attributions`, of dims (output, feature).
    importance : xarray.Dataset
        As returned by :func:`deepcube.explain.permutation_importance`.
    count : int
        Features at most.

    Returns
    -------
    CardTable
        Mean absolute attribution over outputs, and permutation importance with its spread, largest attribution first.

    Raises
    ------
    InputError
        If they are not of the same features.
    """
    size = summary["size"].mean(["output"])
    names = [str(name) for name in size["feature"].values]
    if names != [str(name) for name in importance["feature"].values]:
        raise InputError("Found a summary and an importance of other features; expected the same, in the same order.")
    loss = importance["importance"].attrs["units"]
    columns = (
        "feature",
        f"mean |attribution| ({summary['size'].attrs['units']})",
        f"loss after shuffling ({loss})",
        "+-",
    )
    order = np.argsort(-size.values)[:count]
    rows = [
        (names[i], float(size[i]), float(importance["importance"][i]), float(importance["spread"][i])) for i in order
    ]
    return CardTable(columns, rows)


def quality_table(explanation: xr.Dataset) -> CardTable:
    """Put the scores of many explanations into a table for a model's card.

    Parameters
    ----------
    explanation : xarray.Dataset
        With scores, as returned by ``explain(..., scores=True)``.

    Returns
    -------
    CardTable
        Median and 5 to 95 percent range of every score, with what is good and what it means.
    """
    rows = []
    for name, kind in SCORES.items():
        if name not in explanation:
            continue
        values = explanation[name].values
        known = values[np.isfinite(values)]
        low, middle, high = np.percentile(known, [5, 50, 95]) if known.size else [np.nan] * 3
        meaning = kind.meaning
        if "method" in explanation[name].attrs:
            meaning += f" ({explanation[name].attrs['method']})"
        units = explanation[name].attrs.get("units", "1")
        rows.append((name, float(middle), f"{low:.3g} to {high:.3g}", units, kind.best, meaning))
    return CardTable(("score", "median", "5 to 95 %", "unit", "good is", "what it says"), rows)


def draw_importance(table: CardTable, path: Path, *, title: str) -> Path:
    """Draw what drives a model: mean absolute attribution beside permutation importance.

    Parameters
    ----------
    table : CardTable
        As returned by :func:`importance_table`.
    path : pathlib.Path
        PNG file to write.
    title : str
        Heading of the figure.

    Returns
    -------
    pathlib.Path
        The file.
    """
    names = [str(row[0]) for row in table.rows][::-1]
    figure = Figure(figsize=(10, 0.35 * len(names) + 1.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    left.barh(names, [row[1] for row in table.rows][::-1], color="tab:blue")
    errors = [row[3] for row in table.rows][::-1]
    right.barh(names, [row[2] for row in table.rows][::-1], xerr=errors, color="tab:orange")
    left.set_xlabel(table.columns[1])
    right.set_xlabel(table.columns[2])
    for panel in (left, right):
        panel.xaxis.set_major_locator(MaxNLocator(4))
    right.axvline(0, color="black", linewidth=0.8)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)
    return path


def draw_effects(effects: xr.Dataset, path: Path, *, title: str, features: Sequence[str] | None = None) -> Path:
    """Draw how a model's outputs depend on single features.

    Parameters
    ----------
    effects : xarray.Dataset
        As returned by :func:`deepcube.explain.ale` or :func:`deepcube.explain.partial_dependence`.
    path : pathlib.Path
        PNG file to write.
    title : str
        Heading of the figure.
    features : sequence of str, optional
        Which features; all by default.

    Returns
    -------
    pathlib.Path
        The file.
    """
    names = [str(name) for name in (effects["feature"].values if features is None else features)]
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.6 * rows + 0.6), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for panel, name in zip(panels, names, strict=False):
        one = effects.sel(feature=name)
        for output in effects["output"].values:
            panel.plot(one["value"], one["effect"].sel(output=output), marker=".", label=str(output))
        units = f" ({one['units'].item()})" if "units" in effects.coords else ""
        panel.set_xlabel(f"{name}{units}", fontsize=8)
        panel.tick_params(labelsize=7)
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    panels[0].set_ylabel(f"effect ({effects['effect'].attrs.get('units', '1')})", fontsize=8)
    panels[0].legend(fontsize=7)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)
    return path
