"""Figures of explanations."""

from pathlib import Path

import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from deepcube.explain.attribution import top_features


def attribution_bars(explanation: xr.Dataset, path: Path, *, title: str, instance: int = 0, count: int = 10) -> Path:
    """Draw the largest attributions of one prediction, one panel per output.

    Parameters
    ----------
    explanation : xarray.Dataset
        As returned by an explainer for tabular input.
    path : pathlib.Path
        PNG file to write.
    title : str
        Heading of the figure.
    instance : int
        Position of the prediction.
    count : int
        Features per panel at most; those without any attribution are left out.

    Returns
    -------
    pathlib.Path
        The file.
    """
    outputs = [str(name) for name in explanation["output"].values]
    figure = Figure(figsize=(5 * len(outputs), 0.35 * count + 2), layout="constrained")
    panels = figure.subplots(1, len(outputs), squeeze=False, sharex=True)[0]
    one = explanation.isel({explanation["attribution"].dims[0]: instance})
    units = one["attribution"].attrs.get("units", "1")
    for panel, output in zip(panels, outputs, strict=True):
        top = top_features(explanation, instance, output, count)[::-1]
        top = top[top.values != 0]
        colours = ["tab:green" if value >= 0 else "tab:red" for value in top.values]
        panel.barh([str(name) for name in top["feature"].values], top.values, color=colours)
        panel.axvline(0, color="black", linewidth=0.8)
        row = one.sel(output=output)
        panel.set_title(
            f"{output}: {float(row['prediction']):.3f}\n"
            f"base {float(row['base_value']):.3f}, completeness error {float(row['completeness_error']):.1e}",
            fontsize=9,
        )
        panel.set_xlabel(f"attribution (unit {units})")
        panel.xaxis.set_major_locator(MaxNLocator(4))
        panel.tick_params(axis="y", labelsize=8)
    figure.suptitle(f"{title}\nbaseline: {explanation.attrs['baseline']}", fontsize=10)
    figure.savefig(path, dpi=120)
    return path
